"""Made-up microscope pictures: which pixels are background, full cells or cells with a dark core?

A small U-Net (BatchNorm, skip connections) over a DataLoader, cross entropy for each pixel plus a soft Dice
loss written by hand, AdamW with a cosine schedule; the doctor watches by a with statement.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from case import Outcome, cases
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

SIZE, CLASSES = 16, 3
Activation = type[nn.Module]


def slides(rng: np.random.Generator, count: int, kinds: tuple[int, ...] = (1, 2)) -> tuple[Tensor, Tensor]:
    """Noisy pictures with one to three cells each (1 is full, 2 has a dark core), and their masks."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    pictures = rng.normal(100, 20, size=(count, 1, SIZE, SIZE))
    masks = np.zeros((count, SIZE, SIZE), dtype=np.int64)
    for picture, mask in zip(pictures, masks, strict=True):
        for _ in range(rng.integers(1, 4)):
            kind, radius = rng.choice(kinds), rng.uniform(2.5, 4.5)
            row, column = rng.uniform(2, SIZE - 2, size=2)
            distance = np.hypot(rows - row, columns - column)
            mask[distance < radius] = kind
            picture[0, distance < radius] += 60
            if kind == 2:
                picture[0, distance < radius / 2] -= 60
    return torch.tensor(pictures, dtype=torch.float32), torch.tensor(masks)


class Stage(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, activation: Activation, norm: Callable, dropout: float):
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            norm(outputs),
            activation(),
            nn.Dropout2d(dropout),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            norm(outputs),
            activation(),
        )


class UNet(nn.Module):
    def __init__(
        self,
        width: int,
        outputs: int,
        activation: Activation,
        norm: Callable,
        dropout: float,
        mistake: str = "",
    ):
        super().__init__()
        self.mistake = mistake
        rest = activation, norm, dropout
        self.down1 = Stage(1, width, *rest)
        self.down2 = Stage(width, 2 * width, *rest)
        self.bottom = Stage(2 * width, 4 * width, *rest)
        up = [Stage(6 * width, 2 * width, *rest), Stage(3 * width, width, *rest)]
        # A plain list hides the decoder from parameters().
        self.up = up if mistake == "list of stages" else nn.ModuleList(up)
        self.head = nn.Conv2d(width, outputs, 1)
        if mistake == "gate is never called":
            self.gate = nn.Sequential(nn.Conv2d(2 * width, 2 * width, 1), nn.Sigmoid())

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        fine = self.down1(x)
        middle = self.down2(F.avg_pool2d(fine, 2))
        return fine, middle, self.bottom(F.avg_pool2d(middle, 2))

    def forward(self, x: Tensor) -> Tensor:
        fine, middle, coarse = self.encode(x)
        if self.mistake == "encoder detached":
            fine, middle, coarse = fine.detach(), middle.detach(), coarse.detach()
        x = self.up[0](torch.cat([F.interpolate(coarse, scale_factor=2), middle], 1))
        x = self.up[1](torch.cat([F.interpolate(x, scale_factor=2), fine], 1))
        return self.head(x)


def soft_dice(logits: Tensor, masks: Tensor) -> Tensor:
    share = logits.softmax(1)
    truth = F.one_hot(masks, logits.shape[1]).movedim(-1, 1)
    overlap = (share * truth).sum((0, 2, 3))
    return 1 - ((2 * overlap + 1) / (share.sum((0, 2, 3)) + truth.sum((0, 2, 3)) + 1)).mean()


def mean_iou(guesses: Tensor, masks: Tensor) -> float:
    ious = []
    for kind in masks.unique():
        guess, truth = guesses == kind, masks == kind
        ious.append(((guess & truth).sum() / (guess | truth).sum()).item())
    return sum(ious) / len(ious)


def train(
    seed: int,
    doctor: Any,
    *,
    lr: float = 5e-3,
    epochs: int = 13,
    batch: int = 16,
    count: int = 192,
    width: int = 8,
    activation: Activation = nn.ReLU,
    norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    dropout: float = 0.0,
    dice: float = 1.0,
    cross: Callable[[Tensor, Tensor], Tensor] | None = None,
    make_optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.AdamW,
    weight_decay: float = 0.01,
    schedule: Callable[[Any, int], Any] = torch.optim.lr_scheduler.CosineAnnealingLR,
    accumulate: int = 1,
    clip: float | None = None,
    gradient_noise: float = 0.0,
    mistake: str = "",
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    # Slides of one donor only, who has no cells of kind 2.
    train_x, train_y = slides(rng, count, kinds=(1,) if mistake == "one donor" else (1, 2))
    val_x, val_y = slides(rng, 64)
    test_x, test_y = slides(rng, 128)
    if mistake == "split after copying":
        # Each slide was copied to get more of them, and the copies fell on both sides.
        train_x, train_y = train_x.repeat(2, 1, 1, 1), train_y.repeat(2, 1, 1)
        val_x, val_y = train_x[-64:], train_y[-64:]
    if mistake == "holes":
        train_x[::6, :, 3:5, 4] = torch.nan  # dead pixels
    if mistake == "masks in another order":
        train_y = train_y[torch.randperm(count)]  # two glob() calls, not sorted
    mean, std = train_x.mean(), train_x.std()
    train_x = (train_x - mean) / std
    if mistake != "validation as it comes":
        val_x, test_x = (val_x - mean) / std, (test_x - mean) / std
    first = 1 if mistake == "classes from one" else 0
    train_y, val_y = train_y + first, val_y + first

    loader = DataLoader(TensorDataset(train_x, train_y), batch, shuffle=True)
    model = UNet(width, CLASSES + first, activation, norm, dropout, mistake)
    if mistake == "constant weights":
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.constant_(module.weight, 0.05)
    optimizer = make_optimizer(model.parameters(), lr=lr, weight_decay=weight_decay)
    if mistake == "head replaced late":
        model.head = nn.Conv2d(width, CLASSES, 1)
        model.up[1] = Stage(3 * width, width, activation, norm, dropout)
    scheduler = schedule(optimizer, epochs)
    cross = cross or nn.CrossEntropyLoss()

    losses: list[Any] = []  # for the curve that is drawn in the end
    with doctor.watching(model, optimizer):
        reported = 0.0
        for epoch in range(epochs):
            if mistake != "never back to train" or epoch == 0:
                model.train()
            for step, (x, y) in enumerate(loader, 1):
                if mistake == "flips of the picture alone":
                    x = x.flip(3) if torch.rand(()) < 0.5 else x.flip(2)
                logits = model(x)
                loss = cross(logits, y)
                if dice:
                    loss = loss + dice * soft_dice(logits, y)
                if mistake == "clamped loss":
                    loss = loss.clamp(max=1.0)  # "against outliers"
                (loss / accumulate).backward()
                losses.append(loss if mistake == "graph kept" else loss.item())
                if gradient_noise:
                    for p in model.parameters():
                        p.grad += gradient_noise * torch.randn_like(p)
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                if step % accumulate == 0:
                    optimizer.step()
                    if mistake != "never zeroed":
                        optimizer.zero_grad()
                if mistake == "schedule for each batch":
                    scheduler.step()
            if mistake != "schedule for each batch":
                scheduler.step()

            if mistake != "validation in train mode":
                model.eval()
            with torch.set_grad_enabled(mistake == "graph kept"):
                logits = model(val_x)
            reported = mean_iou(logits.argmax(1), val_y)

    model.eval()
    with torch.no_grad():
        score = mean_iou(model(test_x).argmax(1), test_y)
    return Outcome(score, reported)


def decay(gamma: float) -> Callable[[Any, int], Any]:
    return lambda optimizer, epochs: torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma)


def warm_up(optimizer: torch.optim.Optimizer, epochs: int) -> Any:
    """The rate starts at 0, rises for three epochs and falls in a half cosine."""
    factor = lambda epoch: min(epoch / 3, 0.5 + 0.5 * math.cos(math.pi * epoch / epochs))  # noqa: E731
    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def momentum(parameters: Any, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=lr, momentum=0.9, nesterov=True, weight_decay=weight_decay)


CASES, add = cases("cells", train)
add("as it should be")
add("dead pixels are NaN", "D01", mistake="holes")
add("one donor without the second kind", "D04", mistake="one donor")
add("copies on both sides of the split", "D06", exact=True, mistake="split after copying")
add("masks of other pictures", "L02 L01", mistake="masks in another order")
add("classes counted from one", "L05", mistake="classes from one")
add("validation not normalised", "P02", mistake="validation as it comes")
add("pictures flipped and masks not", "P03", mistake="flips of the picture alone")
add("no activation", "A03", activation=nn.Identity)
add("one channel wide", "A07", width=1)
add("a gate that is never called", "A08", exact=True, mistake="gate is never called")
add("all weights alike", "I01", mistake="constant weights")
add("NLLLoss on raw scores", "S03", cross=nn.NLLLoss(), dice=0.0)
add("loss clamped at 1", "S07", mistake="clamped loss")
add("rate 1e-5", "O02", lr=1e-5)
add("rate 30", "O01", lr=30.0)
add("epoch's decay after each batch", "O04", schedule=decay(0.7), mistake="schedule for each batch")
add("gradients never zeroed", "O05", exact=True, mistake="never zeroed")
add("head replaced after the optimizer was made", "O06", exact=True, mistake="head replaced late")
add("decoder in a plain list", "O06", exact=True, mistake="list of stages")
add("encoder detached", "O10", exact=True, mistake="encoder detached")
add("accumulates more batches than there are", "O12", accumulate=20)
add("weight decay 30", "R02", weight_decay=30.0)
add("dropout 0.9", "R02", dropout=0.9)
add("validation in train mode", "E01", exact=True, mistake="validation in train mode")
add("training in eval mode after the first epoch", "E02", exact=True, mistake="never back to train")
add("graph kept in validation and in the sum", "E03", exact=True, mistake="graph kept")

add("SGD at 0.3 with Nesterov", make_optimizer=momentum, lr=0.3, weight_decay=1e-4)
add("warm-up from 0", schedule=warm_up)
add("two batches to a step, clipped at 1", accumulate=2, clip=1.0)
add("cross entropy weighted by class", cross=nn.CrossEntropyLoss(torch.tensor([0.5, 1.0, 2.0])))
add("smoothed labels and no Dice", cross=nn.CrossEntropyLoss(label_smoothing=0.1), dice=0.0)
add("batches of 4 and GroupNorm", batch=4, epochs=8, norm=lambda width: nn.GroupNorm(4, width))
add("tanh throughout", activation=nn.Tanh)
add("noise on the gradient", gradient_noise=0.002)
add("constant rate", schedule=decay(1.0), lr=2e-3)
