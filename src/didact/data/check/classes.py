"""Classes and labels: which there are, how many of each, in which splits, and how they are numbered."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from didact.data.check.finding import Finding, found
from didact.data.check.rules import FEW, FEWEST, IMBALANCE, LOOKED_AT, MAJORITY, MANY_COPIES
from didact.data.check.subject import Subject

Counts = dict[str, Counter[str]]  # examples by split and class


def class_counts(subject: Subject) -> Counts:
    """How many examples of each class each split has."""
    return {name: Counter(map(str, part.targets)) for name, part in subject.raw.parts.items()}


def check_classes(subject: Subject) -> list[Finding]:
    """Everything about classes; for a number to be predicted, whether it varies."""
    if subject.raw.target == "number":
        return _one_target(subject)
    if subject.raw.target != "class":
        return []
    counts = class_counts(subject)
    return [
        *_missing(subject, counts),
        *_few(subject, counts),
        *_imbalance(subject, counts[subject.learned_split]),
        *_numbering(subject, counts),
        *_sorted(subject),
    ]


def _one_target(subject: Subject) -> list[Finding]:
    values = set(subject.learned.targets)
    if len(values) != 1:
        return []
    what = f"{subject.raw.target_name!r}, which is to be predicted, is always {next(iter(values))}"
    return [found("one-target", subject.name, what)]


def _missing(subject: Subject, counts: Counts) -> list[Finding]:
    """Classes that nothing, or too little, can be learned or said of."""
    findings = []
    show = _histogram(counts)
    for name in subject.raw.classes:
        without = [split for split in counts if not counts[split][name]]
        if len(without) == len(counts):
            findings.append(found("empty-class", subject.name, f"class {name!r} has no example"))
        elif "train" in without:
            having = " and ".join(f"{own[name]} in {split}" for split, own in counts.items() if own[name])
            what = f"class {name!r} has {having}, but none in train: the model cannot learn it"
            findings.append(found("class-not-in-train", subject.name, what, show=show))
        elif without:
            what = f"class {name!r} has no example in {' and '.join(without)}"
            findings.append(found("class-not-in-split", subject.name, what, show=show))
    return findings


def _few(subject: Subject, counts: Counts) -> list[Finding]:
    """Classes of a handful of examples: each needs one to learn, one to choose and one to test."""
    own = counts[subject.learned_split]
    findings = []
    for severe, low, high in ((True, 1, FEWEST), (False, FEWEST, FEW)):
        names = [name for name in subject.raw.classes if low <= own[name] < high]
        if names:
            listed = ", ".join(f"{name!r} {own[name]}" for name in names[:5])
            more = f" and {len(names) - 5} more classes" if len(names) > 5 else ""
            what = f"few examples to learn from: {listed}{more}"
            findings.append(
                found(
                    "few-examples",
                    subject.name,
                    what,
                    severity=None if severe else "note",
                    numbers={"classes": len(names)},
                    show=_histogram(counts),
                )
            )
    return findings


def _imbalance(subject: Subject, own: Counter[str]) -> list[Finding]:
    """One class so frequent that always naming it looks like success."""
    present = [(count, name) for name, count in own.items() if count]
    if len(present) < 2:
        return []
    (most, largest), (least, smallest) = max(present), min(present)
    share = most / own.total()
    if share < MAJORITY and most < IMBALANCE * least:
        return []
    what = (
        f"class {largest!r} has {most:,} of {own.total():,} examples, {smallest!r} {least:,}: "
        f"always saying {largest!r} is right in {share:.0%}"
    )
    show = _histogram({subject.learned_split: own})
    return [
        found("imbalance", subject.name, what, numbers={"share": share, "ratio": most / least}, show=show)
    ]


def _numbering(subject: Subject, counts: Counts) -> list[Finding]:
    """Labels that are whole numbers: from 0, without a gap, and the same in every split."""
    labels = _whole_numbers(subject.raw.classes)
    if shifted := _shift(subject, counts):
        return shifted
    if stray := _strays(labels, sum(counts.values(), Counter[str]())):
        return [_stray(subject, labels, stray)]
    if not labels or labels == list(range(len(labels))) or labels[-1] > 2 * len(labels):
        return []
    listed = ", ".join(map(str, labels[:6])) + (" ..." if len(labels) > 6 else "")
    return [found("labels-not-from-0", subject.name, f"the labels are {listed}")]


def _whole_numbers(names: Sequence[str]) -> list[int]:
    """The labels in order, if all names are whole numbers as a program writes them."""
    try:
        labels = sorted(int(name) for name in names)
    except ValueError:
        return []
    return labels if {str(label) for label in labels} == set(names) else []


def _strays(labels: Sequence[int], counts: Counter[str]) -> list[int]:
    """Rare labels below 0 or beyond a wide gap, where all the others run from 0 or 1 without one."""
    usual = [label for k, label in enumerate(labels) if 0 <= label <= max(2 * k, 1)]
    stray = [label for label in labels if label not in usual]
    runs = len(usual) > 1 and usual == list(range(usual[0], usual[0] + len(usual)))
    rare = sum(counts[str(label)] for label in stray) <= max(MANY_COPIES * counts.total(), 1)
    return stray if runs and rare else []


def _stray(subject: Subject, labels: Sequence[int], stray: Sequence[int]) -> Finding:
    names, usual = set(map(str, stray)), [label for label in labels if label not in stray]
    places = [seen.place for seen in subject.examples if str(seen.target) in names]
    what = f"label {', '.join(map(str, stray))} beside {usual[0]} to {usual[-1]}; {len(places)} such"
    where = places[0] if places else subject.name
    return found("stray-label", where, what, places=places, numbers={"count": len(places)})


def _shift(subject: Subject, counts: Counts) -> list[Finding]:
    """A split whose labels are those of train, moved."""
    own = {split: set(_whole_numbers([name for name in c if c[name]])) for split, c in counts.items()}
    train = own.get("train", set())
    findings = []
    for split, labels in own.items():
        by = min(labels, default=0) - min(train, default=0)
        if len(train) > 1 and by and labels == {label + by for label in train}:
            what = (
                f"the labels of {split} run {min(labels)} to {max(labels)}, those of train "
                f"{min(train)} to {max(train)}: moved by {by}"
            )
            findings.append(found("label-shift", subject.name, what, numbers={"by": by}))
    return findings


def _sorted(subject: Subject) -> list[Finding]:
    """Rows that stand class by class; in a folder for each class they cannot stand otherwise."""
    part = subject.learned
    targets = [str(target) for target in part.targets]
    if len(targets) < LOOKED_AT or targets[0] in subject.place(subject.learned_split, 0).split("/")[:-1]:
        return []
    changes = sum(a != b for a, b in pairwise(targets))
    classes = len(set(targets))
    if classes < 2 or changes != classes - 1:
        return []
    return [
        found("sorted-by-class", subject.name, f"all of {targets[0]!r} first, all of {targets[-1]!r} last")
    ]


def _histogram(counts: Counts) -> dict[str, object]:
    return {"kind": "classes", "counts": {split: dict(own) for split, own in counts.items()}}
