"""Made-up names of a small grammar, read by a GRU that says which letter comes next.

The names lie padded in one tensor and are taken by hand-made index batches with Adam, clipping and a
validation perplexity after every epoch; the doctor is told of each step by calls.
"""

import copy
import math
from typing import Any

import torch
from case import Outcome, cases
from torch import Tensor, nn
from torch.nn import functional as F

PAD, START, END = 0, 1, 2
FAMILIES = ("ae", "io", "uy", "äö")  # all vowels of a name are from one family
CONSONANTS = "bdgklmnprtvz"
LETTERS = ["<pad>", "<start>", "<end>", *CONSONANTS, *"".join(FAMILIES)]
LONGEST = 14


def made_up_name(generator: torch.Generator) -> tuple[str, float]:
    """A name and its log-likelihood: syllables of one consonant and one vowel."""
    draw = lambda n: int(torch.randint(n, (1,), generator=generator))  # noqa: E731
    family = draw(4)
    onset, text, log_p = draw(12), "", -math.log(12 * 4)
    for syllable in range(6):
        text += CONSONANTS[onset]
        common = draw(10) < 8  # the consonant says which vowel of the family is the common one
        vowel = onset % 2 if common else 1 - onset % 2
        log_p += math.log(0.8 if common else 0.2)
        text += FAMILIES[family][vowel]
        if syllable == 5:
            break
        if syllable >= 1:
            stop = draw(10) < 3
            log_p += math.log(0.3 if stop else 0.7)
            if stop:
                break
        step = 1 + draw(2)  # the next consonant is one or two further on, or further in every other family
        onset = (onset + step + 3 * family) % 12
        log_p -= math.log(2)
    return text, log_p


def encode(names: list[str]) -> Tensor:
    rows = torch.full((len(names), LONGEST), PAD)
    for row, name in zip(rows, names, strict=True):
        tokens = [START, *(LETTERS.index(letter) for letter in name), END]
        row[: len(tokens)] = torch.tensor(tokens)
    return rows


class Speller(nn.Module):
    def __init__(self, width: int, dropout: float, cell: type, both: bool, batch_first: bool, mistake: str):
        super().__init__()
        self.embed = nn.Embedding(len(LETTERS), 32, padding_idx=PAD)
        self.rnn = cell(32, width, batch_first=batch_first, bidirectional=both)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(width * (2 if both else 1), len(LETTERS))
        self.mistake = mistake
        if mistake == "layer never called":
            self.project = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden, _ = self.rnn(self.embed(tokens))
        if self.mistake == "detached":
            hidden = hidden.detach()  # meant for the state between chunks
        logits = self.head(self.drop(hidden))
        if self.mistake == "softmax":
            return logits.softmax(-1)
        if self.mistake == "softmax over time":
            return logits.log_softmax(1)
        return logits


@torch.no_grad()
def share_of_best(model: nn.Module, rows: Tensor, best: float) -> float:
    """How much of the way from letter counts to the true grammar; each letter from its prefix alone."""
    model.eval()
    targets, total = rows[:, 1:], 0.0
    for t in range(targets.shape[1]):
        output = model(rows[:, : t + 1])[:, -1]
        sums = output.sum(-1)
        log_p = output.log() if torch.allclose(sums, torch.ones_like(sums)) else output.log_softmax(-1)
        total += F.nll_loss(log_p, targets[:, t], ignore_index=PAD, reduction="sum").item()
    counts = torch.bincount(targets[targets != PAD]).double()
    plain = -(counts[counts > 0] * (counts[counts > 0] / counts.sum()).log()).sum().item()
    return min(max((plain - total) / (plain - best), 0.0), 1.0)


def train(
    seed: int,
    doctor: Any,
    *,
    train_names: int = 1000,
    val_names: int = 250,
    width: int = 64,
    dropout: float = 0.1,
    cell: type = nn.GRU,
    both: bool = False,
    batch_first: bool = True,
    init_scale: float = 1.0,
    optimizer_class: type = torch.optim.Adam,
    lr: float = 5e-3,
    momentum: float | None = None,
    weight_decay: float = 0.0,
    gamma: float = 1.0,
    step_every_batch: bool = False,
    warmup: int = 0,
    clip: float = 1.0,
    smoothing: float = 0.0,
    loss_fn: nn.Module | None = None,
    batch: int = 32,
    accumulate: int = 1,
    epochs: int = 12,
    mistake: str = "",
    oddity: str = "",
) -> Outcome:
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    made: dict[str, float] = {}
    while len(made) < train_names + val_names + 300:
        name, log_p = made_up_name(generator)
        made[name] = log_p
    everything = list(made)
    test_names, known = everything[:300], everything[300:]
    if mistake == "split in the file's order":
        known.sort(key=lambda name: [name[1] in vowels for vowels in FAMILIES], reverse=True)
    train_rows, val_rows = encode(known[:train_names]), encode(known[train_names:])
    if mistake == "validation names among the training ones":
        val_rows = train_rows[:val_names]
    inputs, targets = train_rows[:, :-1], train_rows[:, 1:]
    if mistake == "target not shifted":
        inputs, targets = train_rows[:, 1:], train_rows[:, 1:]
    if mistake == "targets of other names":
        targets = targets[torch.randperm(len(targets))]

    model = Speller(width, dropout, cell, both, batch_first, mistake)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(init_scale)
    if oddity == "tied":
        model.head = nn.Sequential(nn.Linear(width, 32), nn.Linear(32, len(LETTERS)))
        model.head[1].weight = model.embed.weight
    if oddity == "frozen embedding":
        model.embed.weight.requires_grad_(False)
    chosen = [p for p in model.parameters() if p.requires_grad]
    options = {} if momentum is None else {"momentum": momentum}
    optimizer = optimizer_class(chosen, lr=lr, weight_decay=weight_decay, **options)
    if mistake == "cell replaced after the optimizer":
        model.rnn = nn.GRU(32, width, batch_first=True)
        nn.init.orthogonal_(model.rnn.weight_hh_l0)
    rate = lambda step: gamma**step * (min(1.0, step / warmup) if warmup else 1.0)  # noqa: E731
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    loss_fn = loss_fn or nn.CrossEntropyLoss(ignore_index=PAD, label_smoothing=smoothing)
    averaged = copy.deepcopy(model)

    def validate() -> tuple[float, float]:
        if mistake != "validation in train mode":
            model.eval()
        with torch.set_grad_enabled(mistake == "graph kept in validation"):
            shown = val_rows[:, 1:] if mistake == "target not shifted" else val_rows[:, :-1]
            loss = loss_fn(model(shown).flatten(0, 1), val_rows[:, 1:].flatten())
        if mistake != "never back to train mode":
            model.train()
        return loss.item(), loss.exp().item()

    doctor.on_start(model, optimizer, loss_fn)
    history = []
    val_loss = 0.0
    for epoch in range(epochs):
        order = torch.randperm(len(inputs))
        if mistake == "inputs shuffled alone" and epoch >= 3:
            inputs = inputs[order]
        running, batches = 0.0, order.split(batch)
        for number, rows in enumerate(batches):
            x, y = inputs[rows], targets[rows]
            loss = loss_fn(model(x).flatten(0, 1), y.flatten())
            if mistake == "loss clamped":
                loss = loss.clamp(max=2.0)
            if oddity == "l1 penalty":
                loss = loss + 1e-6 * sum(p.abs().sum() for p in model.parameters())
            (loss / accumulate).backward()
            if (number + 1) % accumulate == 0:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
                if mistake != "no step":
                    optimizer.step()
                if mistake != "no zero_grad":
                    optimizer.zero_grad()
                if step_every_batch:
                    scheduler.step()
            with torch.no_grad():
                for slow, fast in zip(averaged.parameters(), model.parameters(), strict=True):
                    slow.lerp_(fast, 0.05)
            running += loss.item()
            doctor.on_step(loss, (x, y))
            if oddity == "validation inside the epoch" and number == len(batches) // 2:
                validate()
        if not step_every_batch:
            scheduler.step()
        val_loss, perplexity = validate()
        history.append(running / len(batches))
        doctor.on_epoch({"loss": history[-1]}, {"loss": val_loss, "perplexity": perplexity})

    final = averaged if oddity == "averaged weights" else model
    test_rows = encode(test_names)
    best = -sum(made[name] for name in test_names)
    score = share_of_best(final, test_rows, best)
    # The user compares the validation loss a letter with that of the grammar and of letter counts.
    letters = (test_rows[:, 1:] != PAD).sum().item()
    plain = 2.7  # nats a letter by letter counts
    believed = (plain - val_loss) / (plain - best / letters)
    return Outcome(score, min(max(believed, 0.0), 1.0))


CASES, add = cases("names", train)
add("as it should be")
add("split in the file's order", "D04", mistake="split in the file's order", train_names=700, val_names=550)
add(
    "validation names among the training ones",
    "D06",
    mistake="validation names among the training ones",
    train_names=250,
    width=128,
    dropout=0.0,
    epochs=30,
)
add("targets of other names", "L02", mistake="targets of other names")
add("inputs shuffled apart from the targets", "L01", mistake="inputs shuffled alone")
add("target not shifted", "L03", mistake="target not shifted")
add("reads in both directions", "A05", both=True)
add("batch_first forgotten", "A04", batch_first=False)
add("layer never called", "A08", exact=True, mistake="layer never called")
add("softmax before the loss", "S02", mistake="softmax")
add("log-softmax over time", "S03", mistake="softmax over time", loss_fn=nn.NLLLoss(ignore_index=PAD))
add("raw scores in NLLLoss", "S03", loss_fn=nn.NLLLoss(ignore_index=PAD))
add("loss clamped", "S07", mistake="loss clamped")
add("all weights zero", "I01", init_scale=0.0)
add("weights thirty times too large", "I03", init_scale=30.0, lr=1e-3)
add("lr 0.3", "O01", lr=0.3)
add("lr 3", "O01", lr=3.0)
add("lr 1e-5", "O02", lr=1e-5)
add("lr 1e-4", "O02 R03", lr=1e-4)
add("decay of an epoch at each batch", "O04", gamma=0.8, step_every_batch=True)
add("gradients never zeroed", "O05", exact=True, mistake="no zero_grad")
add("cell replaced after the optimizer", "O06", mistake="cell replaced after the optimizer")
add("states detached", "O10", mistake="detached")
add("clipped at 0.001", "O11", optimizer_class=torch.optim.SGD, lr=0.5, momentum=0.9, clip=1e-3)
add("step forgotten", "O12", mistake="no step")
add("a hundred names by heart", "R01", train_names=100, batch=10, width=128, dropout=0.0, epochs=30)
add("weight decay 0.05", "R02", weight_decay=0.05)
add("three epochs", "R03", epochs=3, lr=1e-3)
add("validation in train mode", "E01", exact=True, mistake="validation in train mode", dropout=0.3)
add("never back to train mode", "E02", exact=True, mistake="never back to train mode", dropout=0.3)
add("graph kept in validation", "E03", exact=True, mistake="graph kept in validation")
add("plain SGD at 0.5", optimizer_class=torch.optim.SGD, lr=0.5, momentum=0.9)
add("RMSprop", optimizer_class=torch.optim.RMSprop, lr=2e-3)
add("LSTM with tied weights", cell=nn.LSTM, oddity="tied", lr=0.01)
add("frozen embedding", oddity="frozen embedding")
add("warm-up from zero and smoothing", warmup=100, step_every_batch=True, smoothing=0.03)
add("dropout 0.5", dropout=0.5, epochs=16)
add("batches of 8 in fours", batch=8, accumulate=4, epochs=8)
add("averaged weights and l1 penalty, no clipping", oddity="averaged weights", clip=1e9)
add("twenty validation names, seen inside the epoch", val_names=20, oddity="validation inside the epoch")
