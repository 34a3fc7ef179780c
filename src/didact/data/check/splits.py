"""Splits: is the validation split large enough, and do the splits come from one place?"""

# N, M examples of two splits, F columns

from collections.abc import Mapping
from math import sqrt

import numpy as np

from didact.data.check.classes import class_counts
from didact.data.check.finding import Finding, found
from didact.data.check.ranks import chi_square_z, rank_z, two_sided
from didact.data.check.rules import BROAD, LOOKED_AT, RATIO, SHARES_DIFFER, SHIFT, STANDARD_ERROR
from didact.data.check.subject import Subject
from didact.data.open import split_parts
from didact.errors import DataError, UsageError

SURE = 0.001  # chance of a false alarm, all tests together
FAR = 6.0  # standard errors


def check_splits(subject: Subject, columns: Mapping[str, Mapping[str, np.ndarray]]) -> list[Finding]:
    """The size of validation; what differs between train and the other splits.

    Args:
        subject: The whole data set.
        columns: Numbers of each example looked at, by split and name: a table's own, or of images their
            brightness.
    """
    findings = _small(subject)
    if not {"train"} < set(subject.raw.parts):
        return findings
    findings += _class_drift(subject)
    others = [split for split in columns if split != "train"]
    tests = 2 * sum(len(columns[split]) for split in others)
    for split in others:
        findings += _drift(subject, split, columns["train"], columns[split], tests)
    return findings


def _small(subject: Subject) -> list[Finding]:
    """With n examples a share of right answers is known to 0.5 / sqrt(n), at worst."""
    if subject.raw.target != "class" or not subject.raw.classes:
        return []
    try:
        parts = subject.raw.parts if subject.given else split_parts(subject.raw, None, 0, 0, 0)
    except (DataError, UsageError):
        return []
    if "val" not in parts or not len(parts["val"].items):
        return []
    count = len(parts["val"].items)
    error = 0.5 / sqrt(count)
    if error <= STANDARD_ERROR:
        return []
    what = f"{count} examples validate: an accuracy is known to ± {error:.2f} at worst (one standard error)"
    return [found("small-validation", subject.name, what, numbers={"examples": count, "error": error})]


def _class_drift(subject: Subject) -> list[Finding]:
    if subject.raw.target != "class":
        return []
    counts = class_counts(subject)
    names = subject.raw.classes
    train = np.array([counts["train"][name] for name in names], dtype=np.float64)
    findings = []
    for split in counts:
        own = np.array([counts[split][name] for name in names], dtype=np.float64)
        apart = float(np.abs(own / max(own.sum(), 1) - train / max(train.sum(), 1)).sum() / 2)
        if split == "train" or apart <= SHARES_DIFFER or two_sided(chi_square_z(train, own)) > SURE:
            continue
        worst = int(np.abs(own / own.sum() - train / train.sum()).argmax())
        what = (
            f"class {names[worst]!r} is {train[worst] / train.sum():.0%} of train "
            f"and {own[worst] / own.sum():.0%} of {split}"
        )
        show = {"kind": "classes", "counts": {name: dict(c) for name, c in counts.items()}}
        findings.append(found("class-drift", subject.name, what, numbers={"apart": apart}, show=show))
    return findings


def _drift(
    subject: Subject,
    split: str,
    train: Mapping[str, np.ndarray],
    other: Mapping[str, np.ndarray],
    tests: int,
) -> list[Finding]:
    """One finding where the whole split differs, else one for each column that does."""
    measured = {
        name: moved
        for name in train
        if name in other and (moved := compare(train[name], other[name])) is not None
    }
    if not measured:
        return []
    shifted = [name for name, m in measured.items() if abs(m["shift"]) > SHIFT and abs(m["z"]) > FAR]
    ratios = [m["ratio"] for m in measured.values() if abs(m["z_spread"]) > FAR]
    scaled = [r for r in ratios if not 1 / RATIO <= r <= RATIO]
    if len(shifted) >= BROAD * len(measured) or len(scaled) > len(measured) / 2:
        name = shifted[0] if shifted else next(iter(measured))
        what = (
            f"{split} is not like train: {len(shifted)} of {len(measured)} columns moved, "
            f"{len(scaled)} scaled, such as {_in_words(name, measured[name])}"
        )
        numbers = {"columns": len(measured), "shifted": len(shifted), "scaled": len(scaled)}
        show = {"kind": "numbers", "values": {"train": train[name], split: other[name]}, "name": name}
        return [found("drift", f"{subject.name} {split}", what, numbers=numbers, show=show)]
    return [
        found(
            "column-drift",
            f"{subject.name} {split}",
            f"differs from train in {_in_words(name, moved)}",
            numbers=moved,
            show={"kind": "numbers", "values": {"train": train[name], split: other[name]}, "name": name},
        )
        for name, moved in measured.items()
        if min(two_sided(moved["z"]), two_sided(moved["z_spread"])) * tests < SURE
        and (abs(moved["shift"]) > SHIFT or not 1 / RATIO <= moved["ratio"] <= RATIO)
    ]


def compare(train: np.ndarray, other: np.ndarray) -> dict[str, float] | None:
    """How far a column moved, in deviations of train, and how its deviation changed: (N,) and (M,).

    Returns:
        None where there is too little to compare, or nothing varies.
    """
    train, other = train[np.isfinite(train)], other[np.isfinite(other)]
    if min(len(train), len(other)) < LOOKED_AT or not train.std() > 0:
        return None
    middle = np.median(train), np.median(other)
    return {
        "shift": float((other.mean() - train.mean()) / train.std()),
        "ratio": float(other.std() / train.std()),
        "z": rank_z(train, other),
        "z_spread": rank_z(np.abs(train - middle[0]), np.abs(other - middle[1])),
    }


def _in_words(name: str, moved: Mapping[str, float]) -> str:
    return f"{name!r}: mean {moved['shift']:+.1f} deviations of train, deviation x {moved['ratio']:.2f}"
