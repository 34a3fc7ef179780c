"""What a person would rather see than read, as plain values: two examples, a column, the classes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from didact.data.card import in_words
from didact.data.check.classes import class_counts
from didact.data.check.finding import Finding
from didact.data.check.subject import Seen, Subject

MOST = 6  # pictures of findings
SIDE = 160  # pixels of an image
ROWS = 2000  # of a column


def exhibits_of(findings: Sequence[Finding], subject: Subject | None) -> list[dict[str, Any]]:
    """A picture of each finding that has one, the worst first, and one of the whole data set."""
    if subject is None:
        return []
    shown = [_exhibit(finding) for finding in findings if finding.show]
    whole = _whole(subject)
    seen: list[dict[str, Any]] = []
    for exhibit in shown[:MOST]:
        if exhibit["kind"] != "classes" or not any(other["kind"] == "classes" for other in seen):
            seen.append(exhibit)
    return seen if any(exhibit["kind"] == whole["kind"] == "classes" for exhibit in seen) else [*seen, whole]


def _exhibit(finding: Finding) -> dict[str, Any]:
    show, title = finding.show, f"{finding.rule}: {finding.where}"
    if show["kind"] == "pair":
        return {"kind": "examples", "title": title, "examples": [_example(seen) for seen in show["pair"]]}
    if show["kind"] == "images":
        return {"kind": "examples", "title": title, "examples": [_example(seen) for seen in show["images"]]}
    if show["kind"] == "column":
        return {**_thinned(show), "title": title}
    return {**show, "title": title}


def _example(seen: Seen) -> dict[str, Any]:
    """An image as an array, anything else in words; its place and its label below."""
    label = "" if seen.target is None else f": {seen.target}"
    image = isinstance(seen.item, Path) or (isinstance(seen.item, np.ndarray) and seen.item.ndim >= 2)
    return {
        "caption": f"{seen.place} ({seen.split}){label}",
        **({"image": _thumbnail(seen.item)} if image else {"text": in_words(seen.item)}),
    }


def _thumbnail(item: np.ndarray | Path) -> np.ndarray:
    with Image.open(item) if isinstance(item, Path) else Image.fromarray(item.squeeze()) as image:
        small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    return np.asarray(small)


def _thinned(show: Mapping[str, Any]) -> dict[str, Any]:
    """A column that gives the answer away, in so many rows that they can be seen."""
    step = max(len(show["cells"]) // ROWS, 1)
    return {**show, "cells": show["cells"][::step], "targets": show["targets"][::step]}


def _whole(subject: Subject) -> dict[str, Any]:
    """How many of each class, or how the numbers lie."""
    raw = subject.raw
    if raw.target == "class":
        counts = {split: dict(own) for split, own in class_counts(subject).items()}
        ordered = {split: {name: own.get(name, 0) for name in raw.classes} for split, own in counts.items()}
        return {"kind": "classes", "title": f"{subject.name}: examples by class", "counts": ordered}
    if raw.target == "number":
        name, values = raw.target_name, {split: np.asarray(p.targets) for split, p in raw.parts.items()}
    elif raw.inputs == "tokens":
        name = "characters of a document"
        values = {split: np.array([len(text) for text in p.items]) for split, p in raw.parts.items()}
    else:
        name = next(iter(subject.learned_columns))
        values = {split: columns[name] for split, columns in subject.columns.items()}
    return {"kind": "numbers", "title": f"{subject.name}: {name}", "name": name, "values": values}
