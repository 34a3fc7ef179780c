"""Which batch of a loader belongs to a pass: some hand out the next before this one is used."""

from collections import deque
from typing import Any

from torch import Tensor

from didact.doctor.inputs import tensors_in

KEPT = 3  # batches; a loader that is one ahead needs two


class Batches:
    """The last batches that loaders gave."""

    def __init__(self) -> None:
        self.last: deque[Any] = deque(maxlen=KEPT)
        self.fresh = False  # one came since the last update
        self.ahead = False  # some loader gives the next batch before this one is used

    def heard(self, batch: Any) -> None:
        """A loader gave a batch."""
        self.last.append(batch)
        self.fresh = True

    def used(self) -> None:
        """An update was made."""
        self.fresh = False

    def of(self, inputs: Tensor | None) -> Any:
        """The batch that holds these very numbers; else the last, if it came for this update; else None."""
        place = inputs.data_ptr() if inputs is not None else 0
        for age, batch in enumerate(reversed(self.last)):
            if place and any(tensor.data_ptr() == place for tensor in tensors_in(batch)):
                self.ahead = self.ahead or (self.fresh and age > 0)
                return batch
        return self.last[-1] if self.fresh and not self.ahead else None
