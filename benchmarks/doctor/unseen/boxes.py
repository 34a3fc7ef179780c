"""One object in a little noisy picture: which kind it is, and the box around it.

A CNN with a shared trunk and two heads (a dict comes out), cross entropy and SmoothL1, SGD with momentum
under a cosine schedule, batches from a DataLoader.
"""

from collections.abc import Callable

import torch
from case import Outcome, cases
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

SIDE = 20  # pixels


def pictures(rows: int, rng: torch.Generator, left: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures (rows, 1, 20, 20), kinds (frame, block or cross) and boxes (x0, y0, x1, y1) in 0 to 1."""
    kind = torch.randint(3, (rows,), generator=rng)
    size = torch.randint(6, 13, (rows, 2), generator=rng)
    room = torch.tensor([13 if left else SIDE, SIDE]) - size
    corner = (torch.rand(rows, 2, generator=rng) * (room.clamp(min=0) + 1)).long()
    x = 0.15 * torch.randn(rows, 1, SIDE, SIDE, generator=rng)
    for i, (what, (w, h), (x0, y0)) in enumerate(
        zip(kind.tolist(), size.tolist(), corner.tolist(), strict=True)
    ):
        shape = torch.ones(h, w)
        if what == 0:
            shape[1:-1, 1:-1] = 0
        elif what == 2:
            shape[:] = 0
            shape[h // 2] = shape[:, w // 2] = 1
        x[i, 0, y0 : y0 + h, x0 : x0 + w] += shape
    return x, kind, torch.cat([corner, corner + size], 1) / SIDE


class Finder(nn.Module):
    def __init__(
        self, width=64, act=nn.ReLU, box_end=nn.Identity, dropout=0.0, momentum=0.1, frozen_trunk=False
    ) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1),
            nn.BatchNorm2d(16, momentum=momentum),
            act(),
            nn.Conv2d(16, 24, 3, stride=2, padding=1),
            nn.BatchNorm2d(24, momentum=momentum),
            act(),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(24 * 5 * 5, width),
            act(),
        )
        self.kind = nn.Linear(width, 3)
        self.box = nn.Sequential(nn.Linear(width, 4), box_end())
        self.frozen_trunk = frozen_trunk

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = self.trunk(x)
        if self.frozen_trunk:
            h = h.detach()  # left over from a trial with a ready-made trunk
        return {"kind": self.kind(h), "box": self.box(h)}


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union, row by row."""
    sides = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0)
    both, area_a, area_b = sides.prod(1), *((c[:, 2:] - c[:, :2]).clamp(min=0).prod(1) for c in (a, b))
    return both / (area_a + area_b - both)


def grade(out: dict[str, Tensor], kind: Tensor, box: Tensor, scale: float) -> float:
    """Mean overlap, where the wrong kind counts as none."""
    return (overlap(out["box"] / scale, box / scale) * (out["kind"].argmax(1) == kind)).mean().item()


def train(
    seed: int,
    doctor,
    *,
    rows: int = 800,
    copies: int = 0,
    epochs: int = 16,
    batch_size: int = 32,
    left: bool = False,
    net: dict | None = None,
    init: Callable[[Finder], None] | None = None,
    lr: float = 0.01,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    clip: float = 0.0,
    kind_loss: nn.Module | None = None,
    box_loss: nn.Module | None = None,
    box_weight: float = 10.0,
    scale: float = 1.0,
    gain: float = 1.0,
    val_gain: float | None = None,
    mistake: str = "",
) -> Outcome:
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    x, kind, box = pictures(rows, rng, left)
    val_x, val_kind, val_box = pictures(200, rng)
    if copies:  # more rows, of which validation is a part
        of = torch.randperm(rows * copies, generator=rng) % rows
        x, kind, box = x[of], kind[of], box[of]
        val_x, val_kind, val_box = x[:200], kind[:200], box[:200]
        x, kind, box = x[200:], kind[200:], box[200:]
    if mistake == "joined wrongly":
        order = torch.randperm(len(x))
        kind, box = kind[order], box[order]
    val_gain = gain if val_gain is None else val_gain
    loader = DataLoader(TensorDataset(gain * x, kind, scale * box), batch_size, shuffle=True)
    val_loader = DataLoader(TensorDataset(val_gain * val_x, val_kind, scale * val_box), 200)

    model = Finder(**net or {})
    if init:
        init(model)
    kind_loss, box_loss = kind_loss or nn.CrossEntropyLoss(), box_loss or nn.SmoothL1Loss(beta=0.1)
    learnt = model.parameters()
    if mistake == "box head left out":
        learnt = [*model.trunk.parameters(), *model.kind.parameters()]
    optimizer = torch.optim.SGD(learnt, lr, momentum=momentum, weight_decay=weight_decay)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    log = []  # of validation: loss of kinds, loss of boxes, overlap
    with doctor.watching(model, optimizer):
        for _ in range(epochs):
            if mistake != "never back to train":
                model.train()
            for batch_x, batch_kind, batch_box in loader:
                if mistake == "flipped" and torch.rand(()) < 0.5:
                    batch_x = batch_x.flip(3)  # and the box stays where it was
                out = model(batch_x)
                predicted = out["box"].unsqueeze(1) if mistake == "one axis too many" else out["box"]
                loss = kind_loss(out["kind"], batch_kind) + box_weight * box_loss(predicted, batch_box)
                if mistake != "no zero_grad":
                    optimizer.zero_grad()
                loss.backward()
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
            scheduler.step()
            if mistake != "no eval":
                model.eval()
            with torch.set_grad_enabled(mistake == "no no_grad"):
                for batch_x, batch_kind, batch_box in val_loader:
                    out = model(batch_x)
                    losses = kind_loss(out["kind"], batch_kind), box_weight * box_loss(out["box"], batch_box)
                    log.append((*map(float, losses), grade(out, batch_kind, batch_box, scale)))

    model.eval()
    held_x, held_kind, held_box = pictures(500, rng)
    with torch.no_grad():
        score = grade(model(val_gain * held_x), held_kind, scale * held_box, scale)
    return Outcome(score=score, reported=log[-1][-1])


def constant(model: Finder) -> None:
    for layer in (model.trunk[8], model.kind, model.box[0]):
        nn.init.constant_(layer.weight, 0.01)


def tiny(model: Finder) -> None:
    for layer in (model.trunk[8], model.kind, model.box[0]):
        nn.init.normal_(layer.weight, std=1e-5)


def huge(model: Finder) -> None:
    for layer in (model.trunk[8], model.kind, model.box[0]):
        nn.init.normal_(layer.weight, std=3.0)


def low_bias(model: Finder) -> None:
    nn.init.constant_(model.trunk[8].bias, -10.0)


def freeze_first(model: Finder) -> None:
    model.trunk[0].requires_grad_(False)


CASES, add = cases("boxes", train)
add("as it should be")

add("trained on the left half only", "D04", left=True)
add("copied, then split", "D06", rows=100, copies=8)
add("labels joined wrongly", "L02", mistake="joined wrongly")
add("validated on pictures of 0 to 255", "P02", val_gain=255.0)
add("flipped without the box", "P03", mistake="flipped")
add("boxes in micrometres", "P04", scale=3000.0)
add("no activations", "A03", net={"act": nn.Identity})
add("a trunk of width 1", "A07", net={"width": 1})
add("a bias of -10 before ReLU", "A02", init=low_bias)
add("constant weights", "I01", init=constant)
add("weights of 1e-5", "I02", init=tiny)
add("weights of 3", "I03", init=huge, lr=0.001)
add("sigmoid for boxes in pixels", "S04", net={"box_end": nn.Sigmoid}, scale=SIDE)
add("one axis too many in the box loss", "S05", mistake="one axis too many")
add("box loss summed", "S07 O01", box_loss=nn.SmoothL1Loss(beta=0.1, reduction="sum"))
add("lr 5", "O01 O08", lr=5.0)
add("lr 5e-6", "O02", lr=5e-6)
add("momentum 0.999", "O03", momentum=0.999)
add("no zero_grad", "O05", exact=True, mistake="no zero_grad")
add("box head not in the optimizer", "O06", exact=True, mistake="box head left out")
add("trunk detached", "O10", exact=True, net={"frozen_trunk": True})
add("clipping at 0.001", "O11", clip=1e-3)
add("40 rows", "R01 D04", rows=40, epochs=120)
add("weight decay 0.3", "R02", weight_decay=0.3)
add("eight epochs at lr 5e-4", "R03", epochs=8, lr=0.0005)
add("validated in train mode", "E01", exact=True, net={"dropout": 0.5}, mistake="no eval")
add("trained in eval mode", "E02", exact=True, mistake="never back to train")
add("validated with a graph", "E03", exact=True, mistake="no no_grad")
add("BatchNorm of momentum 1e-5", "E05", net={"momentum": 1e-5})

add("lr 0.03", lr=0.03)
add("pictures of 0 to 255", gain=255.0)
add("clipping at 3", clip=3.0)
add("label smoothing", kind_loss=nn.CrossEntropyLoss(label_smoothing=0.1))
add("first layer frozen", init=freeze_first)
add("sigmoid for boxes of 0 to 1", net={"box_end": nn.Sigmoid}, lr=0.03)
add("batches of 8", batch_size=8, lr=0.004, epochs=8)
