"""Which of four contours a melody of 32 notes follows, by a small transformer encoder written by hand.

AdamW with a warm-up and a cosine, functional cross entropy, clipped gradients, batches cut by hand and an
`evaluate`; the doctor is called at the start, each step and each epoch.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from case import Outcome, cases
from torch import Tensor, nn

NOTES, PLACES, STYLES = 40, 32, 4


def compose(styles: Tensor, generator: torch.Generator) -> Tensor:
    """Melodies that rise, fall, arch or dip around a key; backwards, one that rises is one that falls."""
    t = torch.linspace(-1, 1, PLACES)
    arch = 1 - 2 * t.abs()
    contour = torch.stack([t, -t, arch, -arch])[styles]
    key = torch.randint(18, 23, (len(styles), 1), generator=generator)
    leaps = 2 * torch.randn(len(styles), PLACES, generator=generator)
    return (key + 9 * contour + leaps).round().clamp(1, NOTES).long()


class Block(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float, act: nn.Module, batch_first: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=batch_first)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), act, nn.Linear(2 * width, width), nn.Dropout(dropout)
        )

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        h = self.norm1(x)
        x = x + self.attention(h, h, h, key_padding_mask=mask, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class Encoder(nn.Module):
    def __init__(
        self,
        width: int = 24,
        heads: int = 2,
        blocks: int = 2,
        dropout: float = 0.1,
        act: Callable[[], nn.Module] = nn.GELU,
        batch_first: bool = True,
        neck: int | None = None,
        outputs: int = STYLES,
        flaw: str = "",
    ) -> None:
        super().__init__()
        self.flaw = flaw
        self.note = nn.Embedding(NOTES + 1, width, padding_idx=0)
        self.place = nn.Embedding(PLACES, width)
        made = [Block(width, heads, dropout, act(), batch_first) for _ in range(blocks)]
        self.blocks = made if flaw == "blocks in a list" else nn.ModuleList(made)
        self.drop = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)
        head = nn.Linear(width, outputs)
        self.head = nn.Sequential(nn.Linear(width, neck), nn.Linear(neck, outputs)) if neck else head

    def forward(self, notes: Tensor) -> Tensor:
        x = self.note(notes)
        if self.flaw != "no places":
            x = x + self.place.weight
        x = self.drop(x)
        # True is for places to leave out: the wrong way round leaves out all of them
        mask = notes > 0 if self.flaw == "mask the wrong way round" else notes == 0
        for block in self.blocks[1:] if self.flaw == "first block skipped" else self.blocks:
            x = block(x, None if self.flaw == "mixed" else mask)
        if self.flaw == "detached":
            x = x.detach()
        if self.flaw != "final norm forgotten":
            x = self.norm(x)
        return self.head(x.mean(1))


def redrawn(std: float, **how: Any) -> Encoder:
    """All matrices drawn anew with one standard deviation."""
    model = Encoder(**how)
    for weight in model.parameters():
        if weight.dim() > 1:
            nn.init.normal_(weight, std=std)
    return model


def warm_cosine(step: int, warm: int, total: int) -> float:
    return min(step / warm, 1.0) * 0.5 * (1 + math.cos(math.pi * min(step / total, 1.0)))


def train(
    seed: int,
    doctor: Any,
    *,
    tunes: int = 400,
    odds: tuple[float, ...] = (1, 1, 1, 1),
    noisy: float = 0.0,
    sort: bool = False,
    batch: int = 16,
    epochs: int = 8,
    net: Callable[[], nn.Module] = Encoder,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    lr: float = 8e-3,
    warm: int = 20,
    cosine_over: int | None = None,
    decay: float = 0.01,
    clip: float | None = 1.0,
    accumulate: int = 1,
    optim: Callable[..., torch.optim.Optimizer] = torch.optim.AdamW,
    mistake: str = "",
) -> Outcome:
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    y = torch.multinomial(torch.tensor(odds, dtype=torch.float), tunes, replacement=True)
    yv, y_clean = torch.randint(STYLES, (2, 240)).unbind()
    x, xv, x_clean = (compose(styles, generator) for styles in (y, yv, y_clean))

    if mistake == "labels of another list":
        y = y[torch.randperm(tunes)]
    if mistake == "validation drawn from training":
        rows = torch.randperm(tunes)[:240]
        xv, yv = x[rows], y[rows]
    if mistake == "validation an octave up":  # and so is what it is used on
        xv, x_clean = (xv + 12).clamp(max=NOTES), (x_clean + 12).clamp(max=NOTES)
    if mistake == "styles from 1":
        y, yv, y_clean = y + 1, yv + 1, y_clean + 1
    wrong = torch.rand(tunes) < noisy
    y[wrong] = torch.randint(STYLES, (int(wrong.sum()),))

    model = net()
    optimizer = optim(model.parameters(), lr=lr, weight_decay=decay)
    total = epochs * math.ceil(tunes / batch)
    schedule = partial(warm_cosine, warm=warm, total=cosine_over or total)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)

    def evaluate(model: nn.Module) -> dict[str, float]:
        if mistake != "no eval()":
            model.eval()
        with torch.set_grad_enabled(mistake == "no no_grad()"):
            logits = model(xv)
            error = loss(logits, yv).item()
        right = logits.argmax(1) == (y[: len(yv)] if mistake == "compared with training labels" else yv)
        if mistake != "no train() after":
            model.train()
        return {"loss": error, "acc": right.float().mean().item()}

    doctor.on_start(model, optimizer, loss)
    told: dict[str, float] = {}
    for epoch in range(epochs):
        order = y.argsort() if sort else torch.randperm(tunes)
        if mistake == "tunes shuffled alone" and epoch == epochs // 3:
            x = x[torch.randperm(tunes)]
        losses, hits = 0.0, 0
        for i, rows in enumerate(order.split(batch)):
            xb, yb = x[rows], y[rows]
            if mistake == "played backwards at random":
                xb = torch.where(torch.rand(len(xb), 1) < 0.5, xb.flip(1), xb)
            logits = model(xb)
            error = loss(logits, yb)
            (error / accumulate).backward()
            if (i + 1) % accumulate == 0:
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                if mistake != "no step":
                    optimizer.step()
                if mistake != "never zeroed":
                    optimizer.zero_grad()
            scheduler.step()
            doctor.on_step(error, (xb, yb))
            losses += error.item() * len(rows)
            hits += int((logits.argmax(1) == yb).sum())
        told = evaluate(model)
        doctor.on_epoch({"loss": losses / tunes, "acc": hits / tunes}, told)

    model.eval()
    with torch.no_grad():
        score = (model(x_clean).argmax(1) == y_clean).float().mean().item()
    return Outcome(score, told["acc"])


def softmax_first(logits: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(logits.softmax(1), y)


def over_the_batch(logits: Tensor, y: Tensor) -> Tensor:
    return F.nll_loss(logits.log_softmax(0), y)


def raw_nll(logits: Tensor, y: Tensor) -> Tensor:
    return F.nll_loss(logits, y)


def capped(logits: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(logits, y).clamp(max=1.0)


CASES, add = cases("tunes", train)
add("as it should be")
add("no positions", "A06", net=partial(Encoder, flaw="no places"))
add("batch_first forgotten", "A04", exact=True, net=partial(Encoder, batch_first=False, flaw="mixed"))
add("mask the wrong way round", "O08", net=partial(Encoder, flaw="mask the wrong way round"))
add("blocks in a plain list", "O06", exact=True, net=partial(Encoder, flaw="blocks in a list"))
add("final norm never called", "A08", exact=True, net=partial(Encoder, flaw="final norm forgotten"))
add("first block never called", "A08", exact=True, net=partial(Encoder, flaw="first block skipped"))
add("blocks detached", "O10", exact=True, net=partial(Encoder, flaw="detached"))
add("weights of zero", "I01", net=partial(redrawn, std=0.0))
add("weights of std 3", "I03", net=partial(redrawn, std=3.0))
add("dropout of 0.95", "R02", net=partial(Encoder, dropout=0.95))
add("19 of 20 rise", "D02", odds=(57, 1, 1, 1))
add("no tune that dips", "D04", odds=(1, 1, 1, 0))
add("sorted by style", "D03", sort=True)
add("validation drawn from training", "D06", exact=True, mistake="validation drawn from training")
add("24 tunes, learnt by heart", "R01", tunes=24, batch=8, epochs=50)
add("labels of another list", "L02 L01", mistake="labels of another list")
add("tunes shuffled alone, later", "L01", mistake="tunes shuffled alone")
add("60 % of labels drawn anew", "L04", noisy=0.6)
add("styles from 1", "L05", exact=True, net=partial(Encoder, outputs=5), mistake="styles from 1")
add("validation an octave up", "P02", mistake="validation an octave up")
add("played backwards at random", "P03", mistake="played backwards at random")
add("softmax before cross entropy", "S02", exact=True, loss=softmax_first)
add("log_softmax over the batch", "S03", exact=True, loss=over_the_batch)
add("nll_loss on raw scores", "S03", exact=True, loss=raw_nll)
add("loss capped at 1", "S07", loss=capped)
add("lr of 0.3", "O01", lr=0.3)
add("lr of 3e-6", "O02", lr=3e-6)
add("cosine over epochs, stepped a batch", "O04", cosine_over=8)
add("gradients never zeroed", "O05", exact=True, mistake="never zeroed")
add("clipped at 1e-4, SGD", "O11", optim=torch.optim.SGD, lr=0.3, clip=1e-4)
add("no optimizer.step()", "O12", mistake="no step")
add("no model.eval()", "E01", exact=True, mistake="no eval()")
add("no model.train() after evaluate", "E02", exact=True, mistake="no train() after")
add("no torch.no_grad()", "E03", exact=True, mistake="no no_grad()")
add("compared with the labels of training", "E04", exact=True, mistake="compared with training labels")

add("ReLU, one head", net=partial(Encoder, act=nn.ReLU, heads=1))
add("a neck of 8", net=partial(Encoder, neck=8))
add("batches of 8", batch=8, epochs=6, lr=3e-3)
add("batches of 80", batch=80, epochs=30, lr=8e-3)
add("accumulated over 2", batch=8, accumulate=2)
add("warm-up for a third, not clipped", warm=60, clip=None)
add("smoothed labels", loss=partial(F.cross_entropy, label_smoothing=0.1))
add("5 % of the labels wrong", noisy=0.067)
add("half of them rise", odds=(3, 1, 1, 1))
