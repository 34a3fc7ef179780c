"""What is heard between two updates."""

from dataclasses import dataclass, field

from didact.doctor.passes import Pass
from didact.doctor.taps import LossCall

MOST_PASSES = 64  # a sequence can be stepped by hand
GRAPHS = 4  # of the last passes, which are kept until the backward


@dataclass
class Update:
    """One update of the weights in the making.

    Attributes:
        passes: Calls of models: the first, and the last of many.
        heard: Losses that were differentiated.
        loss: What they came to, at the first backward.
        told: The same, as the loop tells it.
        backwards: How often something was differentiated.
    """

    passes: list[Pass] = field(default_factory=list)
    heard: list[LossCall] = field(default_factory=list)
    loss: float | None = None
    told: float | None = None
    backwards: int = 0

    def clear(self) -> None:
        """Begin the next; nobody has kept anything of this one."""
        self.passes.clear()
        self.heard.clear()
        self.loss, self.told, self.backwards = None, None, 0

    @property
    def training(self) -> list[Pass]:
        """The passes that recorded gradients."""
        return [one for one in self.passes if one.learning]

    @property
    def together(self) -> bool:
        """One model was asked several times for one loss: about a pair, or place by place."""
        names = {one.name for one in self.training}
        return self.backwards == 1 and len(names) == 1 and len(self.training) > 1

    def handed_on(self, one: Pass) -> bool:
        """Whether the inputs of a pass are what another part made of the data."""
        x, others = one.inputs.tensor, [other for other in self.passes if other.name != one.name]
        if x is None or not others:
            return False
        return x.grad_fn is not None or any(other.answer.data_ptr() == x.data_ptr() for other in others)

    def add(self, one: Pass) -> None:
        """A model was called."""
        self.passes.append(one)
        del self.passes[1 : len(self.passes) - MOST_PASSES]
        for earlier in self.passes[:-GRAPHS]:
            earlier.made_by = None  # nobody's graph is kept alive by being watched
