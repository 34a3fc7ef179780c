"""Every finding of the data doctor: when it is made, how to mend it, its code; and the numbers it goes by.

The codes are the doctor's: D data, L labels, P preprocessing. Without a symptom in training, most of them
are hints. Fatal is what the readers refuse; ``--allow-bad`` leaves such examples out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Severity = Literal["fatal", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("fatal", "warning", "note")

MANY_COPIES = 0.01  # share of copies above which they are no accident
NEAR_BITS = 3  # of 64 that two images' hashes may differ in, across and down each
NEAR_SIDE = 32  # pixels; smaller images are alike without being copies
NEAR_ALIKE = 0.98  # correlation of two images' thumbnails
NEARLY_CONSTANT = 0.99  # share of rows with one value
MOSTLY_MISSING = 0.5
SPREAD = 100  # between the largest and the smallest standard deviation
OFFSET = 10  # standard deviations that a mean may lie from 0
NUMBERS_IN_TEXT = 0.8  # share of cells that are numbers but for a unit or a comma
GIVES_AWAY = 0.98  # AUC, R2 or recall of one column by itself
FAR_LOWER = 0.9  # what the other columns stay below
MAJORITY = 0.8
IMBALANCE = 10  # times the smallest class
FEWEST, FEW = 3, 10  # examples of a class
STANDARD_ERROR = 0.03  # of an accuracy; 0.5 / sqrt(n) at worst
SHIFT = 0.5  # of a standard deviation
RATIO = 2.0  # of standard deviations
BROAD = 0.25  # share of columns
SHARES_DIFFER = 0.1  # total variation between the class shares of two splits
DARKER = 1.0  # grey levels; an image with a smaller deviation shows nothing
SIZES_APART = 16  # times the pixels
LOOKED_AT = 20  # rows that a column needs before it is judged


@dataclass(frozen=True)
class Rule:
    """One kind of finding.

    Attributes:
        severity: The worst that it can be.
        when: The rule, in words.
        fix: What to do.
        code: The doctor's code, where there is one.
    """

    severity: Severity
    when: str
    fix: str
    code: str = ""


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        # examples
        "same-in-two-splits": Rule(
            "fatal",
            "an example stands in two splits: same bytes, same pixels or equal rows. A warning where only "
            f"the pixels are; of arrays, and in a random split, a note up to {MANY_COPIES:.0%} or one pair",
            "keep it in one split; split before oversampling, and keep groups together",
            "D06",
        ),
        "duplicates": Rule(
            "warning",
            "the same example more than once in a split or in a set not split yet. A note up to "
            f"{MANY_COPIES:.0%}, or where all columns are so coarse that rows agree by chance",
            "keep one of them; copies in two splits flatter the score",
            "D06",
        ),
        "near-duplicates": Rule(
            "note",
            f"two images of at least {NEAR_SIDE} pixels a side differ in at most {NEAR_BITS} of 64 bits of "
            f"their difference hashes, and correlate above {NEAR_ALIKE}",
            "look at them; keep pictures of one scene in one split",
            "D06",
        ),
        "contradicting-labels": Rule(
            "warning",
            "equal inputs, different labels. A note for numbers, and where all columns are coarse",
            "review the rows named; one of the labels is wrong, or a column that tells them apart is missing",
            "L04",
        ),
        # classes and labels
        "class-lists-differ": Rule(
            "fatal",
            "a split has class folders that train lacks, or lacks one that train has: indices would shift",
            "give every split the same class folders; an empty one says that there is no example",
            "L05",
        ),
        "label-shift": Rule(
            "warning",
            "the whole-number labels of a split are those of train moved by a constant",
            "number the classes of all splits in the same way, from 0",
            "L05",
        ),
        "class-not-in-train": Rule(
            "warning",
            "val or test has a class that train has no example of",
            "split again, shuffled and by class; or collect examples of it",
            "D04",
        ),
        "class-not-in-split": Rule(
            "note",
            "train has a class that val or test has no example of",
            "nothing can be said about that class; split again by class",
            "D05",
        ),
        "empty-class": Rule(
            "note", "a class without any example", "remove it, unless a model shall keep room for it", "D04"
        ),
        "one-class": Rule(
            "fatal", "fewer than two classes", "nothing is to be told apart; add a class", "L05"
        ),
        "one-target": Rule(
            "warning",
            "the number to be predicted is always the same",
            "name another column with --target",
            "L05",
        ),
        "labels-not-from-0": Rule(
            "note",
            "labels that are whole numbers begin above 0, or leave a few out",
            "didact numbers them again by name; other programs need labels from 0",
            "L05",
        ),
        "stray-label": Rule(
            "warning",
            "a whole-number label below 0 or far beyond the others, which run from 0 or 1 without a gap, on "
            f"at most {MANY_COPIES:.0%} of the examples",
            "mend the label; -1 and 255 often mean that there is none",
            "L05",
        ),
        "label-out-of-range": Rule(
            "fatal", "a label beyond the classes of the format", "mend the file, or get it again", "L05"
        ),
        "imbalance": Rule(
            "note",
            f"a class has {MAJORITY:.0%} of the training examples, or {IMBALANCE} times those of another",
            "weights or a sampler; report balanced accuracy",
            "D02",
        ),
        "few-examples": Rule(
            "warning",
            f"a class of fewer than {FEWEST} examples; a note below {FEW}",
            "collect more, join classes, or leave the class out with classes=",
            "D04",
        ),
        "sorted-by-class": Rule(
            "note",
            "rows stand one class after the other",
            "didact's splits and epochs shuffle; elsewhere use shuffle=True",
            "D03",
        ),
        # splits
        "small-validation": Rule(
            "note",
            f"the standard error of an accuracy on the validation split can exceed {STANDARD_ERROR}",
            "a larger validation split, or folds=5",
            "D05",
        ),
        "drift": Rule(
            "warning",
            f"between train and another split, {BROAD:.0%} of the columns (of images: brightness and "
            f"contrast; of texts: length) have a mean that differs by {SHIFT} deviations (rank test: z > 6), "
            f"or most have a deviation that differs {RATIO:g} times",
            "prepare all splits in the same way; split at random",
            "P02",
        ),
        "column-drift": Rule(
            "note",
            "as drift, of single columns; rank tests at p < 0.001, shared among all that are made",
            "find out why; a split at random would not differ",
            "D05",
        ),
        "class-drift": Rule(
            "note",
            f"the class shares of two splits differ by {SHARES_DIFFER:.0%} in all (chi-square p < 0.001)",
            "split by class",
            "D05",
        ),
        # columns of tables
        "not-finite": Rule("fatal", "NaN or infinite", "drop or impute those rows", "D01"),
        "missing-value": Rule("fatal", "a cell without a value", "drop or impute those rows"),
        "mostly-missing": Rule(
            "warning",
            f"a column without a value in more than {MOSTLY_MISSING:.0%} of the rows",
            "leave the column out rather than the rows",
        ),
        "text-among-numbers": Rule("fatal", "text in a column of numbers", "mend the cells named"),
        "numbers-as-text": Rule(
            "warning",
            f"in a column of texts, {NUMBERS_IN_TEXT:.0%} are numbers but for a unit, a currency or a comma",
            "write plain numbers: 1234.5; as text, each value becomes an input of its own",
        ),
        "empty-column": Rule("note", "a column without any value", "remove it; didact leaves it out"),
        "constant-column": Rule(
            "warning", "a column with one value", "remove it; nothing can be learned from it"
        ),
        "near-constant-column": Rule(
            "note",
            f"a column with one value in {NEARLY_CONSTANT:.0%} of the rows",
            "keep it only if the rare values matter",
        ),
        "scales": Rule(
            "note",
            f"the deviations of two columns differ {SPREAD} times, or a mean lies {OFFSET} deviations from 0",
            "standardise, as didact does unless standardise=false",
            "P01",
        ),
        "identifier": Rule(
            "warning",
            "a column whose every value is different: texts, or whole numbers that count up or are called "
            "id. A note for other whole numbers that only rise",
            "remove it: it names rows, which a model can only learn by heart",
        ),
        "many-categories": Rule(
            "note",
            "a column of more than 50 different texts, in more than half of the rows",
            "each becomes an input of its own; group them",
        ),
        "leak": Rule(
            "warning",
            f"a column tells the answer by itself (AUC of every two classes, R2, or recall >= {GIVES_AWAY}), "
            f"while the others stay below {FAR_LOWER}",
            "drop it, or rebuild it from what is known before the answer is",
            "D07",
        ),
        # images
        "broken-image": Rule(
            "fatal", "a file that does not decode: empty, truncated, no image", "replace it"
        ),
        "constant-image": Rule(
            "warning",
            f"an image of one shade (black, say): its grey levels deviate by less than {DARKER:g}",
            "remove it, or make it again",
        ),
        "rotated-image": Rule(
            "warning",
            "EXIF says that the image is to be turned; didact reads the pixels as they are stored",
            "save it upright: PIL.ImageOps.exif_transpose",
        ),
        "image-modes": Rule(
            "note",
            "CMYK, palette, 16 bits, transparency, or grey among colour",
            "didact makes all alike; save them as RGB to see what it sees",
        ),
        "image-sizes": Rule(
            "note",
            f"several sizes; wildly different ones: {SIZES_APART} times the pixels, or {RATIO:g} times as "
            "wide for their height",
            "image_size chooses the size, crop keeps the shape",
        ),
        "wrong-extension": Rule("note", "a file's content is not what its name ends in", "rename it"),
        # texts
        "empty-text": Rule("warning", "a file without text", "remove it, or find out where the text went"),
        "not-utf-8": Rule("fatal", "a file that is not UTF-8", "save it as UTF-8"),
        "garbled-text": Rule(
            "warning",
            "replacement characters, NUL, or UTF-8 that was read as Latin-1 (Ã©)",
            "read the source again in its own encoding and save it as UTF-8",
        ),
        # files
        "broken-row": Rule(
            "fatal", "a row with too few or too many cells, or no JSON object", "mend the line"
        ),
        "unknown-split": Rule(
            "fatal", "a word in the column split that is none of train, val, test", "mend the word"
        ),
        "missing-file": Rule(
            "fatal", "an image list names no file, none that exists, or no label", "mend the list"
        ),
        "unread-file": Rule("note", "a file or folder that is passed over", "remove it, or convert it"),
        "unused-column": Rule("note", "a column that nothing reads", "none needed"),
        "no-test-split": Rule("note", "no test file", "didact holds a test split out of train"),
        "unreadable": Rule("fatal", "the data set cannot be read", "see the message"),
        "sampled": Rule(
            "note",
            "only a sample was looked at, to bound the time; copies are found only within it",
            "didact data PATH --check looks at everything",
        ),
    }
)
