"""Small networks of every taste, as users type them.

Each takes its sizes and, for the sake of the injectors, `act` (the hidden activation) and `last` (what is
done to the output; nothing, when the network is right).

    plain_mlp       nn.Sequential, activations as modules       DigitNet      convolutions and BatchNorm
    IrisNet         a class, torch.tanh                         NormNet       LayerNorm, GELU, dropout
    CancerNet       a class, functional activations, dropout    RowNet        an LSTM over rows
    Recall          embedding, GRU, last state                  LanguageNet   nn.TransformerEncoder, causal
    Vae             a tuple as its output                       Generator, Critic   the two of a GAN

Letters: B batch, C classes, F features, T time, V vocabulary, Z latent size.
"""

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Function = Callable[[Tensor], Tensor]


def plain_mlp(
    sizes: tuple[int, ...], act: Callable[[], nn.Module] = nn.ReLU, last: Function | None = None
) -> nn.Sequential:
    """Linear layers with an activation module between them."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), act()]
    layers.pop()
    if last is not None:
        layers.append(last if isinstance(last, nn.Module) else Apply(last))
    return nn.Sequential(*layers)


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function: Function):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def through(last: Function | None, x: Tensor) -> Tensor:
    return x if last is None else last(x)


class IrisNet(nn.Module):
    """Two layers and a tanh."""

    def __init__(
        self,
        features: int = 4,
        width: int = 16,
        classes: int = 3,
        act: Function = torch.tanh,
        last: Function | None = None,
    ):
        super().__init__()
        self.hidden = nn.Linear(features, width)
        self.output = nn.Linear(width, classes)
        self.act, self.last = act, last

    def forward(self, x: Tensor) -> Tensor:
        return through(self.last, self.output(self.act(self.hidden(x))))


class CancerNet(nn.Module):
    """(B, F) -> (B, 1), functional ReLU and a little dropout."""

    def __init__(
        self,
        features: int = 30,
        width: int = 32,
        classes: int = 1,
        act: Function = F.relu,
        last: Function | None = None,
        drop: float = 0.1,
    ):
        super().__init__()
        self.fc1 = nn.Linear(features, width)
        self.fc2 = nn.Linear(width, 16)
        self.fc3 = nn.Linear(16, classes)
        self.drop = nn.Dropout(drop)
        self.act, self.last = act, last

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(self.act(self.fc1(x)))
        return through(self.last, self.fc3(self.act(self.fc2(x))))


class DigitNet(nn.Module):
    """(B, 1, 8, 8) -> (B, C): two convolutions with BatchNorm, one linear layer."""

    def __init__(
        self,
        width: int = 12,
        classes: int = 10,
        act: Function = F.relu,
        last: Function | None = None,
        momentum: float = 0.1,
    ):
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(width, momentum=momentum)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(2 * width, momentum=momentum)
        self.fc = nn.Linear(2 * width * 4, classes)
        self.act, self.last = act, last

    def features(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.act(self.bn1(self.conv1(x))), 2)
        return F.max_pool2d(self.act(self.bn2(self.conv2(x))), 2)

    def forward(self, x: Tensor) -> Tensor:
        return through(self.last, self.fc(self.features(x).flatten(1)))


class NormNet(nn.Module):
    """LayerNorm, GELU and dropout, in the order of a Transformer's MLP."""

    def __init__(
        self,
        features: int = 60,
        width: int = 64,
        classes: int = 5,
        act: Callable[[], nn.Module] = nn.GELU,
        last: Function | None = None,
        drop: float = 0.1,
    ):
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Linear(features, width), act(), nn.LayerNorm(width)),
            *(nn.Linear(width, width), act(), nn.Dropout(drop)),
        )
        self.head = nn.Linear(width, classes)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        return through(self.last, self.head(self.body(x)))


class RowNet(nn.Module):
    """(B, T, F) -> (B, C): an LSTM reads a digit row by row."""

    def __init__(
        self,
        width: int = 32,
        classes: int = 10,
        last: Function | None = None,
        batch_first: bool = True,
        cell: Any = nn.LSTM,
    ):
        super().__init__()
        self.rnn = cell(8, width, batch_first=batch_first)
        self.head = nn.Linear(width, classes)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.rnn(x)
        return through(self.last, self.head(states[:, -1]))


class Recall(nn.Module):
    """(B, T) tokens -> (B, C): which was the first?"""

    def __init__(
        self,
        vocabulary: int = 8,
        width: int = 32,
        classes: int = 4,
        last: Function | None = None,
        cell: Any = nn.GRU,
        batch_first: bool = True,
    ):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, 16)
        self.gru = cell(16, width, batch_first=batch_first)
        self.out = nn.Linear(width, classes)
        self.last = last

    def forward(self, tokens: Tensor) -> Tensor:
        states, _ = self.gru(self.embed(tokens))
        return through(self.last, self.out(states[:, -1, :]))


def causal_mask(length: int, diagonal: int = 1) -> Tensor:
    """(T, T), true where a token may not look."""
    return torch.triu(torch.ones(length, length, dtype=torch.bool), diagonal)


class LanguageNet(nn.Module):
    """(B, T) tokens -> (B, T, V): a causal Transformer with learned positions."""

    def __init__(
        self,
        vocabulary: int = 8,
        width: int = 32,
        length: int = 20,
        positions: bool = True,
        mask: Callable[[int], Tensor | None] = causal_mask,
        last: Function | None = None,
        batch_first: bool = True,
        act: str | Function = "relu",
    ):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(length, width) if positions else None
        block = nn.TransformerEncoderLayer(
            width, 2, 64, dropout=0.0, activation=act, batch_first=batch_first, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, 1, enable_nested_tensor=False)
        self.head = nn.Linear(width, vocabulary)
        self.mask, self.last = mask, last

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens)
        if self.positions is not None:
            x = x + self.positions(torch.arange(tokens.shape[1]))
        size = x.shape[1 if self.blocks.layers[0].self_attn.batch_first else 0]
        return through(self.last, self.head(self.blocks(x, mask=self.mask(size))))


class Vae(nn.Module):
    """(B, F) -> reconstruction (B, F), mean (B, Z), log-variance (B, Z)."""

    def __init__(
        self,
        features: int = 64,
        width: int = 96,
        latent: int = 8,
        act: Function = F.relu,
        last: Function | None = torch.sigmoid,
    ):
        super().__init__()
        self.encoder = nn.Linear(features, width)
        self.mean = nn.Linear(width, latent)
        self.log_variance = nn.Linear(width, latent)
        self.decoder = nn.Sequential(nn.Linear(latent, width), nn.ReLU(), nn.Linear(width, features))
        self.act, self.last = act, last

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = self.act(self.encoder(x))
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        z = mean
        if self.training:
            z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        return through(self.last, self.decoder(z)), mean, log_variance


class Generator(nn.Module):
    """(B, Z) noise -> (B, 2) points."""

    def __init__(self, noise: int = 8, width: int = 64, act: Callable[[], nn.Module] = nn.ReLU):
        super().__init__()
        self.net = nn.Sequential(
            *(nn.Linear(noise, width), act(), nn.Linear(width, width), act(), nn.Linear(width, 2))
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z)


class Critic(nn.Module):
    """(B, 2) points -> (B, 1) logits of being real."""

    def __init__(self, width: int = 64, last: Function | None = None):
        super().__init__()
        self.one, self.two = nn.Linear(2, width), nn.Linear(width, width)
        self.three = nn.Linear(width, 1)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.one(x), 0.2)
        x = F.leaky_relu(self.two(x), 0.2)
        return through(self.last, self.three(x))
