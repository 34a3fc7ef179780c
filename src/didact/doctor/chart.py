"""What the doctor wrote down of a run: numbers alone, so that the rules can be asked again later."""

# a step is one update of an optimizer; L0 the first loss; H what the best constant answer costs

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Series = list[tuple[int, float]]  # (step, value)


@dataclass
class Weight:
    """One parameter.

    Attributes:
        kind: What it serves: linear, conv, embedding, recurrent, norm or other.
        fan_in: Inputs of one unit; 0 for vectors.
        std: Of its numbers before training.
        twins: All units have the same weights, in and out, before training.
        used: A forward pass in training read it.
        received: Updates before which it had a gradient that is not zero.
        empty: Updates before which its gradient was None.
        order: Its place in the forward pass, -1 where unknown.
        still_twins: They were, and are after a number of updates.
        varies: Of what it makes of its first batch: the deviation of a unit over the rows; NaN where unknown.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    fan_in: int
    std: float
    constant: bool
    twins: bool
    trainable: bool
    in_optimizer: bool
    used: bool = False
    received: int = 0
    empty: int = 0
    order: int = -1
    still_twins: bool = False
    varies: float = math.nan


@dataclass
class Look:
    """Gradients and updates at one step; arrays follow ``Chart.weights`` and hold NaN where there is none."""

    step: int
    gradient: np.ndarray  # root mean square, before the step
    weight: np.ndarray
    ratio: np.ndarray  # length of the update over length of the weight
    norm: float  # of the whole gradient


@dataclass
class Activation:
    """One non-linearity of the forward pass.

    Attributes:
        kind: relu, sigmoid, tanh ...
        after: The weight whose layer it follows.
        last: It makes the model's output.
        dead: Share of units that never fired over a few hundred rows.
        saturated: Share beyond the range in which it is steep.
    """

    kind: str
    after: str
    units: int = 0
    last: bool = False
    dead: Series = field(default_factory=list)
    saturated: Series = field(default_factory=list)
    alive: list[float] = field(default_factory=list)  # share of rows that fire, of each unit, last window


@dataclass
class Pairing:
    """A loss and what it is given in training, counted over calls.

    Attributes:
        kind: As in ``taps.LOSSES``; ``other`` for one written by hand that none of them equals.
        counts: What was true of how many calls (``unit range``, ``rows sum to one`` ...).
        facts: Of the targets: integers, classes, lowest, highest ...
        producer: The operation that made what it is given.
        baseline: What the best constant answer costs; NaN where that is unknown.
    """

    kind: str
    calls: int = 0
    rows: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    producer: str = ""
    reduction: str = "mean"
    baseline: float = math.nan
    costs: Series = field(default_factory=list)  # the mean of what came out
    outside: list[float] = field(default_factory=list)  # share of targets that the output cannot reach


@dataclass
class Epoch:
    """An epoch, or what lies between two validations where nobody says."""

    step: int
    train_loss: float = math.nan
    train_accuracy: float = math.nan
    val_loss: float = math.nan
    val_accuracy: float = math.nan
    val_rows: int = 0
    measured: bool = False  # the validation accuracy is our own
    gap: float = math.nan  # of accuracy between training and validation, both told or both our own
    told: dict[str, float] = field(default_factory=dict)  # metrics handed to on_epoch
    in_train: tuple[float, float] | None = None  # (loss, accuracy) of one kept batch, training mode
    in_eval: tuple[float, float] | None = None
    predicted: list[int] = field(default_factory=list)  # answers of each class in validation, else training
    met: tuple[int, int] = (0, 0)  # rows of training that were read so far, and different ones among them


@dataclass
class Rows:
    """A sample of the rows that were trained on, and what is known of all of them.

    Attributes:
        inputs: (N, F) a sample, of at most a thousand features each; ``table``: they were rows of numbers,
            ``tokens``: they only name things.
        targets: (N,) or (N, K).
        hashes: Of every row seen in training and in validation.
        changed: Rows seen again with another target, of how many seen again.
        order: z-scores of how often neighbours in a batch share a label.
    """

    inputs: np.ndarray | None = None
    targets: np.ndarray | None = None
    integer: bool = False
    ignored: int = -100  # the class number of places that do not count
    table: bool = False
    tokens: bool = False
    words: dict[int, int] = field(default_factory=dict)  # whole numbers that inputs of training are made of
    val_words: dict[int, int] = field(default_factory=dict)  # those of validation, and how often each is met
    late: tuple[np.ndarray, np.ndarray] | None = None  # inputs and targets of the last batches that were read
    held: tuple[np.ndarray, np.ndarray] | None = None  # the same of validation rows that were not trained on
    twin: tuple[int, np.ndarray] | None = None  # a row of a validation that was trained on: number, content
    train: set[int] = field(default_factory=set)
    train_seen: int = 0
    repeated: int = 0  # rows met twice in the first epoch,
    at_odds: int = 0  # and with another target than before
    val: set[int] = field(default_factory=set)
    again: int = 0
    changed: int = 0
    lately: list[tuple[int, int]] = field(default_factory=list)  # the same two of each batch
    order: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)  # of batches
    levels: list[tuple[int, float, float]] = field(default_factory=list)  # rows, mean and variance of targets
    val_levels: list[tuple[int, float, float]] = field(default_factory=list)
    columns: dict[int, float] = field(default_factory=dict)  # rows with each of several labels
    val_columns: dict[int, float] = field(default_factory=dict)
    labels: dict[int, int] = field(default_factory=dict)
    val_labels: dict[int, int] = field(default_factory=dict)
    moments: dict[str, tuple[int, np.ndarray, np.ndarray]] = field(default_factory=dict)  # n, mean, m2
    successive: tuple[int, np.ndarray] | None = None  # pairs of rows of validation, their squared differences
    not_finite: dict[str, Any] = field(default_factory=dict)
    visible: list[float] = field(default_factory=list)  # share of targets equal to the input at their place
    told: list[float] = field(default_factory=list)  # the same of an input of their shape beside the first
    shifted: int | None = None  # the axis along which targets are the inputs, one place on


@dataclass
class Chart:
    """Everything that was observed. Plain numbers, arrays and names: it can be pickled."""

    weights: list[Weight] = field(default_factory=list)
    late: bool = False  # the weights were first seen after an update
    strangers: int = 0  # tensors in an optimizer that are not the model's and get no gradient
    modules: dict[str, int] = field(default_factory=dict)  # kind -> how many: batch_norm, dropout ...
    dropout: float = 0.0  # the largest probability
    settings: list[dict[str, Any]] = field(default_factory=list)  # of each optimizer
    probes: dict[str, Any] = field(default_factory=dict)
    activations: list[Activation] = field(default_factory=list)
    pairings: dict[str, Pairing] = field(default_factory=dict)
    rows: Rows = field(default_factory=Rows)
    losses: Series = field(default_factory=list)
    by_group: dict[int, Series] = field(default_factory=dict)  # the same for each optimizer
    rates: Series = field(default_factory=list)
    zeroing: dict[int, list[int]] = field(
        default_factory=dict
    )  # by optimizer: updates zeroed before, and not
    idle: list[int] = field(default_factory=list)  # optimizers that never stepped, though others did
    looks: list[Look] = field(default_factory=list)
    norms: Series = field(default_factory=list)
    clipped: list[tuple[int, float, float]] = field(default_factory=list)  # step, norm, limit
    epochs: list[Epoch] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)  # events: see the rules that read them
    where: dict[str, str] = field(default_factory=dict)  # for counts: the first place
    accuracy: Series = field(default_factory=list)  # of training batches, as they are met
    surer: list[tuple[int, float, float]] = field(
        default_factory=list
    )  # step; how often right answers of training were surer than wrong ones; share of right ones
    rivals: dict[str, Series] = field(default_factory=dict)  # of a game: spread, judge ...
    latent: list[tuple[int, float]] = field(default_factory=list)  # step, share of latent axes unused
    seconds: Series = field(default_factory=list)  # of a step
    waits: Series = field(default_factory=list)  # for a loader; else from an update to the next pass
    step: int = 0
    backwards: int = 0
    finished: bool = False
    errors: list[str] = field(default_factory=list)  # of the doctor's own

    def count(self, event: str, where: str = "", times: int = 1) -> None:
        """Note that something happened, and where it first did."""
        self.counts[event] = self.counts.get(event, 0) + times
        if where:
            self.where.setdefault(event, where)
