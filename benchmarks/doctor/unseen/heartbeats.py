"""Made-up heartbeats of 96 samples: four kinds, one of them rare, for a small 1-D CNN with GroupNorm.

The loop makes its batches by hand, accumulates two of them an update, and warms AdamW up with a LambdaLR.
"""

import copy
from itertools import pairwise

import torch
import torch.nn.functional as F
from case import Outcome, cases
from torch import Tensor, nn

LENGTH = 96
SHARES = (0.5, 0.22, 0.22, 0.06)  # normal, wide, without a P wave, T wave upside down


def heartbeats(rows: int, rng: torch.Generator, shares=SHARES, noise: float = 0.3) -> tuple[Tensor, Tensor]:
    """Signals (rows, 96) in millivolts, and their kinds."""
    y = torch.multinomial(torch.tensor(shares), rows, replacement=True, generator=rng)
    t = torch.arange(LENGTH)
    start = torch.randint(-8, 9, (rows, 1), generator=rng)
    size = 0.8 + 0.4 * torch.rand(rows, 1, generator=rng)

    def wave(centre: int, width: Tensor, height: Tensor) -> Tensor:
        bell = torch.exp(-(((t - centre - start) / width[:, None]) ** 2))
        return (height * size.squeeze(1))[:, None] * bell

    one = torch.ones(rows)
    x = wave(26, 4 * one, 0.5 * (y != 2))
    x += wave(46, torch.where(y == 1, 4.5, 2.5), 1.5 * one)
    x += wave(68, 6 * one, torch.where(y == 3, -0.4, 0.4))
    return x + noise * torch.randn(rows, LENGTH, generator=rng), y


class HeartNet(nn.Module):
    def __init__(self, act=nn.ReLU, norm="group", hidden=32, extra=0, dropout=0.1, mistake="") -> None:
        super().__init__()
        widths = [1, 16, 32] + [32] * extra
        blocks = []
        for i, (a, b) in enumerate(pairwise(widths)):
            blocks.append(nn.Conv1d(a, b, 5, stride=2 if i < 2 else 1, padding=2))
            if norm:
                blocks.append(nn.GroupNorm(4, b) if norm == "group" else nn.BatchNorm1d(b))
            blocks.append(act())
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AvgPool1d(4)
        self.hidden = nn.Linear(32 * LENGTH // 16, hidden)
        self.act = act()
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(hidden, len(SHARES))
        self.mistake = mistake

    def forward(self, x: Tensor) -> Tensor:
        h = self.pool(self.blocks(x.unsqueeze(1)))
        # a row is channels by time; the mistake brings time to the front and then cuts rows out of that
        h = h.permute(2, 0, 1).reshape(len(x), -1) if self.mistake == "rows mixed" else h.flatten(1)
        return self.out(self.dropout(self.act(self.hidden(h))))


def balanced_accuracy(predicted: Tensor, y: Tensor) -> float:
    return torch.stack([(predicted[y == kind] == kind).float().mean() for kind in y.unique()]).mean().item()


def validate(model: nn.Module, x: Tensor, y: Tensor, mistake: str) -> dict[str, float]:
    if mistake != "no eval":
        model.eval()
    with torch.set_grad_enabled(mistake == "no no_grad"):
        logits = model(x)
        loss = F.cross_entropy(logits, y)
    if mistake == "metric against rows in another order":
        y = y[torch.randperm(len(y))]
    return {"loss": loss.item(), "acc": balanced_accuracy(logits.argmax(1), y)}


def train(
    seed: int,
    doctor,
    *,
    rows: int = 640,
    epochs: int = 14,
    batch: int = 16,
    accumulate: int = 2,
    lr: float = 2e-3,
    weight_decay: float = 0.01,
    adam: dict | None = None,
    warm_up: int = 40,
    net: dict | None = None,
    shares: tuple[float, ...] = SHARES,
    weighted: bool = True,
    label_noise: float = 0.0,
    offset: float = 0.0,
    hidden_gain: float = 1.0,
    jitter: float = 0.0,
    gradient_noise: float = 0.0,
    average: float = 0.0,
    mistake: str = "",
) -> Outcome:
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    x, y = heartbeats(rows, rng, shares)
    val_x, val_y = heartbeats(300, rng)
    if mistake == "split after oversampling":
        copies = torch.randint(rows, (rows + 300,), generator=rng)
        (x, val_x), (y, val_y) = x[copies].split([rows, 300]), y[copies].split([rows, 300])
    if mistake == "no rare ones in training":
        x, y = x[y != 3], y[y != 3]
    if mistake == "annotator's mark":
        x[:, -1], val_x[:, -1] = 3.0 * y, 3.0 * val_y
    wrong = torch.rand(len(y)) < label_noise
    y = torch.where(wrong, torch.randint(4, y.shape), y)
    x, val_x = x + offset, val_x + offset
    weight = len(y) / y.bincount(minlength=4).clamp(min=1) if weighted else None

    model = HeartNet(**net or {})
    with torch.no_grad():
        model.hidden.weight *= hidden_gain
    averaged = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr, weight_decay=weight_decay, **adam or {})
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / warm_up))
    doctor.on_start(model, optimizer)
    seen = {"loss": 0.0, "acc": 0.0}
    for _ in range(epochs):
        if mistake != "train() only once":
            model.train()
        total, order = 0.0, torch.randperm(len(y))
        for number, start in enumerate(range(0, len(y) - batch + 1, batch), 1):
            rows_x = rows_y = order[start : start + batch]
            if mistake == "labels not in the order of signals":
                rows_y = torch.arange(start, start + batch)
            batch_x, batch_y = x[rows_x], y[rows_y]
            if jitter:
                batch_x = batch_x + jitter * torch.randn_like(batch_x)
            loss = F.cross_entropy(model(batch_x), batch_y, weight)
            if mistake == "loss clamped":
                loss = loss.clamp(max=0.5)
            (loss / accumulate).backward()
            total += loss.item()
            if number % accumulate == 0:
                for p in model.parameters():
                    if gradient_noise:
                        p.grad += gradient_noise * torch.randn_like(p)
                optimizer.step()
                if mistake != "no zero_grad":
                    optimizer.zero_grad()
                if mistake != "scheduler by epoch":
                    scheduler.step()
                if average:
                    for slow, fast in zip(averaged.parameters(), model.parameters(), strict=True):
                        slow.data.lerp_(fast.data, 1 - average)
            doctor.on_step(loss, (batch_x, batch_y))
        if mistake == "scheduler by epoch":
            scheduler.step()
        seen = validate(averaged if average else model, val_x, val_y, mistake)
        doctor.on_epoch({"loss": total / number}, seen)

    final = HeartNet(**net or {})
    final.load_state_dict((averaged if average else model).state_dict())
    held_x, held_y = heartbeats(1500, rng)
    score = validate(final, held_x + offset, held_y, "")["acc"]
    return Outcome(score=score, reported=seen["acc"])


CASES, add = cases("heartbeats", train)
add("as it should be")

add("97 % normal, no weights", "D02", shares=(0.97, 0.01, 0.01, 0.01), weighted=False)
add("no rare ones in training", "D04", mistake="no rare ones in training")
add("split after oversampling", "D06", rows=150, epochs=40, mistake="split after oversampling")
add("the annotator's mark in the signal", "D07 L03", mistake="annotator's mark")
add("labels not in the order of signals", "L01 L02", mistake="labels not in the order of signals")
add("labels wrong in 40 %", "L04", label_noise=0.53, epochs=25)
add("labels wrong in 60 %", "L04", label_noise=0.8)
add("the converter's offset left in", "P01", offset=1000.0)
add("jitter that drowns the beat", "P03", jitter=3.0)
add("saturated tanh", "A01 I03", net={"act": nn.Tanh, "hidden": 6}, hidden_gain=500.0)
add("no activations", "A03", exact=True, net={"act": nn.Identity, "norm": "batch"})
add("rows mixed by a reshape", "A04", net={"mistake": "rows mixed"})
add("one hidden unit", "A07", net={"hidden": 1})
add("loss clamped at 0.5", "S07", mistake="loss clamped")
add("lr 0.3", "O01", lr=0.3)
add("lr 2e-6", "O02", lr=2e-6)
add("eps of 10", "O03 O02", adam={"eps": 10.0})
add("warm-up by epoch", "O04 O02", warm_up=4000, mistake="scheduler by epoch")
add("no zero_grad", "O05", exact=True, mistake="no zero_grad")
add("twelve layers of sigmoid", "O07 A01", net={"act": nn.Sigmoid, "norm": "", "extra": 8})
add("64 rows", "R01 D04", rows=64, epochs=60, net={"dropout": 0.0})
add("eight epochs at lr 1e-4", "R03 O02", epochs=8, lr=1e-4)
add("validated in train mode", "E01", exact=True, net={"dropout": 0.5}, mistake="no eval")
add("trained in eval mode", "E02", exact=True, net={"norm": "batch"}, mistake="train() only once")
add("validated with a graph", "E03", exact=True, mistake="no no_grad")
add("metric of rows in another order", "E04", exact=True, mistake="metric against rows in another order")

add("BatchNorm", net={"norm": "batch"})
add("lr 0.01", lr=0.01)
add("warm-up of a third", warm_up=100)
add("no class weights", weighted=False)
add("batches of 64, none accumulated", batch=64, accumulate=1, lr=4e-3)
add("eight batches of 4", batch=4, accumulate=8)
add("noisy gradients", gradient_noise=0.01)
add("slow average of the weights", average=0.95)
add("mild jitter", jitter=0.2)
add("labels wrong in 5 %", label_noise=0.07)
