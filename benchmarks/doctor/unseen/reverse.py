"""A string of digits is written out backwards: a GRU reads it, a GRU with attention writes it.

Batches are cut by hand from a permutation, strings differ in length and are padded; the doctor is called step
by step.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from case import Outcome, cases
from torch import Tensor, nn

PAD, START, SYMBOLS = 10, 11, 12
LONGEST = 5


class Encoder(nn.Module):
    def __init__(self, hidden: int, dropout: float, mistake: str) -> None:
        super().__init__()
        self.embed = nn.Embedding(SYMBOLS, hidden)
        self.dropout = nn.Dropout(dropout)
        self.gru = nn.GRU(hidden, hidden, batch_first=mistake != "batch first forgotten")
        self.mistake = mistake

    def forward(self, source: Tensor) -> tuple[Tensor, Tensor]:
        x = self.dropout(self.embed(source))
        if self.mistake == "bag of digits":  # no order: what is read is only summed up
            return x, x.mean(dim=1)[None]
        read, state = self.gru(x)
        if self.mistake == "batch first forgotten":
            state = read[:, -1][None]
        if self.mistake == "encoder detached":
            return read.detach(), state.detach()
        return read, state


class Decoder(nn.Module):
    def __init__(self, hidden: int, dropout: float, mistake: str) -> None:
        super().__init__()
        self.embed = nn.Embedding(SYMBOLS, hidden)
        self.dropout = nn.Dropout(dropout)
        self.gru = nn.GRU(hidden, hidden, batch_first=True)
        self.mix = nn.Linear(2 * hidden, hidden)
        self.out = nn.Linear(hidden, SYMBOLS)
        self.mistake = mistake

    def forward(self, written: Tensor, read: Tensor, state: Tensor, padded: Tensor) -> tuple[Tensor, Tensor]:
        """The scores of the next symbol after each one written, and the state after the last."""
        x, state = self.gru(self.dropout(self.embed(written)), state)
        likeness = x @ read.transpose(1, 2) / read.shape[2] ** 0.5
        attention = likeness.masked_fill(padded[:, None], -1e9).softmax(dim=2)
        scores = self.out(torch.tanh(self.mix(torch.cat([x, attention @ read], dim=2))))
        if self.mistake == "softmax first":
            scores = scores.softmax(dim=2)
        if self.mistake == "softmax over places":
            scores = scores.log_softmax(dim=1)
        return scores, state


class Reverser(nn.Module):
    def __init__(self, hidden: int, dropout: float, mistake: str) -> None:
        super().__init__()
        self.encoder = Encoder(hidden, dropout, mistake)
        self.decoder = Decoder(hidden, dropout, mistake)

    def forward(self, source: Tensor, written: Tensor) -> Tensor:
        read, state = self.encoder(source)
        return self.decoder(written, read, state, source == PAD)[0]

    @torch.no_grad()
    def write(self, source: Tensor, length: int) -> Tensor:
        """The likeliest symbol, one after the other."""
        read, state = self.encoder(source)
        symbols = [torch.full((len(source), 1), START)]
        for _ in range(length):
            scores, state = self.decoder(symbols[-1], read, state, source == PAD)
            symbols.append(scores.argmax(dim=2))
        return torch.cat(symbols[1:], dim=1)


def make_strings(rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Strings of 2 to 5 digits, padded at the end, and the same backwards."""
    source = torch.randint(0, 10, (rows, LONGEST), generator=generator)
    lengths = torch.randint(2, LONGEST + 1, (rows, 1), generator=generator)
    places = torch.arange(LONGEST)[None]
    source[places >= lengths] = PAD
    target = source.gather(1, (lengths - 1 - places).clamp(min=0))
    target[places >= lengths] = PAD
    return source, target


def shift(target: Tensor) -> Tensor:
    """What has been written before each symbol of the target."""
    return torch.cat([torch.full((len(target), 1), START), target[:, :-1]], dim=1)


def share_right(guess: Tensor, target: Tensor) -> float:
    return (guess == target)[target != PAD].double().mean().item()


def index_batches(rows: int, batch: int, shuffle: bool) -> Iterator[Tensor]:
    order = torch.randperm(rows) if shuffle else torch.arange(rows)
    yield from order.split(batch)


def train(
    seed: int,
    doctor: Any,
    *,
    rows: int = 1600,
    batch: int = 40,
    every: int = 1,
    epochs: int = 8,
    shuffle: bool = True,
    noise: float = 0.0,
    hidden: int = 48,
    dropout: float = 0.05,
    weight_std: float | None = None,
    tied: bool = False,
    loss_fn: nn.Module | None = None,
    optimizer: Any = torch.optim.Adam,
    lr: float = 0.01,
    clip: float = 1.0,
    schedule: Callable[[Any], Any] | None = None,
    l1: float = 0.0,
    mistake: str = "",
    **options: Any,
) -> Outcome:
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    source, target = make_strings(rows, generator)
    val_source, val_target = make_strings(300, generator)
    test_source, test_target = make_strings(400, generator)
    wrong = (torch.rand(target.shape) < noise) & (target != PAD)
    target[wrong] = torch.randint(0, 10, (int(wrong.sum()),))
    if mistake == "targets of other strings":
        target = target[torch.randperm(rows)]

    model = Reverser(hidden, dropout, mistake)
    if weight_std is not None:
        for weight in model.parameters():
            nn.init.normal_(weight, std=weight_std)
    if tied:
        model.decoder.embed.weight = model.encoder.embed.weight
    trained = model.decoder if mistake == "only the decoder" else model
    opt = optimizer(trained.parameters(), lr=lr, **options)
    scheduler = schedule(opt) if schedule else None
    loss_fn = loss_fn or nn.CrossEntropyLoss(ignore_index=PAD)

    doctor.on_start(model, opt, loss_fn, None)
    reported = 0.0
    for _ in range(epochs):
        model.train()
        losses = []
        for step, index in enumerate(index_batches(rows, batch, shuffle)):
            x, y = source[index], target[index]
            written = y if mistake == "not shifted" else shift(y)
            scores = model(x, written)
            loss = loss_fn(scores.reshape(-1, SYMBOLS), y.reshape(-1))
            if mistake == "loss clamped":
                loss = loss.clamp(max=1.5)
            if l1:
                loss = loss + l1 * sum(weight.abs().sum() for weight in model.parameters())
            (loss / every).backward()
            if (step + 1) % every == 0:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
                opt.step()
                if mistake != "never zeroed":
                    opt.zero_grad()
                if scheduler is not None and mistake == "schedule by batch":
                    scheduler.step()
            losses.append(loss.item())
            doctor.on_step(loss, (x, y))
        if scheduler is not None and mistake != "schedule by batch":
            scheduler.step()
        if mistake == "strings slip":  # the sources are mixed anew, the targets are not
            source = source[torch.randperm(rows)]

        if mistake != "no eval":
            model.eval()
        with torch.set_grad_enabled(mistake == "graph kept"):
            written = val_target if mistake == "not shifted" else shift(val_target)
            scores = model(val_source, written)
            val_loss = loss_fn(scores.reshape(-1, SYMBOLS), val_target.reshape(-1))
        reported = share_right(scores.argmax(dim=2), val_target)
        doctor.on_epoch({"loss": sum(losses) / len(losses)}, {"loss": val_loss.item(), "acc": reported})

    model.eval()
    return Outcome(share_right(model.write(test_source, LONGEST), test_target), reported)


def fall(opt: Any) -> Any:
    return torch.optim.lr_scheduler.ExponentialLR(opt, gamma=0.8)


def up_and_down(opt: Any) -> Any:
    factors = (0.3, 1.0, 1.5, 1.5, 1.2, 0.8, 0.4, 0.1, 0.0)
    return torch.optim.lr_scheduler.LambdaLR(opt, lambda epoch: factors[epoch])


SGD = torch.optim.SGD

CASES, add = cases("reverse", train)
add("as it should be")
add("decoder input not shifted", "L03", mistake="not shifted")
add("batch first forgotten", "A04", mistake="batch first forgotten")
add("bag of digits", "A06", mistake="bag of digits")
add("hidden size 3", "A07", hidden=3)
add("encoder detached", "O10", exact=True, mistake="encoder detached")
add("only the decoder in the optimizer", "O06", mistake="only the decoder")
add("gradients never zeroed", "O05", exact=True, mistake="never zeroed")
add("clipped at 0.002", "O11", optimizer=SGD, lr=0.5, clip=0.002)
add("lr 1", "O01", lr=1.0)
add("lr 1e-5", "O02", lr=1e-5)
add("eps 1", "O03", eps=1.0)
add("per-epoch schedule by batch", "O04", schedule=fall, mistake="schedule by batch")
add("all weights zero", "I01", weight_std=0.0)
add("weights of 2", "I03", weight_std=2.0)
add("softmax before the loss", "S02", exact=True, mistake="softmax first")
add(
    "softmax over places",
    "S03",
    loss_fn=nn.NLLLoss(ignore_index=PAD),
    mistake="softmax over places",
)
add("loss clamped", "S07", mistake="loss clamped")
add("targets of other strings", "L02", mistake="targets of other strings")
add("strings slip every epoch", "L01", mistake="strings slip")
add("eighty strings", "R01", rows=80, batch=10, epochs=30, dropout=0.0)
add("dropout 0.9", "R02", dropout=0.9)
add("no eval before validating", "E01", exact=True, mistake="no eval")
add("graph kept in validation", "E03", exact=True, mistake="graph kept")

add("accumulated over two batches", batch=20, every=2)
add("tied embeddings", tied=True)
add("label smoothing", loss_fn=nn.CrossEntropyLoss(ignore_index=PAD, label_smoothing=0.1))
add("clipped at 0.1", clip=0.1)
add("rate up and down", schedule=up_and_down)
add("in one order", shuffle=False)
add("5 % wrong digits", noise=0.05)
add("AdamW with decay 0.1", optimizer=torch.optim.AdamW, weight_decay=0.1)
add("l1 penalty", l1=2e-5)
