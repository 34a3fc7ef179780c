"""Networks that are wired or initialised wrongly: A01 to A08, I01 to I04."""

from collections.abc import Iterator
from functools import partial

import networks
import torch
from fault import VECTORS, fault
from torch import Tensor, nn

from tasks import Task

WEIGHTED = (nn.Linear, nn.Conv2d)
MLPS = ("digits-mlp", "wine-mlp", "cancer-bce", "diabetes")
SIZES = {
    "digits-mlp": (64, 10),
    "wine-mlp": (13, 3),
    "iris-mlp": (4, 3),
    "cancer-bce": (30, 1),
    "diabetes": (10, 1),
    "synthetic": (60, 5),
}


def weighted(model: nn.Module) -> Iterator[nn.Module]:
    """Layers with a weight matrix, in order."""
    return (module for module in model.modules() if isinstance(module, WEIGHTED))


def deep_mlp(task: Task, depth: int, act: type[nn.Module], width: int = 32) -> None:
    """An MLP of some depth for this task's rows."""
    first, last = SIZES[task.name]
    task.network = partial(networks.plain_mlp, sizes=(first, *[width] * depth, last), act=act)


# Weights this large are the mistake of I03; that it saturates a tanh is the same mistake seen from A01.
@fault(
    "A01",
    ("digits-mlp", "wine-mlp", "cancer-bce", "synthetic"),
    strengths={"tanh": {"act": nn.Tanh}, "sigmoid": {"act": nn.Sigmoid}},
    also=("I03",),
)
def saturated(task: Task, act: type[nn.Module]) -> None:
    """N(0, 2) weights in front of activations that are flat there."""
    deep_mlp(task, 4, act)
    task.wrap(lambda model: [nn.init.normal_(layer.weight, std=2.0) for layer in weighted(model)])


@fault("A01", ("digits-mlp", "iris-mlp", "cancer-bce", "synthetic"), strengths={"x30": {"factor": 30.0}})
def steep_tanh(task: Task, factor: float) -> None:
    """A temperature upside down: tanh of thirty times the input."""
    deep_mlp(task, 4, partial(networks.Apply, lambda x: torch.tanh(x * factor)))


@fault("A02", (*MLPS, "digits-cnn"), strengths={"-10": {"bias": -10.0}, "-2": {"bias": -2.0}})
def bias_far_below(task: Task, bias: float) -> None:
    """A sign slip in the bias, and hidden ReLUs never fire."""

    def sink(model: nn.Module) -> None:
        norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
        for layer in norms or list(weighted(model))[:-1]:
            nn.init.constant_(layer.bias, bias)

    task.wrap(sink)


@fault("A03", (*MLPS, "iris-mlp"), "present")
def no_activation(task: Task) -> None:
    """Linear after linear."""
    task.set_act(nn.Identity)


@fault("A03", ("synthetic", "digits-mlp", "cancer-bce"), "present")
def deep_and_linear(task: Task) -> None:
    """Four layers that are one."""
    deep_mlp(task, 3, nn.Identity)


@fault("A04", ("rows-lstm", "recall-gru", "markov-lm"), "present")
def batch_second(task: Task) -> None:
    """(B, T, F) given to a layer that reads (T, B, F)."""
    task.rebuild(batch_first=False)


class ViewNet(networks.RowNet):
    """Turns (B, T, F) into (T, B, F) with view."""

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.rnn(x.reshape(8, -1, 8))
        return self.head(states[-1])


class MixedNet(networks.DigitNet):
    """Flattens channels first."""

    def forward(self, x: Tensor) -> Tensor:
        maps = self.features(x).permute(1, 0, 2, 3)
        return self.fc(maps.reshape(len(x), -1))


@fault("A04", ("rows-lstm", "digits-cnn"), "present")
def view_for_permute(task: Task) -> None:
    """The right shape, and the rows of other examples."""
    if task.name == "digits-cnn":
        task.network = partial(MixedNet)
    else:
        task.network = partial(ViewNet, batch_first=False)


@fault("A05", ("markov-lm",), strengths={"no mask": {}, "one too far": {"diagonal": 2}})
def sees_the_future(task: Task, diagonal: int = 0) -> None:
    """No causal mask, or one that starts a token late."""
    task.rebuild(mask=lambda length: networks.causal_mask(length, diagonal) if diagonal else None)


class RowBag(nn.Module):
    """Rows of a digit, attended to without positions, and averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 32)
        self.attend = nn.TransformerEncoderLayer(32, 2, 64, dropout=0.0, batch_first=True)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attend(self.embed(x)).mean(1))


class TokenBag(nn.Module):
    """The mean of the embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(8, 16)
        self.hidden = nn.Linear(16, 32)
        self.out = nn.Linear(32, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.hidden(self.embed(tokens).mean(1)).relu())


@fault("A06", ("rows-lstm", "recall-gru", "markov-lm"))
def no_positions(task: Task) -> None:
    """A sequence read as a bag."""
    if task.name == "markov-lm":
        task.rebuild(positions=False)
    else:
        task.network = partial(RowBag if task.name == "rows-lstm" else TokenBag)


@fault(
    "A07",
    ("digits-mlp", "digits-cnn", "synthetic", "wine-mlp", "rows-lstm", "recall-gru", "iris-mlp"),
    strengths={"one": {"width": 1}, "two": {"width": 2}},
)
def too_narrow(task: Task, width: int) -> None:
    """A hidden layer of one or two units."""
    task.set_width(width)


@fault("A07", ("digits-vae",))
def code_of_one(task: Task) -> None:
    """A code of one number."""
    task.rebuild(latent=1)


@fault(
    "A08",
    ("iris-mlp", "cancer-bce", "digits-cnn", "synthetic", "rows-lstm", "recall-gru", "digits-vae"),
    "present",
)
def layer_never_called(task: Task) -> None:
    """A layer in __init__ that forward forgot."""
    task.wrap(lambda model: setattr(model, "fc_mid", nn.Linear(16, 16)))


class Unplaced(networks.LanguageNet):
    """Has positions, and does not add them."""

    def forward(self, tokens: Tensor) -> Tensor:
        mask = self.mask(tokens.shape[1])
        return self.head(self.blocks(self.tokens(tokens), mask=mask))


@fault("A08", ("markov-lm",), "present")
def positions_never_added(task: Task) -> None:
    """The embedding of positions is defined and left out."""
    task.network = partial(Unplaced)


@fault(
    "I01",
    (*VECTORS, "cancer-bce", "diabetes", "digits-cnn", "rows-lstm", "ring-gan", "digits-vae"),
    strengths={"zero": {"value": 0.0}, "constant": {"value": 0.05}},
)
def all_alike(task: Task, value: float) -> None:
    """Every weight the same number."""

    def fill(models: nn.Module | tuple[nn.Module, ...]) -> None:
        for model in models if isinstance(models, tuple) else (models,):
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    nn.init.constant_(parameter, value)

    task.wrap(fill)


def draw_weights(task: Task, std: float) -> None:
    def redraw(model: nn.Module) -> None:
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=std)
            elif "bias" in name:
                nn.init.zeros_(parameter)

    task.wrap(redraw)


@fault(
    "I02",
    ("digits-mlp", "wine-mlp", "cancer-bce", "diabetes", "rows-lstm", "digits-vae"),
    strengths={"1e-3": {"std": 1e-3}, "1e-5": {"std": 1e-5}},
)
def tiny_weights(task: Task, std: float) -> None:
    """Normal weights with a standard deviation of nearly nothing."""
    draw_weights(task, std)


@fault("I02", ("digits-mlp", "synthetic", "wine-mlp", "cancer-bce"))
def tiny_and_deep(task: Task) -> None:
    """N(0, 0.01), as AlexNet did, in a plain network of eight layers."""
    deep_mlp(task, 8, nn.ReLU)
    draw_weights(task, 0.01)


@fault(
    "I03",
    (
        "digits-mlp",
        "wine-mlp",
        "cancer-bce",
        "diabetes",
        "digits-vae",
        "rows-lstm",
        "recall-gru",
        "synthetic",
    ),
    strengths={"1": {"std": 1.0}, "5": {"std": 5.0}},
)
def huge_weights(task: Task, std: float) -> None:
    """torch.randn as an initialisation."""
    draw_weights(task, std)


@fault("I04", (*VECTORS, "digits-cnn", "rows-lstm", "recall-gru"), "present", hint=True)
def confident_bias(task: Task) -> None:
    """The last bias is sure of one class before the first step."""

    def tilt(model: nn.Module) -> None:
        with torch.no_grad():
            list(weighted(model))[-1].bias[0] += 8.0

    task.wrap(tilt)
