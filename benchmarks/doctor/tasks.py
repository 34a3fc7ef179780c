"""The twelve base tasks: data, network, loss, optimizer, habits; plain fields that an injector may change.

    digits-mlp   digits-cnn   iris-mlp   wine-mlp   cancer-bce   diabetes   synthetic
    rows-lstm    recall-gru   markov-lm  digits-vae   ring-gan

`make_task(name, seed)` gives a fresh `Task`; `styles.py` trains it; `Task.truth` scores the result on clean
test rows, higher is better: balanced accuracy, R2, the share of the gain a language model can make, modes of
eight.

Letters: B batch, C classes, F features, N rows, T time, V vocabulary.
"""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import networks
import torch
from sklearn import datasets
from torch import Tensor, nn
from torch.nn import functional as F

Pair = tuple[Tensor, Tensor]
MODES = 8


@dataclass
class Task:
    """Everything one training run is made of."""

    name: str
    kind: str  # classes, binary, values, tokens, images or points
    train: Pair
    val: Pair | None
    test: Pair
    network: partial[Any]  # -> nn.Module; for a GAN, (generator, critic)
    losses: tuple[Any, ...]  # the same loss in tastes: a module, a function, hand-written
    optimizer: Callable[[Any], torch.optim.Optimizer]
    epochs: int
    batch: int
    metric: Callable[[Tensor, Tensor], float]  # what the user prints
    truth: Callable[["Task", Any], float]  # the score on clean test rows; higher is better
    margin: float  # how far a clearly worse run falls behind
    # What is done to the network and by whom
    wraps: list[Callable[[Any], Any]] = field(default_factory=list)  # after it was built
    edits: list[Callable[[Any], Any]] = field(default_factory=list)  # after the optimizer was built
    trained: Callable[[Any], Iterable[Any]] = lambda model: model.parameters()
    predict: Callable[[Any, Tensor], Any] = lambda model, x: model(x)
    # The loop's habits
    zero_grad: bool = True
    takes_step: bool = True
    backward: Callable[[Tensor], None] = Tensor.backward
    train_mode: str = "always"  # before each epoch; "once": before the first; "never": not after eval
    eval_mode: bool = True
    no_grad: bool = True
    shuffle: bool = True
    keep_graph: bool = False
    log_float: bool = False
    clip: float | None = None
    patience: int | None = None
    schedule: Callable[[Any, int, int], Any] | None = None  # (optimizer, epochs, steps an epoch)
    schedule_each: str = "epoch"
    augment: Callable[[Tensor], Tensor] | None = None
    before_batch: Callable[[], None] | None = None
    after_step: Callable[[Any], None] | None = None
    after_epoch: Callable[["Task", Any, Tensor, Tensor], None] | None = None
    # A GAN's habits
    noise: Callable[[int], Tensor] = lambda n: torch.randn(n, 8)
    critic_optimizer: Callable[[Any], torch.optim.Optimizer] | None = None
    critic_steps: int = 1
    cut_fake: bool = False  # the generator's step sees detached fakes
    saturating: bool = False
    real_label: float = 1.0
    radius: float = 0.25  # how near a sample must be to count for a mode

    def rebuild(self, **arguments: Any) -> None:
        """Change arguments of the network."""
        self.network = partial(self.network, **arguments)

    def set_outputs(self, number: int) -> None:
        """Change the number of outputs."""
        sizes = self.network.keywords.get("sizes")
        self.rebuild(**({"sizes": (*sizes[:-1], number)} if sizes else {"classes": number}))

    def set_width(self, number: int) -> None:
        """Change the width of the first hidden layer."""
        sizes = self.network.keywords.get("sizes")
        self.rebuild(**({"sizes": (sizes[0], number, *sizes[2:])} if sizes else {"width": number}))

    def set_act(self, module: Callable[[], nn.Module]) -> None:
        """Change the hidden activation, as a module or as a function, whatever the network wants."""
        wants_module = self.network.func in (networks.plain_mlp, networks.NormNet)
        self.rebuild(act=module if wants_module else module())

    def wrap(self, function: Callable[[Any], Any]) -> None:
        """Change the network right after it is built, in place or by returning another."""
        self.wraps.append(function)

    def model(self) -> Any:
        """A fresh network."""
        model = self.network()
        for function in self.wraps:
            model = other(function(model), model)
        return model

    def loss(self, taste: int) -> Any:
        """The loss in one of its tastes."""
        return self.losses[taste % len(self.losses)]

    def set_loss(self, *losses: Any) -> None:
        self.losses = losses

    def own_data(self) -> None:
        """Copy the rows, so that they may be changed in place."""
        copy = lambda pair: None if pair is None else tuple(part.clone() for part in pair)  # noqa: E731
        self.train, self.val, self.test = copy(self.train), copy(self.val), copy(self.test)

    def map_inputs(self, function: Callable[[Tensor], Tensor], splits: str = "train val test") -> None:
        """Replace the inputs of some splits."""
        for split in splits.split():
            pair = getattr(self, split)
            if pair is not None:
                setattr(self, split, (function(pair[0]), pair[1]))

    def map_targets(self, function: Callable[[Tensor], Tensor], splits: str = "train val test") -> None:
        """Replace the targets of some splits."""
        for split in splits.split():
            pair = getattr(self, split)
            if pair is not None:
                setattr(self, split, (pair[0], function(pair[1])))

    def keep_rows(self, rows: Tensor, split: str = "train") -> None:
        """Keep some rows of a split."""
        x, y = getattr(self, split)
        setattr(self, split, (x[rows], y[rows]))


def other(changed: Any, model: Any) -> Any:
    """What a function made of a model: another model, or the same changed in place."""
    return changed if isinstance(changed, nn.Module | tuple) else model


# Scores


def balanced(predicted: Tensor, y: Tensor) -> float:
    """The mean over classes of the share that was right."""
    right = (predicted == y).float()
    return torch.stack([right[y == label].mean() for label in y.unique()]).mean().item()


def class_metric(out: Tensor, y: Tensor) -> float:
    return balanced(out.argmax(1), y)


def binary_metric(out: Tensor, y: Tensor) -> float:
    return balanced((out.flatten() > 0).float(), y.flatten())


def r2(out: Any, y: Tensor) -> float:
    out = out[0] if isinstance(out, tuple) else out
    if out.numel() != y.numel():
        return -1.0
    out = out.reshape(y.shape)
    error, spread = (out - y).square().sum(), (y - y.mean(0)).square().sum()
    value = (1 - error / spread).item()
    return max(value, -1.0) if value == value else -1.0


def token_metric(out: Tensor, y: Tensor) -> float:
    """The gain over ignorance as a share of what a perfect model gains."""
    loss = F.cross_entropy(out.flatten(0, 1), y.flatten()).item()
    return gain(loss)


def gain(loss: float) -> float:
    table = markov_table()
    best = -(table * table.log()).sum(-1).mean().item()
    ignorant = torch.tensor(float(table.shape[-1])).log().item()
    return max((ignorant - loss) / (ignorant - best), -1.0) if loss == loss else -1.0


@torch.no_grad()
def score_outputs(measure: Callable[[Any, Tensor], float], task: Task, model: Any) -> float:
    """The measure on the test rows, in eval mode."""
    model.eval()
    return measure(task.predict(model, task.test[0]), task.test[1])


@torch.no_grad()
def score_tokens(task: Task, model: Any) -> float:
    """Each prefix alone, so that nothing can look ahead: as in generation."""
    model.eval()
    x, y = task.test
    losses = [
        F.cross_entropy(task.predict(model, x[:, :length])[:, -1], y[:, length - 1])
        for length in (4, 9, 14, 20)
    ]
    return gain(torch.stack(losses).mean().item())


@torch.no_grad()
def score_points(task: Task, model: Any) -> float:
    """The share of the eight modes that get at least a fortieth of the samples."""
    generator = model[0].eval()
    distance = torch.cdist(generator(task.noise(1000)), task.test[0])
    near = distance.min(1)
    hits = torch.bincount(near.indices[near.values < task.radius], minlength=MODES)
    return (hits >= 25).float().mean().item()


# Losses in a user's words


def hand_cross_entropy(out: Tensor, y: Tensor) -> Tensor:
    return -out.log_softmax(1)[torch.arange(len(y)), y].mean()


def hand_binary(out: Tensor, y: Tensor) -> Tensor:
    return (F.softplus(out) - y * out).mean()


def hand_squares(out: Tensor, y: Tensor) -> Tensor:
    return ((out - y) ** 2).mean()


def flat_tokens(out: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(out.reshape(-1, out.shape[-1]), y.reshape(-1))


class TokenLoss(nn.CrossEntropyLoss):
    """Cross-entropy of (B, T, V)."""

    def forward(self, out: Tensor, y: Tensor) -> Tensor:
        return super().forward(out.transpose(1, 2), y)


def elbo(out: tuple[Tensor, Tensor, Tensor], y: Tensor, weight: float = 1.0, scale: float = 8.0) -> Tensor:
    """Squared error over a row, and the divergence of its code from a standard normal."""
    again, mean, log_variance = out
    error = F.mse_loss(again, y, reduction="none").sum(1).mean() * scale
    divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1).mean()
    return error + weight * divergence


CLASSES = (nn.CrossEntropyLoss(), F.cross_entropy, hand_cross_entropy)
BINARY = (nn.BCEWithLogitsLoss(), F.binary_cross_entropy_with_logits, hand_binary)
VALUES = (nn.MSELoss(), F.mse_loss, hand_squares)
TOKENS = (TokenLoss(), flat_tokens)


def adam(lr: float) -> Callable[[Any], torch.optim.Optimizer]:
    return partial(torch.optim.Adam, lr=lr)


def sgd(lr: float, momentum: float = 0.9) -> Callable[[Any], torch.optim.Optimizer]:
    return partial(torch.optim.SGD, lr=lr, momentum=momentum)


# Data


@cache
def table(name: str) -> Pair:
    """A scikit-learn set as float rows and its targets."""
    options = {"scaled": False} if name == "diabetes" else {}
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True, **options)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y)


def split(x: Tensor, y: Tensor, sizes: tuple[int, int, int], seed: int) -> list[Pair]:
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    return [(x[part], y[part]) for part in order[: sum(sizes)].split(list(sizes))]


def standardised(parts: list[Pair]) -> list[Pair]:
    """By the mean and the standard deviation of the training rows."""
    mean, std = parts[0][0].mean(0), parts[0][0].std(0)
    return [((x - mean) / std, y) for x, y in parts]


def digit_parts(seed: int) -> list[Pair]:
    x, y = table("digits")
    return split(x / 16, y, (900, 300, 500), seed)


@cache
def mixture() -> Pair:
    """Each class is two opposite clouds in 60 dimensions: no straight cut tells them apart."""
    draw = torch.Generator().manual_seed(7)
    centres = torch.randn(5, 60, generator=draw) * 0.5
    y = torch.randint(5, (4000,), generator=draw)
    sign = torch.randint(2, (4000, 1), generator=draw) * 2 - 1
    return centres[y] * sign + torch.randn(4000, 60, generator=draw), y


@cache
def markov_table(vocabulary: int = 8) -> Tensor:
    """(V, V, V): the next token depends on the last two."""
    draw = torch.Generator().manual_seed(3)
    one = torch.randn(vocabulary, 1, vocabulary, generator=draw)
    two = torch.randn(1, vocabulary, vocabulary, generator=draw)
    return (1.8 * (one + two)).softmax(-1)


def sentences(number: int, length: int, seed: int) -> Tensor:
    """(N, T) tokens of the chain."""
    draw = torch.Generator().manual_seed(seed + 100)
    chain = markov_table()
    tokens = [torch.randint(8, (number,), generator=draw) for _ in range(2)]
    while len(tokens) < length:
        tokens.append(torch.multinomial(chain[tokens[-2], tokens[-1]], 1, generator=draw)[:, 0])
    return torch.stack(tokens, 1)


def recalls(number: int, length: int, seed: int) -> Pair:
    """(N, T) tokens: the first of four is asked for, then come distractors from the same eight."""
    draw = torch.Generator().manual_seed(seed + 200)
    x = torch.randint(8, (number, length), generator=draw)
    x[:, 0] = x[:, 0] % 4
    return x, x[:, 0].clone()


def ring() -> Tensor:
    """(8, 2): the centres."""
    angle = torch.arange(MODES) * (2 * torch.pi / MODES)
    return torch.stack([angle.cos(), angle.sin()], 1)


# The twelve


def of_classes(name: str, parts: list[Pair], **rest: Any) -> Task:
    """A task with integer labels."""
    truth = partial(score_outputs, class_metric)
    train, val, test = parts
    fixed = {"losses": CLASSES, "metric": class_metric, "truth": truth, "margin": 0.15}
    return Task(name, "classes", train, val, test, **(fixed | rest))


def digits_mlp(seed: int) -> Task:
    network = partial(networks.plain_mlp, sizes=(64, 64, 32, 10))
    return of_classes(
        "digits-mlp", digit_parts(seed), network=network, optimizer=sgd(0.05), epochs=12, batch=32
    )


def digits_cnn(seed: int) -> Task:
    parts = [(x.view(-1, 1, 8, 8), y) for x, y in digit_parts(seed)]
    network = partial(networks.DigitNet)
    return of_classes("digits-cnn", parts, network=network, optimizer=adam(3e-3), epochs=10, batch=32)


def iris_mlp(seed: int) -> Task:
    parts = standardised(split(*table("iris"), (80, 30, 40), seed))
    network = partial(networks.IrisNet)
    return of_classes("iris-mlp", parts, network=network, optimizer=adam(0.02), epochs=30, batch=16)


def wine_mlp(seed: int) -> Task:
    parts = standardised(split(*table("wine"), (90, 40, 48), seed))
    network = partial(networks.plain_mlp, sizes=(13, 32, 16, 3))
    return of_classes("wine-mlp", parts, network=network, optimizer=sgd(0.03), epochs=30, batch=16)


def cancer_bce(seed: int) -> Task:
    parts = standardised(split(*table("breast_cancer"), (280, 109, 180), seed))
    train, val, test = [(x, y.float()) for x, y in parts]
    return Task(
        *("cancer-bce", "binary", train, val, test),
        network=partial(networks.CancerNet),
        losses=BINARY,
        optimizer=adam(3e-3),
        epochs=15,
        batch=20,
        metric=binary_metric,
        truth=partial(score_outputs, binary_metric),
        margin=0.15,
        predict=lambda model, x: model(x).squeeze(1),
    )


def diabetes(seed: int) -> Task:
    parts = standardised(split(*table("diabetes"), (260, 72, 110), seed))
    mean, std = parts[0][1].float().mean(), parts[0][1].float().std()
    train, val, test = [(x, (y.float() - mean) / std) for x, y in parts]
    return Task(
        *("diabetes", "values", train, val, test),
        network=partial(networks.plain_mlp, sizes=(10, 32, 1)),
        losses=VALUES,
        optimizer=sgd(0.01),
        epochs=15,
        batch=16,
        metric=r2,
        truth=partial(score_outputs, r2),
        margin=0.25,
        predict=lambda model, x: model(x).squeeze(-1),
    )


def synthetic(seed: int) -> Task:
    parts = split(*mixture(), (1500, 400, 1000), seed)
    network = partial(networks.NormNet)
    optimizer = partial(torch.optim.AdamW, lr=2e-3, weight_decay=0.01)
    return of_classes("synthetic", parts, network=network, optimizer=optimizer, epochs=10, batch=50)


def rows_lstm(seed: int) -> Task:
    parts = [(x.view(-1, 8, 8), y) for x, y in digit_parts(seed)]
    network = partial(networks.RowNet)
    return of_classes("rows-lstm", parts, network=network, optimizer=adam(0.01), epochs=10, batch=32)


def recall_gru(seed: int) -> Task:
    x, y = recalls(1400, 12, seed)
    parts = [(x[rows], y[rows]) for rows in torch.arange(1400).split([800, 200, 400])]
    network = partial(networks.Recall)
    return of_classes("recall-gru", parts, network=network, optimizer=adam(0.015), epochs=12, batch=32)


def markov_lm(seed: int) -> Task:
    text = sentences(1300, 21, seed)
    train, val, test = [(part[:, :-1], part[:, 1:]) for part in text.split([800, 200, 300])]
    return Task(
        *("markov-lm", "tokens", train, val, test),
        network=partial(networks.LanguageNet),
        losses=TOKENS,
        optimizer=adam(5e-3),
        epochs=10,
        batch=32,
        metric=token_metric,
        truth=score_tokens,
        margin=0.15,
    )


def digits_vae(seed: int) -> Task:
    train, val, test = [(x, x) for x, _ in digit_parts(seed)]
    return Task(
        *("digits-vae", "images", train, val, test),
        network=partial(networks.Vae),
        losses=(elbo,),
        optimizer=adam(3e-3),
        epochs=12,
        batch=32,
        metric=r2,
        truth=partial(score_outputs, r2),
        margin=0.15,
    )


def ring_gan(seed: int) -> Task:
    draw = torch.Generator().manual_seed(seed)
    which = torch.randint(MODES, (2000,), generator=draw)
    points = ring()[which] + 0.05 * torch.randn(2000, 2, generator=draw)
    return Task(
        *("ring-gan", "points", (points, points), None, (ring(), ring())),
        network=partial(lambda **k: (networks.Generator(**k), networks.Critic())),
        losses=(nn.BCEWithLogitsLoss(), F.binary_cross_entropy_with_logits, hand_binary),
        optimizer=partial(torch.optim.Adam, lr=1e-3, betas=(0.5, 0.999)),
        critic_optimizer=partial(torch.optim.Adam, lr=4e-3, betas=(0.5, 0.999)),
        epochs=40,
        batch=100,
        metric=r2,
        truth=score_points,
        margin=0.375,
    )


TASKS: dict[str, Callable[[int], Task]] = {
    "digits-mlp": digits_mlp,
    "digits-cnn": digits_cnn,
    "iris-mlp": iris_mlp,
    "wine-mlp": wine_mlp,
    "cancer-bce": cancer_bce,
    "diabetes": diabetes,
    "synthetic": synthetic,
    "rows-lstm": rows_lstm,
    "recall-gru": recall_gru,
    "markov-lm": markov_lm,
    "digits-vae": digits_vae,
    "ring-gan": ring_gan,
}


def make_task(name: str, seed: int) -> Task:
    """A fresh task; its data are split by the seed."""
    return TASKS[name](seed)


def guard(task: Task) -> Any:
    """How the user validates: without gradients, unless that was forgotten."""
    return torch.no_grad() if task.no_grad else nullcontext()
