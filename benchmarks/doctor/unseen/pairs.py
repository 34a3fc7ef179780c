"""Do two images show the same digit? An embedding network on sklearn's digits, trained on pairs of images.

The contrastive loss is written by hand: pairs of one digit are drawn together, others pushed a margin apart,
and half of the margin decides. The loop runs inside ``with doctor.watching(model, optimizer)``.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from case import Outcome, cases
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

MARGIN = 4.0
TRAIN, VAL = 1000, 300  # images; the rest is for the test
Pairs = tuple[Tensor, Tensor, Tensor]  # left images, right images, whether they show the same digit


def draw_pairs(images: Tensor, digits: Tensor, count: int, same: float = 0.5, distinct: bool = True) -> Pairs:
    """Pairs of images, a share of `same` of one digit, the others of two."""
    equal = digits[:, None] == digits[None, :]
    if distinct:
        equal.fill_diagonal_(False)
    alike, apart = equal.nonzero(), (digits[:, None] != digits[None, :]).nonzero()
    n_alike = round(count * same)
    chosen = (
        alike[torch.randint(0, len(alike), (n_alike,))],
        apart[torch.randint(0, len(apart), (count - n_alike,))],
    )
    left, right = torch.cat(chosen).T
    return images[left], images[right], (digits[left] == digits[right]).float()


class Embedder(nn.Module):
    """Pixels to a point; images of one digit should lie close together."""

    def __init__(
        self,
        sizes: tuple[int, ...] = (64, 96, 96, 16),
        activation: Callable[[], nn.Module] = nn.ReLU,
        norm: Callable[[int], nn.Module] = nn.Identity,
        dropout: float = 0.0,
        bias: bool = True,
        spare: bool = False,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for n, m in pairwise(sizes[:-1]):
            layers += [nn.Linear(n, m, bias=bias), norm(m), activation(), nn.Dropout(dropout)]
        self.body = nn.Sequential(*layers)
        self.out = nn.Linear(sizes[-2], sizes[-1], bias=bias)
        if spare:
            self.right_body = nn.Linear(sizes[0], sizes[-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.body(x))


def distance(left: Tensor, right: Tensor, keepdim: bool = False, least: float = 1e-9) -> Tensor:
    return ((left - right).square().sum(1, keepdim=keepdim) + least).sqrt()


def contrastive(apart: Tensor, same: Tensor) -> Tensor:
    return (same * apart.square() + (1 - same) * (MARGIN - apart).clamp(min=0).square()).mean()


def without_margin(apart: Tensor, same: Tensor) -> Tensor:
    """The clamp is missing: the further apart, the more negative."""
    return (same * apart.square() - (1 - same) * apart.square()).mean()


def verified(model: nn.Module, pairs: Pairs) -> float:
    """Share of pairs that half of the margin decides rightly."""
    left, right, same = pairs
    return float(((distance(model(left), model(right)) < MARGIN / 2) == same.bool()).float().mean())


def train(
    seed: int,
    doctor: Any,
    *,
    lr: float = 1e-3,
    optim: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
    loss_fn: Callable[[Tensor, Tensor], Tensor] = contrastive,
    epochs: int = 12,
    batch: int = 64,
    images: int = TRAIN,
    same: float = 0.5,
    brightness: float = 1 / 8,  # what a pixel of 0 to 16 is multiplied by
    val_brightness: float = 0.0,
    wrong_flags: float = 0.0,
    init: Callable[[Tensor], Any] | None = None,
    body_bias: float | None = None,
    schedule: Callable[[torch.optim.Optimizer], Any] | None = None,
    clip: float = 0.0,
    mistake: str = "",
    **network: Any,
) -> Outcome:
    torch.manual_seed(seed)
    pixels, digits = (torch.tensor(part) for part in load_digits(return_X_y=True))
    order = torch.randperm(len(pixels))
    pixels, digits = pixels[order].float(), digits[order]
    train_part = (pixels[:images] * brightness, digits[:images])
    if mistake == "digits above 3 missing":
        train_part = (train_part[0][train_part[1] < 4], train_part[1][train_part[1] < 4])
    late = val_brightness or brightness
    val_part = (pixels[TRAIN : TRAIN + VAL] * late, digits[TRAIN : TRAIN + VAL])
    if mistake == "validation pairs of training images":
        val_part = train_part
    test = draw_pairs(pixels[TRAIN + VAL :] * late, digits[TRAIN + VAL :], 2000)
    val = draw_pairs(*val_part, 800)

    left, right, flags = draw_pairs(*train_part, 1600, same, distinct=mistake != "root of zero")
    flags = torch.where(torch.rand(len(flags)) < wrong_flags, 1 - flags, flags)
    if mistake == "flags shuffled apart":
        flags = flags[torch.randperm(len(flags))]
    pairs = TensorDataset(left, right, flags)
    loader = DataLoader(pairs, batch_size=batch, shuffle=mistake != "all alike first")

    model = Embedder(**network)
    for layer in (*model.body, model.out):
        if init and isinstance(layer, nn.Linear):
            init(layer.weight)
        if body_bias is not None and isinstance(layer, nn.Linear) and layer is not model.out:
            nn.init.constant_(layer.bias, body_bias)
    trained = model.out.parameters() if mistake == "only the last layer is trained" else model.parameters()
    optimizer = optim(trained, lr=lr)
    scheduler = schedule(optimizer) if schedule else None
    val_score = 0.0
    losses = []

    with doctor.watching(model, optimizer):
        for epoch in range(epochs):
            if not (mistake == "train() only once" and epoch):
                model.train()
            if mistake == "flags reordered each epoch":
                loader.dataset.tensors = (left, right, flags[torch.randperm(len(flags))])
            for a, b, is_same in loader:
                if mistake == "never moved apart":
                    apart = torch.tensor(distance(model(a), model(b)).tolist(), requires_grad=True)
                elif mistake == "root of zero":
                    apart = distance(model(a), model(b), least=0.0)  # some pairs are one image twice
                else:
                    apart = distance(model(a), model(b), keepdim=mistake == "keepdim")
                loss = loss_fn(apart, is_same)
                if mistake != "never zeroed":
                    optimizer.zero_grad()
                loss.backward()
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                if mistake != "no step":
                    optimizer.step()
                if scheduler:
                    scheduler.step()
                losses.append(loss if mistake == "losses kept with their graphs" else loss.item())

            if mistake != "eval() forgotten":
                model.eval()
            with torch.no_grad():
                val_score = verified(model, val)

    model.eval()
    with torch.no_grad():
        return Outcome(verified(model, test), val_score)


sgd = partial(torch.optim.SGD, momentum=0.9)
cycle = partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=5e-3, total_steps=300)
halved = partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.7)
deep = (64, *[64] * 9, 16)

CASES, add = cases("pairs", train)
add("as it should be")
add("no activations", "A03", exact=True, activation=nn.Identity)
add("tanh, weights far too large", "A01 I03", activation=nn.Tanh, init=partial(nn.init.normal_, std=5.0))
add("biases far below zero", "A02", body_bias=-6.0)
add("a point of one number", "A07", sizes=(64, 96, 1, 16))
add("right-hand body never called", "A08", exact=True, spare=True)
add("constant weights", "I01", init=partial(nn.init.constant_, val=0.02))
add("weights near zero", "I02", init=partial(nn.init.normal_, std=1e-4), optim=sgd, lr=1e-3)
add("margin forgotten", "S07 O08", loss_fn=without_margin)
add("distances keep their dimension", "S05", mistake="keepdim")
add("root of zero", "O08", mistake="root of zero")
add("distances through a list", "O10", mistake="never moved apart")
add("flags shuffled apart", "L02", mistake="flags shuffled apart")
add("flags reordered each epoch", "L01 L02", mistake="flags reordered each epoch")
add("38 % of the flags wrong", "L04", wrong_flags=0.38)
add("45 % of the flags wrong", "L04 L02", wrong_flags=0.45)
add("97 % of the pairs differ", "D02", same=0.03, epochs=8)
add("digits above 3 missing", "D04", mistake="digits above 3 missing")
add(
    "validation pairs of training images",
    "D06",
    images=40,
    mistake="validation pairs of training images",
)
add("validation images not scaled", "P02", val_brightness=1.0)
add("all alike first", "D03", mistake="all alike first", optim=sgd, lr=0.02)
add("lr x 300", "O01", lr=0.3)
add("lr / 300", "O02", lr=3e-6)
add("momentum 0.999", "O03 O01", optim=partial(torch.optim.SGD, momentum=0.999), lr=0.01)
add("epoch schedule stepped each batch", "O04", schedule=halved)
add("never zeroed", "O05", exact=True, mistake="never zeroed")
add("only the last layer is trained", "O06", exact=True, mistake="only the last layer is trained")
add("nine sigmoid layers", "O07 A01", sizes=deep, activation=nn.Sigmoid)
add("clipped at 0.001, SGD", "O11", optim=sgd, lr=0.02, clip=1e-3)
add("no step", "O12", mistake="no step")
add("forty images", "R01", images=40)
add("dropout 0.9", "R02", dropout=0.9)
add("batches of 4, BatchNorm", "R04", exact=True, norm=nn.BatchNorm1d, batch=4, epochs=3)
add("train() only once", "E02", exact=True, norm=nn.BatchNorm1d, mistake="train() only once")
add("eval() forgotten", "E01", exact=True, dropout=0.3, mistake="eval() forgotten")
add("losses kept with their graphs", "E03", exact=True, mistake="losses kept with their graphs")

add("SGD with momentum, lr 0.02", optim=sgd, lr=0.02)
add("one-cycle to 0.005", schedule=cycle)
add("pixels from 0 to 16", brightness=1.0)
add("tanh", activation=nn.Tanh)
add("no bias, clipped at 1.0", bias=False, clip=1.0)
add("BatchNorm", norm=nn.BatchNorm1d)
add("batches of 8", batch=8, epochs=4)
add("30 % of the pairs alike", same=0.3)
add("2 % of the flags wrong", wrong_flags=0.02)
