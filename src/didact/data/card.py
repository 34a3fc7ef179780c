"""A data card: what a data set holds, in numbers and in a few examples, for the terminal and the report."""

from base64 import b64encode
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from didact.data.open import Data

THUMBNAIL = 96  # pixels a side
EXAMPLES = 12


def data_card(data: Data) -> dict[str, Any]:
    """Sizes, class counts by split, columns, problems and examples, as plain values."""
    facts = data.facts
    counts = {name: Counter(str(t) for t in part.targets) for name, part in data.raw.items()}
    card: dict[str, Any] = {
        "name": facts.name,
        "about": data.about,
        "inputs": facts.inputs,
        "target": facts.target,
        "target_name": facts.target_name,
        "input_shape": list(facts.input_shape),
        "sizes": facts.sizes,
        "fingerprint": facts.fingerprint,
        "problems": [str(problem) for problem in data.problems],
        "examples": _examples(data),
    }
    if facts.target == "class":
        card["classes"] = {name: {split: counts[split][name] for split in counts} for name in facts.classes}
    if facts.columns:
        card["columns"] = {
            c.name: f"{len(c.values)} categories" if c.values else "number" for c in facts.columns
        }
    if facts.inputs in ("tokens", "bag"):
        card["vocabulary"] = len(facts.vocabulary)
    return card


def picture_uri(item: np.ndarray | Path) -> str:
    """An image as a small PNG in a data URI; a few pixels are enlarged without smoothing."""
    with Image.fromarray(item) if isinstance(item, np.ndarray) else Image.open(item) as opened:
        image = opened.convert("RGB")
    scale = THUMBNAIL / max(image.size)
    width, height = (max(round(side * scale), 1) for side in image.size)
    image = image.resize(
        (width, height), Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR
    )
    buffer = BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + b64encode(buffer.getvalue()).decode()


def in_words(item: Any, limit: int = 200) -> str:
    """A table row, a text or a sample, shortened to be read at a glance."""
    if isinstance(item, dict):
        text = ", ".join(f"{name} {value}" for name, value in item.items())
    elif isinstance(item, str):
        text = " ".join(item.split())
    else:
        text = ", ".join(f"{value:.3f}" for value in np.asarray(item).reshape(-1))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _examples(data: Data) -> list[dict[str, str]]:
    """Training examples, one of each class in turn where there are classes."""
    train = data.raw["train"]
    by_class: dict[str, list[int]] = {}
    for index in range(len(train.items)):
        by_class.setdefault(str(train.targets[index]) if data.facts.target == "class" else "", []).append(
            index
        )
    turns = [group[k] for k in range(EXAMPLES) for _, group in sorted(by_class.items()) if k < len(group)]
    return [
        {
            "label": str(train.targets[i]) if len(train.targets) else "",
            "place": train.place(i),
            **(
                {"picture": picture_uri(train.items[i])}
                if data.facts.inputs == "image"
                else {"text": in_words(train.items[i])}
            ),
        }
        for i in turns[:EXAMPLES]
    ]
