"""``open_data``: from a name or a path to splits that give batches.

Read, check, split, fit on train, encode; each step is one function of this file or of the room beside it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from didact.data.batches import FileSplit, Split, StreamSplit, TensorSplit
from didact.data.embedded import EMBEDDED
from didact.data.encode import encode, fit, read_image
from didact.data.facts import Facts, Interpolation
from didact.data.formats.detect import read_path
from didact.data.raw import Part, Problem, Raw, label_of
from didact.data.split import document_split, fold_split, hold_out, parse_ratio, ratio_split, some_of
from didact.errors import DataError, UsageError, suggest

MEMORY_BYTES = 1 << 30  # a split that decodes to less is held in memory as tensors


@dataclass
class Data:
    """Named splits and the facts that a model is built from.

    Attributes:
        facts: See ``didact.data.facts``.
        splits: ``train``, ``val`` and ``test``, each a ``Split``.
        raw: The examples of each split as they were read, for pictures and messages.
        problems: What the reader found wrong and could go on with.
    """

    facts: Facts
    splits: dict[str, Split]
    raw: dict[str, Part]
    about: str = ""
    problems: list[Problem] = field(default_factory=list)

    def __getitem__(self, split: str) -> Split:
        if split not in self.splits:
            raise DataError(f"{self.facts.name} has no split {split!r}; it has {', '.join(self.splits)}")
        return self.splits[split]


def open_data(
    source: str | Path,
    *,
    split: str | None = None,
    folds: int = 0,
    fold: int = 0,
    seed: int = 0,
    classes: Sequence[str] = (),
    examples: int = 0,
    image_size: int | None = None,
    channels: int | None = None,
    crop: float = 0.0,
    interpolation: Interpolation = "bilinear",
    standardise: bool = True,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    target: str | None = None,
    context: int = 128,
    allow_bad: bool = False,
) -> Data:
    """Open an embedded data set by name, or whatever lies at a path.

    Args:
        source: ``digits``, ``iris`` ... (``didact data`` lists them), or a file or folder.
        split: Shares of train/val/test in per cent; by default 60/20/20, and 80/10/10 for text. Splits
            that the data set brings along are kept.
        folds: Split into this many folds instead; ``fold`` is tested, the next one validates.
        fold: Which fold is the test split.
        seed: Decides the split.
        classes: Only the examples of these classes; by default all.
        examples: Train on so many examples of the training split, in its class shares; 0 takes all.
        image_size: Resize images to this many pixels a side.
        channels: Read images in grey (1) or in colour (3); by default as they are.
        crop: Share of an image's shorter side to read, from its middle; 0 reads all of it, squeezed.
        interpolation: How images are resized.
        standardise: Subtract the training mean and divide by the training standard deviation.
        mean: Subtract this instead, one number a channel.
        std: Divide by this instead, one number a channel.
        target: The column to predict, for tables; by default the last one.
        context: Tokens a language model sees at once.
        allow_bad: Leave broken examples out instead of refusing the data set.

    Raises:
        DataError: Nothing is there, nothing can be read, or the data is broken (``problems`` lists where).
        UsageError: A split that is none.
    """
    raw = read(source, target=target)
    if not allow_bad:
        _refuse_broken(raw, source, "mend it, or leave such examples out with --allow-bad")
    raw = of_classes(raw, classes)
    parts = split_parts(raw, split, folds, fold, seed)
    if examples:
        parts["train"] = _some(raw, parts["train"], examples, seed)
    facts = Facts(
        raw.name,
        raw.inputs,
        raw.target,
        _shape(raw, parts["train"], image_size, channels, context),
        classes=raw.classes,
        mean=tuple(mean),
        std=tuple(std),
        crop=crop,
        interpolation=interpolation,
        target_name=raw.target_name,
    )
    _check_moments(facts, standardise)
    facts = fit(facts, parts["train"].items, raw.categories, standardise)
    if raw.target == "number":
        numbers = np.asarray(parts["train"].targets, dtype=np.float64)
        facts = replace(facts, target_mean=float(numbers.mean()), target_std=float(numbers.std() or 1.0))
    splits = {name: _encoded(facts, part, context) for name, part in parts.items()}
    sizes = {name: len(s.tokens) if isinstance(s, StreamSplit) else len(s) for name, s in splits.items()}
    facts = replace(facts, sizes=sizes, fingerprint=_fingerprint(parts))
    if any(len(s) == 0 for s in splits.values()):
        empty = next(name for name, s in splits.items() if len(s) == 0)
        raise DataError(
            f"{raw.name}: the {empty} split is empty ({len(raw)} examples in all); "
            "add data, or choose other shares with --set split=60/20/20"
        )
    return Data(facts, splits, parts, raw.about, raw.problems)


def open_for(facts: Facts, source: str | Path) -> Split:
    """Open other data for a model that is trained already, encoded by its facts.

    Raises:
        DataError: The data is broken, or is not of the kind that the model was trained on.
    """
    raw = read(source, target=facts.target_name if facts.inputs == "table" else None)
    _refuse_broken(raw, source, "mend it")
    whole = joined(raw)
    if raw.inputs != facts.inputs or (facts.target in ("class", "number") and not len(whole.targets)):
        raise DataError(f"{source} holds {raw.inputs} examples; this model was trained on {facts.inputs}")
    split = _encoded(facts, whole, facts.input_shape[0])
    if not len(split):
        raise DataError(f"{source} holds no whole example; one has the shape {facts.input_shape}")
    return split


def read(source: str | Path, *, target: str | None = None) -> Raw:
    """Read an embedded data set or a path, without splitting or encoding.

    Raises:
        DataError: Neither a name nor a path that exists, or nothing there that can be read.
        UsageError: Another target for a set that comes with its own.
    """
    name = str(source).replace("_", "-")
    if name in EMBEDDED and not Path(str(source)).is_dir():
        raw = EMBEDDED[name].read()
        if target not in (None, raw.target_name):
            raise UsageError(f"target={target!r}: {name} comes with its own, {raw.target_name!r}")
        return raw
    if not Path(source).exists():
        raise DataError(
            f"data {str(source)!r} is neither a file nor an embedded set; {suggest(name, EMBEDDED)}"
        )
    return read_path(Path(source), target=target)


def label_tensor(facts: Facts, targets: Sequence[Any]) -> Tensor:
    """Class names to labels (N,) int64; numbers, standardised, to (N, 1) float.

    Raises:
        DataError: A class that the facts do not know, or a text where a number is learned.
    """
    if facts.target == "class":
        label = label_of(facts.classes)
        unknown = next((str(t) for t in targets if str(t) not in label), None)
        if unknown is not None:
            raise DataError(f"class {unknown!r} is unknown to this model; {suggest(unknown, facts.classes)}")
        return torch.tensor([label[str(t)] for t in targets], dtype=torch.long)
    try:
        numbers = torch.tensor([float(t) for t in targets], dtype=torch.float64).unsqueeze(1)
    except ValueError as error:
        raise DataError(f"{facts.target_name} must be a number ({error})") from None
    return ((numbers - facts.target_mean) / facts.target_std).float()


def split_parts(raw: Raw, rule: str | None, folds: int, fold: int, seed: int) -> dict[str, Part]:
    """Split what was read, keeping the splits it came with; a missing one is held out of train."""
    rule = rule or ("80/10/10" if raw.inputs in ("tokens", "bag") else "60/20/20")
    _, val_share, test_share = parse_ratio(rule)
    if set(raw.parts) == {"all"} or folds:
        whole = joined(raw)
        if raw.inputs == "tokens" and len(whole.items) < 10:
            return _cut_text(whole, rule)
        groups = _groups(raw, whole)
        if folds:
            chosen = fold_split(groups, folds, fold, seed)
        elif raw.inputs == "tokens":
            chosen = document_split([len(text) for text in whole.items], rule, seed)
        else:
            chosen = ratio_split(groups, rule, seed)
        return {name: whole.pick(indices) for name, indices in chosen.items()}
    parts = dict(raw.parts)
    for name, share in (("test", test_share), ("val", val_share)):
        if name not in parts:
            kept, held = hold_out(_groups(raw, parts["train"]), share, seed)
            parts[name], parts["train"] = parts["train"].pick(held), parts["train"].pick(kept)
    return {name: parts[name] for name in ("train", "val", "test")}


def of_classes(raw: Raw, classes: Sequence[str]) -> Raw:
    """The examples of some classes alone; of all where none is named.

    Raises:
        UsageError: A class that is not there, or data without classes.
    """
    if not classes:
        return raw
    if not raw.classes:
        raise UsageError(f"classes={','.join(classes)}: {raw.name} has no classes; leave classes out")
    unknown = next((name for name in classes if name not in raw.classes), None)
    if unknown is not None:
        raise UsageError(f"classes: {raw.name} has no class {unknown!r}; {suggest(unknown, raw.classes)}")
    parts = {
        name: part.pick([i for i, target in enumerate(part.targets) if str(target) in classes])
        for name, part in raw.parts.items()
    }
    return replace(raw, parts=parts, classes=tuple(name for name in raw.classes if name in classes))


def encode_part(facts: Facts, part: Part) -> TensorSplit:
    """A labelled part in memory, encoded by the facts of a model."""
    targets = label_tensor(facts, part.targets) if len(part.targets) else torch.zeros(len(part.items))
    return TensorSplit(encode(facts, part.items), targets)


def _refuse_broken(raw: Raw, source: str | Path, remedy: str) -> None:
    fatal = [problem for problem in raw.problems if problem.fatal]
    if fatal:
        more = f" (and {len(fatal) - 1} more: didact data {source})" if len(fatal) > 1 else ""
        raise DataError(f"{fatal[0]}{more}; {remedy}", fatal)


def _encoded(facts: Facts, part: Part, context: int) -> Split:
    if facts.inputs == "tokens":
        return StreamSplit(encode(facts, part.items), context)
    if len(part.items) * prod(facts.input_shape) * 4 > MEMORY_BYTES:
        return FileSplit(facts, part.items, label_tensor(facts, part.targets))
    return encode_part(facts, part) if len(part.items) else TensorSplit(torch.empty(0), torch.empty(0))


def _check_moments(facts: Facts, standardise: bool) -> None:
    """A mean and a standard deviation that the user gives: both or neither, one number a channel.

    Raises:
        UsageError: They do not fit the data, or each other.
    """
    mean, std = facts.mean, facts.std
    if not mean and not std:
        return
    if facts.inputs != "image":
        raise UsageError(f"mean={mean}: {facts.name} holds {facts.inputs} examples; leave it out")
    if not standardise:
        raise UsageError(f"mean={mean}: standardise=false would not use it; leave one of them out")
    channels = facts.input_shape[0]
    if len(mean) != channels or len(std) != channels:
        raise UsageError(
            f"mean={mean}, std={std}: {facts.name} is read with {channels} channels; give {channels} of each"
        )


def _some(raw: Raw, train: Part, examples: int, seed: int) -> Part:
    """So many examples of the training split.

    Raises:
        UsageError: More than there are, or a text, which has none to count.
    """
    if raw.inputs == "tokens":
        raise UsageError(f"examples={examples}: {raw.name} is one long text; leave examples out")
    return train.pick(some_of(_groups(raw, train), examples, seed))


def _shape(
    raw: Raw, train: Part, image_size: int | None, channels: int | None, context: int
) -> tuple[int, ...]:
    """The shape of one encoded example, as far as it is known before fitting."""
    if raw.inputs == "tokens":
        return (context,)
    if raw.inputs == "sample":
        return tuple(np.asarray(train.items[0]).reshape(-1).shape)
    if raw.inputs != "image":
        return ()
    first = train.items[0]
    grey, size = image_facts(first)
    size = (image_size, image_size) if image_size else size
    return (channels or (1 if grey else 3), *size)


def image_facts(item: Any) -> tuple[bool, tuple[int, int]]:
    """Whether an image is grey, and its height and width."""
    if isinstance(item, np.ndarray):
        return item.ndim == 2 or item.shape[2] == 1, (item.shape[0], item.shape[1])
    from PIL import Image

    read_image(item, 3, (1, 1))  # raises the named error of an image that does not decode
    with Image.open(item) as image:
        return image.mode in ("1", "L", "LA", "I", "I;16", "F"), (image.height, image.width)


def _groups(raw: Raw, part: Part) -> list[int]:
    """Label of each example, so that splits keep the class shares; all zeros when there are no classes."""
    if raw.target != "class":
        return [0] * len(part.items)
    label = label_of(raw.classes)
    return [label[str(target)] for target in part.targets]


def joined(raw: Raw) -> Part:
    """All examples of a data set, whatever splits it came with."""
    lists = (
        [value for part in raw.parts.values() for value in getattr(part, name)]
        for name in ("items", "targets", "places")
    )
    return Part(*lists)


def _cut_text(whole: Part, rule: str) -> dict[str, Part]:
    """Cut one long text in three at the shares: the end, never shuffled in, is validation and test."""
    text = "\n\n".join(whole.items)
    train, val, _ = parse_ratio(rule)
    first, second = round(len(text) * train), round(len(text) * (train + val))
    pieces = {"train": text[:first], "val": text[first:second], "test": text[second:]}
    return {name: Part([piece]) for name, piece in pieces.items()}


def _fingerprint(parts: dict[str, Part]) -> str:
    """SHA-256 over what each split holds, in order."""
    digest = hashlib.sha256()
    for name, part in parts.items():
        digest.update(name.encode())
        for item in part.items:
            if isinstance(item, np.ndarray):
                digest.update(item.tobytes())
            elif isinstance(item, Path):
                digest.update(item.read_bytes())
            else:
                digest.update(repr(item).encode())
        digest.update(repr([str(target) for target in part.targets]).encode())
    return digest.hexdigest()
