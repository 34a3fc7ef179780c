"""Texts: what is left when the reader has taken out the empty ones and those that are not UTF-8."""

import re

import numpy as np

from didact.data.check.finding import Finding, found
from didact.data.check.subject import Subject

GARBLED = re.compile("[\ufffd\x00]|Ã[\x80-\xbf\u201a-\u203a\u0152-\u0192\u2122]|â€")  # é as Ã©, ’ as â€™


def lengths(subject: Subject) -> dict[str, dict[str, np.ndarray]]:
    """Characters of each text by split, (N,) each, to compare splits by."""
    return {
        split: {"length": np.array([len(text) for text in part.items], dtype=np.float64)}
        for split, part in subject.raw.parts.items()
    }


def check_texts(subject: Subject) -> list[Finding]:
    """Texts whose characters were lost on the way."""
    garbled = [(seen, match) for seen in subject.examples if (match := GARBLED.search(seen.item))]
    if not garbled:
        return []
    first, match = garbled[0]
    count = f"; {len(garbled):,} texts in all" if len(garbled) > 1 else ""
    around = first.item[max(match.start() - 10, 0) : match.end() + 10]
    where = f"{first.place}, character {match.start()}"
    places = [seen.place for seen, _ in garbled]
    what = f"garbled: {around!r}{count}"
    return [found("garbled-text", where, what, places=places, numbers={"count": len(garbled)})]
