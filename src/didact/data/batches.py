"""Splits that give batches, and the order in which they come.

A batch is a function of (seed, epoch, position) alone: of the same split, seed and epoch, position k holds
the same examples whether they lie in memory or are decoded by any number of workers, and a run that is
resumed at position k sees what it would have seen.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from didact.data.encode import encode
from didact.data.facts import Facts

Batch = tuple[Tensor, Tensor]  # inputs (B, ...), targets (B, ...)
Augment = Callable[[Tensor, torch.Generator], Tensor]
GATHER_BYTES = 4 << 20  # gather a few batches by one indexing; small enough to stay in the cache


class Split(Protocol):
    """Examples that can be taken by position."""

    in_memory: bool

    @property
    def example_bytes(self) -> int:
        """Memory that one example takes."""
        ...

    def __len__(self) -> int:
        """How many positions there are."""
        ...

    def take(self, positions: Tensor) -> Batch:
        """The examples at these positions, as one batch."""
        ...

    def order(self, generator: torch.Generator | None) -> Tensor:
        """The positions of one epoch: shuffled by the generator, or in their own order without one."""
        ...


@dataclass
class TensorSplit:
    """Examples in memory: ``inputs`` (N, ...) and ``targets`` (N, ...)."""

    inputs: Tensor
    targets: Tensor
    in_memory = True

    @property
    def example_bytes(self) -> int:
        """Memory that the inputs of one example take."""
        return self.inputs[:1].nbytes

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, positions: Tensor) -> Batch:
        """Index both tensors."""
        return self.inputs[positions], self.targets[positions]

    def order(self, generator: torch.Generator | None) -> Tensor:
        """One permutation."""
        return _order(len(self), generator)

    def to(self, device: torch.device, channels_last: bool) -> "TensorSplit":
        """The same split on a device, images laid out channels-last when asked."""
        inputs = self.inputs.to(device)
        if channels_last and inputs.dim() == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return TensorSplit(inputs, self.targets.to(device))


@dataclass
class FileSplit:
    """Examples that are decoded when they are needed, by worker processes."""

    facts: Facts
    items: Sequence[Any]
    targets: Tensor
    in_memory = False

    @property
    def example_bytes(self) -> int:
        """Memory that one decoded example takes."""
        return 4 * prod(self.facts.input_shape)

    def __len__(self) -> int:
        return len(self.items)

    def take(self, positions: Tensor) -> Batch:
        """Decode and encode."""
        return encode(self.facts, [self.items[i] for i in positions.tolist()]), self.targets[positions]

    def order(self, generator: torch.Generator | None) -> Tensor:
        """One permutation."""
        return _order(len(self), generator)


@dataclass
class StreamSplit:
    """One long stream of tokens, cut into windows; the target of each token is the next one.

    A shuffled epoch starts at a random offset, so that a model does not see the same cuts every time.
    """

    tokens: Tensor
    context: int
    in_memory = True

    @property
    def example_bytes(self) -> int:
        """Memory that one window takes."""
        return 8 * self.context

    def __len__(self) -> int:
        return max((len(self.tokens) - 1) // self.context, 0)

    def take(self, positions: Tensor) -> Batch:
        """Windows (B, T) that start at these positions of the stream, and the same one token later."""
        index = positions[:, None] + torch.arange(self.context, device=positions.device)
        return self.tokens[index], self.tokens[index + 1]

    def order(self, generator: torch.Generator | None) -> Tensor:
        """Where the windows start."""
        if generator is None:
            return torch.arange(len(self)) * self.context
        spare = len(self.tokens) - 1 - len(self) * self.context
        offset = torch.randint(spare + 1, (), generator=generator)
        return _order(len(self), generator) * self.context + offset


def generator_for(*key: int) -> torch.Generator:
    """A generator that depends on the key alone, so that no call can disturb another's numbers."""
    mixed = 0
    for part in key:  # SplitMix64's finaliser: neighbouring keys give unrelated seeds
        mixed = (mixed + part + 0x9E3779B97F4A7C15) & (2**64 - 1)
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
        mixed ^= mixed >> 31
    return torch.Generator().manual_seed(mixed >> 1)


def epoch_batches(
    split: Split,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    start: int = 0,
    workers: int = 0,
    augment: Augment | None = None,
) -> Iterator[Batch]:
    """The shuffled batches of one epoch, from position ``start`` on. The last one may be short."""
    order = split.order(generator_for(seed, epoch))
    batches = _gathered(split, order, batch_size, start, workers)
    if augment is None:
        yield from batches
        return
    for position, (inputs, targets) in enumerate(batches, start):
        yield augment(inputs, generator_for(seed, epoch, position + 1)), targets


def ordered_batches(split: Split, batch_size: int, *, workers: int = 0) -> Iterator[Batch]:
    """Every example once, in order: for evaluation."""
    return _gathered(split, split.order(None), batch_size, 0, workers)


def count_batches(split: Split, batch_size: int) -> int:
    """Batches in an epoch: ceil(N / B)."""
    return -(-len(split) // batch_size)


def _gathered(split: Split, order: Tensor, size: int, start: int, workers: int) -> Iterator[Batch]:
    if start * size >= len(order):
        return
    parts = order.split(size)[start:]
    if not split.in_memory:
        yield from DataLoader(
            _Taken(split, parts),
            batch_size=None,
            num_workers=workers,
            persistent_workers=False,
            prefetch_factor=2 if workers else None,
            generator=generator_for(0),
        )  # without one it draws from torch's global numbers
        return
    together = max(GATHER_BYTES // max(split.example_bytes, 1), size) // size * size
    for chunk in order[start * size :].split(together):
        inputs, targets = split.take(chunk)
        yield from zip(inputs.split(size), targets.split(size), strict=True)


class _Taken(Dataset[Batch]):
    """The batches of one epoch as a data set, for DataLoader's workers."""

    def __init__(self, split: Split, parts: Sequence[Tensor]):
        self.split, self.parts = split, parts

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, position: int) -> Batch:
        return self.split.take(self.parts[position])


def _order(count: int, generator: torch.Generator | None) -> Tensor:
    return torch.arange(count) if generator is None else torch.randperm(count, generator=generator)
