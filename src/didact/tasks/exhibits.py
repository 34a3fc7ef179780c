"""What there is to see of a trained model. Each exhibit holds numbers; ``plot`` draws, ``str`` prints.

They are saved with the run as JSON, so that a report can be made again without the data or the model.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass
class Exhibit:
    """Base of every exhibit."""

    kind: ClassVar[str] = "exhibit"
    title: ClassVar[str] = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with the kind by which ``exhibit_from_dict`` finds the class."""
        return {"kind": self.kind, **asdict(self)}

    def plot(self) -> "Figure":
        """Draw it as a matplotlib figure."""
        raise NotImplementedError


@dataclass
class Confusion(Exhibit):
    """How often each class (row) was taken for each class (column)."""

    classes: Sequence[str]
    matrix: list[list[int]]
    kind: ClassVar[str] = "confusion"
    title: ClassVar[str] = "Confusion matrix"

    def plot(self) -> "Figure":
        """A shaded table of counts."""
        from didact.draw.confusion import draw_confusion

        return draw_confusion(self.classes, self.matrix)

    def __str__(self) -> str:
        wide = max(3, *(len(str(count)) for row in self.matrix for count in row)) + 1
        names = max(len(name) for name in self.classes)
        rows = (
            f"{name:>{names}} " + "".join(f"{count or '.':>{wide}}" for count in row)
            for name, row in zip(self.classes, self.matrix, strict=True)
        )
        return "true \\ predicted\n" + "\n".join(rows)


@dataclass
class Mistake:
    """One wrong answer. ``picture`` is a PNG as a data URI; ``text`` says it where there is no picture."""

    place: str
    true: str
    predicted: str
    probability: float
    picture: str = ""
    text: str = ""


@dataclass
class Mistakes(Exhibit):
    """The wrong answers that the model was surest of."""

    mistakes: list[Mistake]
    wrong: int
    total: int
    kind: ClassVar[str] = "mistakes"
    title: ClassVar[str] = "Worst mistakes"

    def __post_init__(self) -> None:
        self.mistakes = [Mistake(**m) if isinstance(m, dict) else m for m in self.mistakes]

    def plot(self) -> "Figure":
        """The pictures, or the texts, with the true and the given answer."""
        from didact.draw.gallery import draw_gallery

        captions = [f"{m.true}, taken for {m.predicted}\n{m.probability:.0%} sure" for m in self.mistakes]
        return draw_gallery([m.picture for m in self.mistakes], captions, [m.text for m in self.mistakes])

    def __str__(self) -> str:
        lines = [f"{self.wrong} of {self.total} wrong"]
        lines += [
            f"{m.place}: {m.true}, taken for {m.predicted} ({m.probability:.0%} sure)" for m in self.mistakes
        ]
        return "\n".join(lines)


@dataclass
class Scatter(Exhibit):
    """Predicted against true numbers."""

    true: list[float]
    predicted: list[float]
    name: str
    kind: ClassVar[str] = "scatter"
    title: ClassVar[str] = "Predicted against true"

    def plot(self) -> "Figure":
        """Points beside the diagonal of perfect answers."""
        from didact.draw.scatter import draw_scatter

        return draw_scatter(self.true, self.predicted, self.name)


@dataclass
class Distributions(Exhibit):
    """Histogram of what was generated over what was real. ``edges`` has one value more than the counts."""

    edges: list[float]
    real: list[int]
    generated: list[int]
    kind: ClassVar[str] = "distributions"
    title: ClassVar[str] = "Real and generated"

    def plot(self) -> "Figure":
        """Two histograms as densities over the same bins."""
        from didact.draw.histogram import draw_histograms

        return draw_histograms(self.edges, {"real": self.real, "generated": self.generated})


@dataclass
class Passage(Exhibit):
    """A passage of text; ``bits`` says how surprised the model was by each character, where it read one."""

    text: str
    bits: list[float]
    about: str
    kind: ClassVar[str] = "passage"
    title: ClassVar[str] = "Text"

    def plot(self) -> "Figure":
        """Surprise, character by character."""
        from didact.draw.curves import draw_surprise

        return draw_surprise(self.text, self.bits)

    def __str__(self) -> str:
        return f"{self.about}\n{self.text}"


KINDS: dict[str, type[Exhibit]] = {
    cls.kind: cls for cls in (Confusion, Mistakes, Scatter, Distributions, Passage)
}


def exhibit_from_dict(values: dict[str, Any]) -> Exhibit:
    """Rebuild an exhibit from ``to_dict``."""
    values = dict(values)
    return KINDS[values.pop("kind")](**values)
