"""Which glyph is it and how far is it turned? A small CNN with GroupNorm on 12 x 12 drawings, two heads.

The loss has two parts, SGD with momentum follows a cosine, and the loop runs inside
``with doctor.watching(model, optimizer)`` with a validation after each epoch.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from case import Outcome, cases
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

SIDE, TURN = 12, 60.0  # pixels; degrees to either side
TRAIN, VAL, TEST = 900, 250, 600
STROKES = {  # from x, y to x, y
    "L": [(-0.7, -1, -0.7, 1), (-0.7, 1, 0.7, 1)],
    "T": [(-1, -0.9, 1, -0.9), (0, -0.9, 0, 1)],
    "V": [(-0.8, -1, 0, 1), (0.8, -1, 0, 1)],
    "F": [(-0.6, -1, -0.6, 1), (-0.6, -1, 0.7, -1), (-0.6, 0, 0.4, 0)],
    "7": [(-0.7, -1, 0.7, -1), (0.7, -1, -0.2, 1)],
}
CLASSES = len(STROKES)


def glyphs(rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy drawings (count, 1, 12, 12), which glyph each is, and its angle, -1 to 1 for 60 degrees."""
    kinds, turned = rng.integers(0, CLASSES, count), rng.uniform(-1, 1, count)
    along = np.linspace(0, 1, 9)[:, None]
    grid = np.stack(np.meshgrid(*[np.linspace(-1.5, 1.5, SIDE)] * 2), -1)
    shapes = [
        np.concatenate([np.array(s[:2]) * (1 - along) + np.array(s[2:]) * along for s in strokes])
        for strokes in STROKES.values()
    ]
    drawings = np.empty((count, 1, SIDE, SIDE), dtype=np.float32)
    for drawing, kind, turn in zip(drawings, kinds, np.radians(turned * TURN), strict=True):
        cos, sin = np.cos(turn), np.sin(turn)
        dots = shapes[kind] @ np.array([[cos, sin], [-sin, cos]]) + rng.uniform(-0.15, 0.15, 2)
        nearest = ((grid[:, :, None] - dots) ** 2).sum(-1).min(-1)
        drawing[0] = np.exp(-nearest / 0.06)
    drawings += rng.normal(0, 0.2, drawings.shape)
    return torch.tensor(drawings).float(), torch.tensor(kinds), torch.tensor(turned).float()


class Seer(nn.Module):
    """Drawings to (class scores, angle)."""

    def __init__(
        self,
        width: int = 12,
        norm: Callable[[int], nn.Module] = partial(nn.GroupNorm, 4),  # noqa: B008
        activation: Callable[[], nn.Module] = nn.ReLU,
        bottleneck: int = 48,
        outputs: int = CLASSES,
        dropout: float = 0.0,
        scores_last: Callable[[Tensor], Tensor] = lambda out: out,
        angle_last: Callable[[Tensor], Tensor] = lambda out: out,
        detached: bool = False,
        squeeze: bool = True,
        spare: bool = False,
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(1, width, 3, padding=1), norm(width), activation(), nn.AvgPool2d(2)),
            *(nn.Conv2d(width, 2 * width, 3, padding=1), norm(2 * width), activation(), nn.AvgPool2d(2)),
            *(nn.Flatten(), nn.Linear(18 * width, bottleneck), activation(), nn.Dropout(dropout)),
        )
        self.scores, self.angle = nn.Linear(bottleneck, outputs), nn.Linear(bottleneck, 1)
        if spare:
            self.size = nn.Linear(bottleneck, 1)
        self.scores_last, self.angle_last = scores_last, angle_last
        self.detached, self.squeeze = detached, squeeze

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.body(x)
        if self.detached:
            seen = seen.detach()
        angle = self.angle_last(self.angle(seen))
        return self.scores_last(self.scores(seen)), angle.squeeze(1) if self.squeeze else angle


def judged(model: nn.Module, drawings: Tensor, kinds: Tensor, angles: Tensor) -> float:
    """Mean of the accuracy and of the R² of the angle."""
    scores, angle = model(drawings)
    error = F.mse_loss(angle.flatten(), angles) / angles.var()
    right = float((scores.argmax(1) == kinds).float().mean())
    return (right + float((1 - error).clamp(0, 1).nan_to_num(0.0))) / 2


def train(
    seed: int,
    doctor: Any,
    *,
    lr: float = 0.02,
    optim: Callable[..., torch.optim.Optimizer] = partial(torch.optim.SGD, momentum=0.9),  # noqa: B008
    kind_loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    angle_loss: Callable[[Tensor, Tensor], Tensor] = F.mse_loss,
    weight: float = 2.0,  # of the angle's part
    epochs: int = 10,
    batch: int = 32,
    rows: int = TRAIN,
    angle_unit: float = 1.0,
    first_kind: int = 0,
    wrong_labels: float = 0.0,
    contrast: float = 1.0,
    val_contrast: float = 0.0,
    init: Callable[[Tensor], Any] | None = None,
    clip: float = 0.0,
    frozen: tuple[int, ...] = (),  # layers of the body
    mistake: str = "",
    **network: Any,
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    (drawings, kinds, angles), val, test = (glyphs(rng, count) for count in (rows, VAL, TEST))
    val, test = ((d * (val_contrast or contrast), k + first_kind, a * angle_unit) for d, k, a in (val, test))
    drawings, kinds, angles = drawings * contrast, kinds + first_kind, angles * angle_unit
    kinds = torch.where(torch.rand(rows) < wrong_labels, torch.randint(0, CLASSES, (rows,)), kinds)
    if mistake == "answers shuffled apart":
        order = torch.randperm(rows)
        kinds, angles = kinds[order], angles[order]
    if mistake == "sorted by glyph":
        order = kinds.argsort(stable=True)
        drawings, kinds, angles = drawings[order], kinds[order], angles[order]
    if mistake == "two glyphs missing":
        kept = kinds > 1
        drawings, kinds, angles = drawings[kept], kinds[kept], angles[kept]
    if mistake == "answer in the corner":  # drawn in while the data were looked at
        for images, answers in ((drawings, kinds), (val[0], val[1])):
            images[:, 0, 0, :2] = 3.0 * answers[:, None]
    if mistake == "broken pixel":
        drawings[::100, 0, 4, 4] = torch.inf
    rows_of = TensorDataset(drawings, kinds, angles)
    loader = DataLoader(rows_of, batch_size=batch, shuffle=mistake != "sorted by glyph")

    model = Seer(**network)
    for module in model.modules():
        if init and isinstance(module, nn.Conv2d | nn.Linear):
            init(module.weight)
    if mistake == "scores start at 30":
        nn.init.constant_(model.scores.bias[:1].data, 30.0)
    for index in frozen:
        model.body[index].requires_grad_(False)
    optimizer = optim([p for p in model.parameters() if p.requires_grad], lr=lr)
    if mistake == "heads replaced after the optimizer":
        model.scores, model.angle = Seer(**network).scores, Seer(**network).angle
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    val_score = 0.0
    val_losses = []

    with doctor.watching(model, optimizer):
        for _epoch in range(epochs):
            model.train()
            if mistake == "drawings reordered, answers not":
                rows_of.tensors = (drawings[torch.randperm(rows)], kinds, angles)
            for x, kind, angle in loader:
                if mistake == "mirrored and turned at will":
                    x = torch.rot90(x.flip(3), int(torch.randint(0, 4, ())), (2, 3))
                scores, found = model(x)
                loss = kind_loss(scores, kind) + weight * angle_loss(found, angle)
                loss.backward()
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
                if mistake == "scheduler.step() each batch":
                    scheduler.step()
                if mistake != "never zeroed":
                    optimizer.zero_grad()
            if mistake != "scheduler.step() each batch":
                scheduler.step()

            if mistake != "eval() forgotten":
                model.eval()
            with torch.set_grad_enabled(mistake == "no_grad forgotten"):
                scores, found = model(val[0])
                val_losses.append(kind_loss(scores, val[1]) + weight * angle_loss(found, val[2]))
                val_score = judged(model, *val)

    model.eval()
    with torch.no_grad():
        return Outcome(judged(model, *test), val_score)


def summed(found: Tensor, angles: Tensor) -> Tensor:
    return (found - angles).square().sum()


softmax, over_rows = partial(torch.softmax, dim=1), partial(torch.log_softmax, dim=0)

CASES, add = cases("two_heads", train)
add("as it should be")
add("softmax before cross-entropy", "S02", exact=True, scores_last=softmax)
add("log_softmax over the rows", "S03", exact=True, scores_last=over_rows, kind_loss=F.nll_loss)
add("angle cannot be negative", "S04", angle_last=torch.relu)
add("angle not squeezed", "S05", squeeze=False)
add("angle's part summed", "S07 O01 O08", angle_loss=summed)
add("angle in degrees", "P04 O08 O01", angle_unit=TURN)
add("glyphs numbered from 1", "L05", exact=True, first_kind=1, outputs=CLASSES + 1)
add("answers shuffled apart", "L02", mistake="answers shuffled apart")
add("drawings reordered, answers not", "L01 L02", mistake="drawings reordered, answers not")
add("90 % of the glyphs redrawn", "L04 L02", wrong_labels=0.9)
add("sorted by glyph", "D03", mistake="sorted by glyph")
add("two glyphs missing", "D04", mistake="two glyphs missing")
add("answer in the corner", "D07", mistake="answer in the corner")
add("broken pixel", "D01 O08", mistake="broken pixel")
add("mirrored and turned at will", "P03", mistake="mirrored and turned at will")
add("validation drawings from 0 to 255", "P02", val_contrast=255.0, norm=nn.BatchNorm2d)
add("no activations", "A03", exact=True, activation=nn.Identity, norm=nn.Identity)
add("bottleneck of one unit", "A07", bottleneck=1)
add("layer that nothing calls", "A08", exact=True, spare=True)
add("all weights zero", "I01", init=nn.init.zeros_)
add("weights near zero", "I02", init=partial(nn.init.normal_, std=1e-3), norm=nn.Identity)
add("weights far too large", "I03", init=partial(nn.init.normal_, std=2.0))
add("scores start at 30", "I04", exact=True, mistake="scores start at 30")
add("lr x 100", "O01 O08", lr=2.0)
add("lr / 500", "O02", lr=4e-5)
add("cosine of 10 stepped each batch", "O04", exact=True, mistake="scheduler.step() each batch")
add("never zeroed", "O05", mistake="never zeroed")
add("heads replaced after the optimizer", "O06", exact=True, mistake="heads replaced after the optimizer")
add("features detached", "O10", detached=True)
add("clipped at 0.003", "O11", clip=0.003)
add("weight decay 0.3", "R02", optim=partial(torch.optim.SGD, momentum=0.9, weight_decay=0.3))
add("twenty glyphs", "R01", rows=20, batch=5, epochs=60)
add("no_grad forgotten", "E03", exact=True, mistake="no_grad forgotten")
add("eval() forgotten, dropout", "E01", exact=True, dropout=0.3, mistake="eval() forgotten")

add("Adam", optim=torch.optim.Adam, lr=3e-3)
add("first convolution frozen as drawn", frozen=(0,))
add("tanh", activation=nn.Tanh)
add("clipped at 1.0", clip=1.0)
add("contrast of 5", contrast=5.0)
add("batches of 8", batch=8, epochs=4, lr=0.01)
add(
    "label smoothing, absolute error",
    kind_loss=nn.CrossEntropyLoss(label_smoothing=0.1),
    angle_loss=F.l1_loss,
)
add("5 % of the glyphs redrawn", wrong_labels=0.05)
