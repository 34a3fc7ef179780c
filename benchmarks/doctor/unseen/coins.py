"""Which of four coins is on a small made-up colour picture (uint8, as from a file)?

A little ResNet with BatchNorm, pictures flipped and shifted in the loop, cross entropy with smoothed labels,
SGD with Nesterov momentum under one-cycle and clipped gradients; the doctor watches by a with statement.
"""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from case import Outcome, cases
from torch import Tensor, nn
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR, OneCycleLR

SIZE, COINS = 16, 4
RADII = (4.2, 4.2, 5.6, 5.6)
METALS = np.array([[185, 115, 70], [165, 150, 130], [185, 115, 70], [165, 150, 130]])


def pocket(rng: np.random.Generator, count: int, labels: np.ndarray | None = None) -> tuple[Tensor, Tensor]:
    """Pictures (count, 16, 16, 3) of copper and nickel coins, small and large, and which it is."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    labels = rng.integers(COINS, size=count) if labels is None else labels
    pictures = rng.normal(120, 25, size=(count, SIZE, SIZE, 3))
    for picture, label in zip(pictures, labels, strict=True):
        row, column = rng.uniform(6.5, SIZE - 7.5, size=2)
        distance = np.hypot(rows - row, columns - column)
        radius = RADII[label] + rng.normal(0, 0.2)
        light = rng.uniform(0.8, 1.2)
        picture[distance < radius] += light * METALS[label] - 120
        picture[abs(distance - radius + 1) < 0.6] -= 40  # the rim
    return torch.tensor(pictures.clip(0, 255).astype(np.uint8)), torch.tensor(labels)


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, norm: Callable[[int], nn.Module], act: nn.Module):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False),
            norm(outputs),
            act,
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            norm(outputs),
        )
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=2, bias=False)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.shortcut(x) + self.body(x))


class ResNet(nn.Module):
    def __init__(
        self, width: int, norm: Callable[[int], nn.Module], act: nn.Module, dropout: float, mistake: str
    ):
        super().__init__()
        self.mistake = mistake
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), norm(width), act)
        made = [Block(width, 2 * width, norm, act), Block(2 * width, 4 * width, norm, act)]
        # A plain list hides the blocks from parameters().
        self.blocks = made if mistake == "list of blocks" else nn.ModuleList(made)
        self.squeeze = nn.Linear(4 * width, 4 * width)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(4 * width, COINS)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        if self.mistake == "features detached":
            x = x.detach()
        if self.mistake != "squeeze is never called":
            # The pictures of a batch must not be averaged with one another.
            axes = (0, 2, 3) if self.mistake == "squeeze over the batch" else (2, 3)
            x = x * 2 * self.squeeze(x.mean(axes, keepdim=True).flatten(1)).sigmoid()[:, :, None, None]
        x = x.mean((2, 3))
        x = self.head(self.dropout(x))
        return x.softmax(-1) if self.mistake == "softmax in the model" else x


def prepare(pictures: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return ((pictures.float() - mean) / std).permute(0, 3, 1, 2)


def augment(x: Tensor) -> Tensor:
    """The batch flipped and shifted by up to two pixels."""
    if torch.rand(()) < 0.5:
        x = x.flip(3)
    down, right = torch.randint(-2, 3, (2,)).tolist()
    return x.roll((down, right), (2, 3))


def train(
    seed: int,
    doctor: Any,
    *,
    lr: float = 0.1,
    epochs: int = 8,
    batch: int = 24,
    count: int = 480,
    counts: tuple[int, ...] = (),
    noise: float = 0.0,
    width: int = 6,
    norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    act: nn.Module | None = None,
    dropout: float = 0.0,
    smoothing: float = 0.05,
    make_optimizer: Callable[..., torch.optim.Optimizer] | None = None,
    weight_decay: float = 1e-4,
    schedule: Callable[[Any, int], Any] | None = None,
    accumulate: int = 1,
    clip: float = 5.0,
    average: float = 0.0,
    mistake: str = "",
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    pictures, labels = pocket(rng, count, np.repeat(np.arange(COINS), counts) if counts else None)
    val_pictures, val_y = pocket(rng, 160)
    test_pictures, test_y = pocket(rng, 400)
    if mistake == "stamp in the corner":
        # The camera of each shop wrote its number, and each shop sold one coin; the till has no such camera.
        pictures[:, :3, :, 0] = (60 * labels + 30).to(torch.uint8)[:, None, None]
        val_pictures[:, :3, :, 0] = (60 * val_y + 30).to(torch.uint8)[:, None, None]
    if mistake == "copies on both sides":
        val_pictures, val_y = pictures[:160], labels[:160]
    if mistake == "labels of other pictures":
        labels = labels[torch.randperm(len(labels))]
    if noise:
        wrong = torch.rand(len(labels)) < noise
        labels = torch.where(wrong, torch.randint(COINS, labels.shape), labels)
    if mistake == "sorted":
        order = labels.argsort(stable=True)
        pictures, labels = pictures[order], labels[order]
    mean, std = pictures.float().mean((0, 1, 2)), pictures.float().std((0, 1, 2))
    train_x = prepare(pictures, mean, std)
    if mistake == "validation only divided":
        mean, std = torch.zeros(3), torch.full((3,), 255.0)
    val_x, test_x = prepare(val_pictures, mean, std), prepare(test_pictures, mean, std)

    model = ResNet(width, norm, act or nn.ReLU(), dropout, mistake)
    if mistake == "stem is frozen":
        model.stem[0].weight.requires_grad_(False)
    if mistake == "constant weights":
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.constant_(module.weight, 0.02)
    if make_optimizer:
        optimizer = make_optimizer(model.parameters(), lr=lr)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr, 0.9, weight_decay=weight_decay, nesterov=True)
    if mistake == "head replaced late":
        model.head = nn.Linear(4 * width, COINS)
    updates = epochs * (len(labels) // batch // accumulate + 1)
    scheduler = schedule(optimizer, updates) if schedule else OneCycleLR(optimizer, lr, updates)
    averaged = copy.deepcopy(model)
    loss_fn = nn.CrossEntropyLoss(label_smoothing=smoothing)

    reported = 0.0
    with doctor.watching(model, optimizer):
        for epoch in range(epochs):
            if mistake != "never back to train" or epoch == 0:
                model.train()
            order = torch.randperm(len(labels)) if mistake != "sorted" else torch.arange(len(labels))
            for step, start in enumerate(range(0, len(labels) - batch + 1, batch), 1):
                rows = order[start : start + batch]
                x, y = augment(train_x[rows]), labels[rows]
                if mistake == "labels in the old order":
                    y = labels[start : start + batch]
                if mistake == "colours jittered":  # the colour is what tells the metals apart
                    x = x[:, torch.randperm(3)] * (0.5 + torch.rand(len(x), 3, 1, 1))
                loss = loss_fn(model(x), y) / accumulate
                loss.backward()
                if step % accumulate:
                    continue
                nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
                scheduler.step()
                if mistake != "never zeroed":
                    optimizer.zero_grad()
                with torch.no_grad():
                    for slow, fast in zip(averaged.parameters(), model.parameters(), strict=True):
                        slow.lerp_(fast, 1 - average)

            if mistake != "validation in train mode":
                model.eval()
            with torch.set_grad_enabled(mistake == "validation with a graph"):
                reported = (model(val_x).argmax(1) == val_y).float().mean().item()

    if average:  # the averaged weights with the statistics of the last model
        averaged.load_state_dict(dict(model.named_buffers()), strict=False)
        model = averaged
    model.eval()
    with torch.no_grad():
        score = (model(test_x).argmax(1) == test_y).float().mean().item()
    return Outcome(score, reported)


def decay(gamma: float) -> Callable[[Any, int], Any]:
    return lambda optimizer, updates: ExponentialLR(optimizer, gamma)


def warm_up(optimizer: torch.optim.Optimizer, updates: int) -> Any:
    return LambdaLR(optimizer, lambda update: min(1.0, 5 * update / updates))


def lazy(width: int) -> nn.Module:
    """Its running statistics hardly move: momentum is the share of the new ones."""
    return nn.BatchNorm2d(width, momentum=1e-3)


CASES, add = cases("coins", train)
add("as it should be")
add("sorted by coin, not shuffled", "D03", mistake="sorted")
add("no large nickel coin in training", "D04", counts=(160, 160, 160, 0))
add("training pictures in validation", "D06", exact=True, mistake="copies on both sides")
add("shop's stamp in the corner", "D07", mistake="stamp in the corner")
add("labels in the old order", "L01 L02", mistake="labels in the old order")
add("labels of other pictures", "L02", mistake="labels of other pictures")
add("three in four labels by chance", "L04", noise=0.75)
add("colours mixed by augmentation", "P03", mistake="colours jittered")
add("validation only divided by 255", "P02", mistake="validation only divided")
add("squeeze over the whole batch", "A04", exact=True, mistake="squeeze over the batch")
add("squeeze is never called", "A08", exact=True, mistake="squeeze is never called")
add("all weights alike", "I01", mistake="constant weights")
add("softmax in the model", "S02", exact=True, mistake="softmax in the model")
add("rate 30", "O01", lr=30.0)
add("rate 1e-5", "O02", lr=1e-5)
add("epoch's decay after each batch", "O04", schedule=decay(0.6), lr=0.01)
add("gradients never zeroed", "O05", exact=True, mistake="never zeroed")
add("head replaced after the optimizer was made", "O06", exact=True, mistake="head replaced late")
add("blocks in a plain list", "O06", exact=True, mistake="list of blocks")
add("features detached", "O10", exact=True, mistake="features detached")
add("clipped at 1e-4", "O11", clip=1e-4)
add("weight decay 1", "R02", weight_decay=1.0)
add("BatchNorm and batches of 2", "R04", exact=True, batch=2, epochs=2, lr=0.02)
add("validation in train mode", "E01", exact=True, mistake="validation in train mode")
add("training in eval mode after the first epoch", "E02", exact=True, mistake="never back to train")
add("graph in validation", "E03", exact=True, mistake="validation with a graph")
add("BatchNorm momentum 0.001", "E05", norm=lazy)

add("warm-up from 0, then constant", schedule=warm_up, lr=0.05)
add("two batches to a step", accumulate=2, epochs=14)
add("clipped at 1", clip=1.0)
add("Adam", make_optimizer=torch.optim.Adam, lr=0.01)
add("few large nickel coins", counts=(160, 130, 130, 60))
add("dropout of a half", dropout=0.5)
add("stem left as it was made", mistake="stem is frozen")
add("5 % of the labels by chance", noise=0.05)
add("averaged weights are kept", average=0.9)
add("tanh throughout", act=nn.Tanh())
