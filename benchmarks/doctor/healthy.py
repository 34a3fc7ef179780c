"""Runs that look odd and learn all the same: whoever alarms here cries wolf.

An oddity changes a task as a fault does, but rightly. `plan(count)` gives every base run, every oddity alone
where it makes sense, and pairs of oddities drawn until there are enough. A run counts as healthy when its
true score is at most 0.05 below that of its base task in the same style and seed, and what its user reads is
not off the truth by 0.15 more than there; the rest is dropped and told.
"""

import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import networks
import torch
from fault import LABELLED, NUMBERS, ONE_LOSS
from styles import USUAL
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import lr_scheduler
from torch.utils.checkpoint import checkpoint

import tasks
from tasks import TASKS, Task, adam, sgd

SLACK = 0.05
DIGITS = ("digits-mlp", "digits-cnn", "rows-lstm")
MLPS = ("digits-mlp", "wine-mlp", "cancer-bce", "diabetes")


@dataclass(frozen=True)
class Oddity:
    """Something unusual and right. Two of one kind are never combined."""

    name: str
    kind: str
    tasks: tuple[str, ...]
    apply: Callable[[Task], None]
    styles: tuple[str, ...] = USUAL


ODDITIES: list[Oddity] = []


def odd(kind: str, on: tuple[str, ...], styles: tuple[str, ...] = USUAL) -> Callable[[Any], Any]:
    """Enter an oddity into the table."""

    def enter(apply: Callable[[Task], None]) -> Callable[[Task], None]:
        ODDITIES.append(Oddity(apply.__name__, kind, on, apply, styles))
        return apply

    return enter


# Optimizers and schedules


@odd("optimizer", ("digits-mlp", "wine-mlp", "iris-mlp", "cancer-bce"))
def sgd_of_one_half(task: Task) -> None:
    """A learning rate of 0.5 where it works."""
    task.optimizer = sgd(0.5 if task.name != "digits-mlp" else 0.3, 0.0)


@odd("optimizer", (*LABELLED, "cancer-bce"))
def rmsprop(task: Task) -> None:
    task.optimizer = partial(torch.optim.RMSprop, lr=2e-3)
    task.epochs += task.epochs // 2


@odd("optimizer", (*LABELLED, "cancer-bce"))
def adagrad(task: Task) -> None:
    task.optimizer = partial(torch.optim.Adagrad, lr=0.03)
    task.epochs += task.epochs // 2


@odd("optimizer", (*NUMBERS, "markov-lm", "digits-vae"))
def adamw_with_decay(task: Task) -> None:
    task.optimizer = partial(torch.optim.AdamW, lr=5e-3, weight_decay=0.05)


@odd("optimizer", ("digits-mlp", "wine-mlp", "diabetes", "iris-mlp"), ("closure",))
def lbfgs(task: Task) -> None:
    """The whole set in one batch, and an optimizer that calls the loss."""
    task.optimizer = partial(torch.optim.LBFGS, lr=0.3, max_iter=8)
    task.epochs, task.batch = (3 if task.name == "diabetes" else 12), len(task.train[0])


@odd("optimizer", ("wine-mlp", "digits-mlp", "diabetes"))
def nesterov_with_decay(task: Task) -> None:
    lr = task.optimizer.keywords["lr"]
    task.optimizer = partial(torch.optim.SGD, lr=lr, momentum=0.9, nesterov=True, weight_decay=1e-3)


@odd("schedule", (*NUMBERS, "recall-gru", "markov-lm", "digits-vae"))
def warm_up_from_zero(task: Task) -> None:
    """The first steps hardly move anything, and are meant to."""

    def schedule(optimizer: Any, epochs: int, steps: int) -> Any:
        warm = max(1, epochs * steps // 5)
        return lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, step / warm))

    task.schedule, task.schedule_each = schedule, "batch"


@odd("schedule", (*ONE_LOSS,))
def cosine_to_zero(task: Task) -> None:
    """The learning rate ends at 0."""
    task.schedule = lambda optimizer, epochs, steps: lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    task.schedule_each = "batch"


@odd("schedule", ("digits-cnn", "synthetic", "cancer-bce", "markov-lm"))
def one_cycle(task: Task) -> None:
    """Up and down within the run."""
    top = task.optimizer.keywords["lr"] * 2
    task.schedule = lambda optimizer, epochs, steps: lr_scheduler.OneCycleLR(
        optimizer, top, total_steps=epochs * steps + 1
    )
    task.schedule_each = "batch"


@odd("clip", ONE_LOSS)
def clipped_at_one(task: Task) -> None:
    task.clip = 1.0


@odd("batch", (*NUMBERS, "recall-gru"))
def batch_of_sixteen(task: Task) -> None:
    """Small, BatchNorm or not."""
    task.batch = 16


@odd("epochs", (*NUMBERS, "recall-gru", "digits-vae"))
def twice_as_long(task: Task) -> None:
    task.epochs *= 2


@odd("epochs", ("iris-mlp", "wine-mlp", "cancer-bce", "diabetes", "digits-mlp", "synthetic"))
def stops_when_stale(task: Task) -> None:
    """Early stopping with the best weights kept."""
    task.epochs, task.patience = task.epochs * 2, 5


# Losses


@odd("loss", (*LABELLED, "recall-gru"))
def label_smoothing(task: Task) -> None:
    """The loss cannot reach 0."""
    task.set_loss(nn.CrossEntropyLoss(label_smoothing=0.1), partial(F.cross_entropy, label_smoothing=0.1))


@odd("loss", (*LABELLED, "recall-gru"))
def class_weights(task: Task) -> None:
    """Uneven weights: the first loss is not log C."""
    weights = torch.linspace(0.5, 2.0, int(task.train[1].max()) + 1)
    task.set_loss(nn.CrossEntropyLoss(weight=weights), partial(F.cross_entropy, weight=weights))


@odd("loss", ("cancer-bce",))
def positive_weight(task: Task) -> None:
    weight = torch.tensor([3.0])
    function = partial(F.binary_cross_entropy_with_logits, pos_weight=weight)
    task.set_loss(nn.BCEWithLogitsLoss(pos_weight=weight), function)


@odd("loss", (*LABELLED, "recall-gru"))
def log_softmax_and_nll(task: Task) -> None:
    """The two halves of cross-entropy, in two places."""
    task.rebuild(last=partial(F.log_softmax, dim=1))
    task.set_loss(nn.NLLLoss(), F.nll_loss)


@odd("loss", ("cancer-bce",))
def bce_of_probabilities(task: Task) -> None:
    """A sigmoid at the end, and the loss that wants it."""
    task.rebuild(last=nn.Sigmoid())
    task.set_loss(nn.BCELoss(), F.binary_cross_entropy)
    task.metric = lambda out, y: tasks.binary_metric(out - 0.5, y)
    task.truth = partial(tasks.score_outputs, task.metric)


@odd("loss", ("iris-mlp", "wine-mlp", "digits-mlp", "digits-cnn"))
def squares_of_one_hot(task: Task) -> None:
    """Squared error against one-hot rows: an old way, and it works."""
    classes = int(task.train[1].max()) + 1
    task.set_loss(lambda out, y: F.mse_loss(out, F.one_hot(y, classes).float()) * classes)


@odd("loss", ("diabetes",))
def absolute_error(task: Task) -> None:
    task.set_loss(nn.SmoothL1Loss(), F.smooth_l1_loss)


@odd("loss", (*LABELLED, "cancer-bce"))
def summed_and_divided(task: Task) -> None:
    """Its own mean: the sum, divided by the batch."""
    task.set_loss(*(lambda out, y, f=f: f(out, y) * len(y) / len(y) * 2.0 for f in task.losses))


# Data


@odd("scale", ("digits-mlp", "rows-lstm", "digits-cnn"))
def pixels_to_sixteen(task: Task) -> None:
    """Raw inputs that work."""
    task.map_inputs(lambda x: x * 16)
    task.optimizer = adam(2e-3)


@odd("scale", ("cancer-bce", "wine-mlp"))
def raw_columns_behind_a_norm(task: Task) -> None:
    """Columns in their own units, and a BatchNorm that takes care of them."""
    from injectors.data import unscale

    unscale(task, "train val test")
    task.wrap(lambda model: nn.Sequential(nn.BatchNorm1d(task.train[0].shape[1]), model))


@odd("target", ("diabetes",))
def target_in_its_unit(task: Task) -> None:
    """Unscaled targets that work, with a learning rate to match and the bias at the mean."""
    task.map_targets(lambda y: 152.0 + 77.0 * y)
    task.optimizer, task.epochs = adam(0.05), 40
    task.wrap(lambda model: nn.init.constant_(list(model.modules())[-1].bias, 152.0))


@odd("rows", (*LABELLED, "cancer-bce"))
def imbalance_that_is_learned(task: Task) -> None:
    """One class four times as often as the others."""
    y = task.train[1]
    order = torch.arange(len(y))
    keep = (y == y.max()) | (order % 4 == 0) if task.name == "synthetic" else (y != 0) | (order % 3 == 0)
    task.keep_rows(keep.nonzero()[:, 0])


@odd("rows", LABELLED)
def every_row_twice(task: Task) -> None:
    """Duplicates inside the training rows alone."""
    task.train = tuple(torch.cat([part, part]) for part in task.train)
    task.epochs = max(3, task.epochs * 2 // 3)


@odd("val", NUMBERS)
def little_validation(task: Task) -> None:
    task.keep_rows(torch.arange(24), "val")


@odd("val", ONE_LOSS)
def no_validation(task: Task) -> None:
    task.val = None


@odd("augment", ("digits-mlp", "digits-cnn", "synthetic"))
def noise_that_helps(task: Task) -> None:
    scale = task.train[0].std() * 0.2
    task.augment = lambda x: x + scale * torch.randn_like(x)


@odd("augment", ("digits-mlp", "digits-cnn"))
def mixed_inside_a_class(task: Task) -> None:
    """A tenth of the pixels blanked."""
    task.augment = lambda x: x * (torch.rand_like(x) > 0.1)


# Networks


def insert_dropout(rate: float, model: nn.Sequential) -> nn.Sequential:
    layers = list(model)
    return nn.Sequential(*layers[:2], nn.Dropout(rate), *layers[2:])


@odd("drop", ("digits-mlp", "wine-mlp", "synthetic", "cancer-bce"))
def dropout_of_one_half(task: Task) -> None:
    """The validation looks better than the training."""
    if task.network.func is networks.plain_mlp:
        task.wrap(partial(insert_dropout, 0.5))
    else:
        task.rebuild(drop=0.4)
    task.epochs *= 2


@odd("net", ("digits-mlp", "wine-mlp", "diabetes"))
def mostly_silent_relus(task: Task) -> None:
    """A wide layer with biases below 0: most of its zeros are on purpose."""
    task.set_width(256)
    task.wrap(lambda model: nn.init.constant_(model[0].bias, -0.3))


class Residual(nn.Module):
    """x + a branch whose last layer starts at 0."""

    def __init__(self, width: int):
        super().__init__()
        self.branch = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)
        )
        nn.init.zeros_(self.branch[-1].weight)
        nn.init.zeros_(self.branch[-1].bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


def residual_net(first: int, last: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(first, 32), Residual(32), Residual(32), nn.LayerNorm(32), nn.Linear(32, last)
    )


@odd("net", ("digits-mlp", "wine-mlp", "cancer-bce", "synthetic", "iris-mlp"))
def exits_start_at_zero(task: Task) -> None:
    from injectors.architecture import SIZES

    task.network = partial(residual_net, *SIZES[task.name])
    task.optimizer = adam(3e-3)


@odd("net", ("digits-mlp", "wine-mlp", "iris-mlp"))
def head_starts_at_zero(task: Task) -> None:
    """A last layer of zeros alone: the first loss is log C to the digit."""
    task.wrap(
        lambda model: nn.init.zeros_([m for m in model.modules() if isinstance(m, nn.Linear)][-1].weight)
    )


@odd("net", ("digits-mlp", "wine-mlp", "iris-mlp", "cancer-bce"))
def gelu_or_silu(task: Task) -> None:
    task.set_act(nn.GELU if task.name != "wine-mlp" else nn.SiLU)


@odd("net", ("digits-mlp", "wine-mlp", "cancer-bce"))
def sigmoids(task: Task) -> None:
    """Old-fashioned, shallow, and learning."""
    task.set_act(nn.Sigmoid)
    task.optimizer = adam(0.01)


@odd("net", ("iris-mlp", "wine-mlp", "digits-mlp", "diabetes"))
def one_linear_layer(task: Task) -> None:
    """Logistic or linear regression: no activation is missing."""
    from injectors.architecture import SIZES

    task.network = partial(nn.Linear, *SIZES[task.name])


@odd("net", ("digits-mlp", "synthetic"))
def batch_norm_mlp(task: Task) -> None:
    """Bias-free layers and BatchNorm1d."""
    from injectors.architecture import SIZES

    first, last = SIZES[task.name]
    task.network = partial(
        lambda: nn.Sequential(
            nn.Linear(first, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, last)
        )
    )


@odd("net", ("digits-mlp", "digits-cnn", "wine-mlp"))
def frozen_backbone(task: Task) -> None:
    """Wide random features that stay as they are; the head alone learns."""
    task.set_width(64 if task.name == "digits-cnn" else 512)
    if task.name != "digits-cnn":
        first, *_, last = task.network.keywords["sizes"]
        task.rebuild(sizes=(first, 512, last))

    def freeze(model: nn.Module) -> None:
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        head = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
        for parameter in head.parameters():
            parameter.requires_grad_(True)

    task.wrap(freeze)
    task.trained = lambda model: [p for p in model.parameters() if p.requires_grad]


class TiedNet(networks.LanguageNet):
    """The embedding is the head."""

    def __init__(self, **arguments: Any):
        super().__init__(**arguments)
        self.head.weight = self.tokens.weight


@odd("net", ("markov-lm",))
def tied_weights(task: Task) -> None:
    task.network = partial(TiedNet)


class HandLstm(nn.Module):
    """An LSTM cell, stepped by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTMCell(8, 32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        h = c = x.new_zeros(len(x), 32)
        for t in range(x.shape[1]):
            h, c = self.cell(x[:, t], (h, c))
        return self.head(h)


@odd("net", ("rows-lstm",))
def stepped_by_hand(task: Task) -> None:
    task.network = partial(HandLstm)


@odd("net", ("rows-lstm",))
def time_first(task: Task) -> None:
    """batch_first=False, and the axes turned as they should be."""

    class Turned(networks.RowNet):
        def forward(self, x: Tensor) -> Tensor:
            states, _ = self.rnn(x.permute(1, 0, 2))
            return self.head(states[-1])

    task.network = partial(Turned, batch_first=False)


@odd("net", ("rows-lstm",))
def bidirectional(task: Task) -> None:
    """Looks at the whole row sequence, and may: it is no language model."""

    class Both(networks.RowNet):
        def __init__(self) -> None:
            super().__init__(cell=partial(nn.GRU, bidirectional=True))
            self.head = nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(x)[0].mean(1))

    task.network = partial(Both)


class Aided(nn.Module):
    """A second head in the middle, in training alone."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(64, 64), nn.Linear(64, 32)
        self.head, self.aid = nn.Linear(32, 10), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Any:
        middle = F.relu(self.one(x))
        out = self.head(F.relu(self.two(middle)))
        return (out, self.aid(middle)) if self.training else out


@odd("net", ("digits-mlp",))
def auxiliary_head(task: Task) -> None:
    task.network = partial(Aided)

    def loss(out: Any, y: Tensor) -> Tensor:
        if isinstance(out, tuple):
            return F.cross_entropy(out[0], y) + 0.3 * F.cross_entropy(out[1], y)
        return F.cross_entropy(out, y)

    task.set_loss(loss)


# The loop


@odd("loop", ONE_LOSS, ("classic", "split"))
def loss_as_float(task: Task) -> None:
    task.log_float = True


@odd("loop", (*NUMBERS, "recall-gru", "markov-lm"))
def bfloat16(task: Task) -> None:
    predict = task.predict

    def autocast(model: nn.Module, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            out = predict(model, x)
        return out.float()

    task.predict = autocast


@odd("loop", ("digits-mlp", "wine-mlp", "iris-mlp", "rows-lstm"))
def checkpointed(task: Task) -> None:
    """Forward runs twice for each backward."""
    predict = task.predict

    def again(model: nn.Module, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return checkpoint(predict, model, x, use_reentrant=False)
        return predict(model, x)

    task.predict = again


@odd("loop", ("digits-mlp", "digits-cnn", "wine-mlp", "synthetic", "rows-lstm"))
def two_views(task: Task) -> None:
    """Two forwards and one backward, as siamese networks do."""
    predict, scale = task.predict, task.train[0].std() * 0.05

    def both(model: nn.Module, x: Tensor) -> Tensor:
        return (predict(model, x) + predict(model, x + scale * torch.randn_like(x))) / 2

    task.predict = both


@odd("loop", (*NUMBERS, "markov-lm"))
def moving_teacher(task: Task) -> None:
    """An average of the weights, kept and run without gradients."""
    kept: dict[int, nn.Module] = {}
    x = task.train[0][:8]

    @torch.no_grad()
    def follow(model: nn.Module) -> None:
        teacher = kept.setdefault(id(model), copy.deepcopy(model).eval())
        for mine, theirs in zip(teacher.parameters(), model.parameters(), strict=True):
            mine.lerp_(theirs, 0.05)
        teacher(x)

    task.after_step = follow


@odd("loop", ("markov-lm", "digits-vae", "recall-gru"))
def samples_while_training(task: Task) -> None:
    """Looks at the network between epochs, without gradients, and leaves it as it was."""

    @torch.no_grad()
    def sample(_task: Task, model: nn.Module, x: Tensor, _y: Tensor) -> None:
        was = model.training
        model.eval()
        for _ in range(5):
            model(x[:4])
        model.train(was)

    task.after_epoch = sample


@odd("loop", ("digits-cnn", "cancer-bce", "synthetic", "wine-mlp"))
def scores_training_rows_too(task: Task) -> None:
    """After each epoch the training rows are scored in eval mode: they are no leaked validation rows."""

    @torch.no_grad()
    def score(own: Task, model: nn.Module, x: Tensor, _y: Tensor) -> None:
        model.eval()
        own.predict(model, x[:64])

    task.after_epoch = score


# GANs


GAN = ("ring-gan",)


@odd("gan loss", GAN)
def one_sided_smoothing(task: Task) -> None:
    task.real_label = 0.9


@odd("gan loss", GAN)
def least_squares(task: Task) -> None:
    task.set_loss(nn.MSELoss(), F.mse_loss)


@odd("gan steps", GAN)
def critic_twice(task: Task) -> None:
    task.critic_steps, task.epochs = 2, 60


@odd("gan net", GAN)
def wider_players(task: Task) -> None:
    task.network = partial(lambda: (networks.Generator(8, 96), networks.Critic(96)))


@odd("gan noise", GAN)
def uniform_noise(task: Task) -> None:
    task.noise = lambda n: torch.rand(n, 8) * 2 - 1


@odd("gan optimizer", GAN)
def rmsprop_players(task: Task) -> None:
    task.optimizer = partial(torch.optim.RMSprop, lr=5e-4)
    task.critic_optimizer = partial(torch.optim.RMSprop, lr=1e-3)
    task.epochs = 60


# The plan


@dataclass(frozen=True)
class HealthyRun:
    """A task with some oddities; none for a base run."""

    task: str
    style: str
    seed: int
    oddities: tuple[str, ...] = ()


def find_oddity(name: str) -> Oddity:
    return next(oddity for oddity in ODDITIES if oddity.name == name)


def base_runs(seeds: int) -> list[HealthyRun]:
    return [HealthyRun(task, style, seed) for task in TASKS for style in USUAL for seed in range(seeds)]


def singles() -> Iterator[HealthyRun]:
    """Each oddity on each of its tasks; the style takes turns."""
    for number, oddity in enumerate(ODDITIES):
        for turn, task in enumerate(oddity.tasks):
            style = oddity.styles[(number + turn) % len(oddity.styles)]
            yield HealthyRun(task, style, turn % 3, (oddity.name,))


def pairs(seed: int = 0) -> Iterator[HealthyRun]:
    """Two oddities of different kinds on a task, without end and without repetition."""
    draw, seen = random.Random(seed), set()
    while True:
        task = draw.choice(list(TASKS))
        able = [oddity for oddity in ODDITIES if task in oddity.tasks]
        one, two = draw.sample(able, 2)
        styles = [style for style in one.styles if style in two.styles]
        key = (task, frozenset((one.name, two.name)))
        if one.kind == two.kind or key in seen or not styles:
            continue
        seen.add(key)
        yield HealthyRun(task, draw.choice(styles), draw.randrange(3), (one.name, two.name))


def plan(count: int) -> list[HealthyRun]:
    """At least the singles; pairs until there are `count`."""
    runs, more = list(singles())[: max(count, 1)], pairs()
    while len(runs) < count:
        runs.append(next(more))
    return runs
