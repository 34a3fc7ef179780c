"""Handwritten digits (sklearn's 8x8 images) read as eight rows of eight numbers by a recurrent network.

Cross-entropy of the last state, Adam, clipped gradients and index batches cut by hand from a permutation;
after each epoch the validation rows are scored, and the doctor is told of steps and epochs by explicit calls.
"""

from functools import partial
from typing import Any

import torch
from case import Outcome, cases
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

TEST, VALIDATION = 400, 300  # rows; the other 1097 are trained on
CELLS = {"gru": nn.GRU, "rnn": nn.RNN}


class Reader(nn.Module):
    """Reads the rows of an image one after the other and answers with a score for each digit."""

    def __init__(self, cell: str, width: int, outputs: int, dropout: float, reading: str, both_ways: bool):
        super().__init__()
        self.reading = reading
        batch_first = reading not in {"batch second", "view"}
        if reading == "bag of rows":
            self.rows = nn.Linear(8, width)
        else:
            self.cell = CELLS[cell](8, width, batch_first=batch_first, bidirectional=both_ways)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width * (1 + both_ways), outputs)

    def forward(self, x: Tensor) -> Tensor:
        if self.reading == "bag of rows":  # their order is lost
            return self.head(self.dropout(torch.relu(self.rows(x)).mean(dim=1)))
        if self.reading == "view":  # it takes a transpose to put time first
            return self.head(self.dropout(self.cell(x.view(8, len(x), 8))[0][-1]))
        if self.reading == "padded":  # with empty rows, and the last state is taken all the same
            x = F.pad(x, (0, 0, 0, 40))
        states, _ = self.cell(x)
        return self.head(self.dropout(states[:, -1]))


def turned(x: Tensor) -> Tensor:
    """Images at random upside down, mirrored or on their side, whatever the digit."""
    for axes in ((1,), (2,)):
        x = torch.where(torch.rand(len(x), 1, 1) < 0.5, x.flip(axes), x)
    return torch.where(torch.rand(len(x), 1, 1) < 0.5, x.transpose(1, 2), x)


def error_of(logits: Tensor, y: Tensor, loss: str, smoothing: float, weight: Tensor | None) -> Tensor:
    """The loss of a batch, as it should be or as it is found in the wild."""
    if loss == "softmax first":
        logits = logits.softmax(dim=1)
    if loss == "softmax over the batch":
        return F.nll_loss(logits.log_softmax(dim=0), y)
    if loss == "squares":  # one output for the number of the class
        return F.mse_loss(logits.squeeze(1), y.float())
    return F.cross_entropy(logits, y, weight=weight, label_smoothing=smoothing)


def guess_of(logits: Tensor) -> Tensor:
    """The digit that is answered."""
    return logits.argmax(dim=1) if logits.shape[1] > 1 else logits.squeeze(1).round().long()


def train(
    seed: int,
    doctor: Any,
    *,
    lr: float = 5e-3,
    optim: Any = torch.optim.Adam,
    epochs: int = 12,
    batch: int = 32,
    cell: str = "gru",
    width: int = 32,
    outputs: int = 10,
    dropout: float = 0.1,
    reading: str = "rows",
    both_ways: bool = False,
    loss: str = "cross-entropy",
    smoothing: float = 0.0,
    class_weights: bool = False,
    scale: float = 16.0,
    order: str = "random",
    rows: int | None = None,
    validation: int = VALIDATION,
    copies: int = 1,
    noise: float = 0.0,
    spread: float | None = None,
    clip: float = 1.0,
    shaken: float = 0.0,
    one_cycle: bool = False,
    mistake: str = "",
) -> Outcome:
    torch.manual_seed(seed)
    images, digits = load_digits(return_X_y=True)
    x = torch.tensor(images, dtype=torch.float32).view(-1, 8, 8) / scale
    y = torch.tensor(digits)
    mixed = torch.randperm(len(x))
    x, y, x_test, y_test = x[mixed[TEST:]], y[mixed[TEST:]], x[mixed[:TEST]], y[mixed[:TEST]]

    if order == "by digit":  # as the file came, and the last rows are validated
        by_digit = y.argsort()
        x, y = x[by_digit], y[by_digit]
    x, y, x_val, y_val = x[:-validation], y[:-validation], x[-validation:], y[-validation:]
    x, y = x[:rows].repeat(copies, 1, 1), y[:rows].repeat(copies)
    y = torch.where(torch.rand(len(y)) < noise, torch.randint(0, 10, y.shape), y)
    if mistake == "labels permuted":
        y = y[torch.randperm(len(y))]
    if mistake == "digits from 1":  # the first output stays idle
        y, y_val, y_test, outputs = y + 1, y_val + 1, y_test + 1, 11
    if mistake == "validation not scaled":  # nor are the images that the model is used on
        x_val, x_test = x_val * scale, x_test * scale

    model = Reader(cell, width, outputs, dropout, reading, both_ways)
    if spread is not None:
        for values in model.parameters():
            nn.init.normal_(values, std=spread)
    optimizer = optim(model.parameters(), lr=lr)
    weight = 1 / torch.bincount(y, minlength=outputs).clamp(min=1) * len(y) / 10 if class_weights else None
    steps = epochs * -(-len(x) // batch)
    if one_cycle:
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=lr, total_steps=steps + 1)
    doctor.on_start(model, optimizer, F.cross_entropy, None)

    accuracy = 0.0
    for _ in range(epochs):
        model.train()
        indices = torch.arange(len(x)) if mistake == "not shuffled" else torch.randperm(len(x))
        total = 0.0
        for chosen in indices.split(batch):
            inputs, labels = x[chosen], y[chosen]
            if mistake == "turned":
                inputs = turned(inputs)
            optimizer.zero_grad()
            error = error_of(model(inputs), labels, loss, smoothing, weight)
            error.backward()
            nn.utils.clip_grad_norm_(model.parameters(), clip)
            if shaken:
                for values in model.parameters():
                    values.grad.add_(torch.randn_like(values), alpha=shaken)
            optimizer.step()
            if one_cycle:
                scheduler.step()
            doctor.on_step(error, (inputs, labels))
            total += error.item() * len(chosen)

        model.eval()
        with torch.set_grad_enabled(mistake == "graph in validation"):
            logits = model(x_val)
            val_loss = error_of(logits, y_val, loss, 0.0, None).item()
        guess = logits.argmax(dim=0) if mistake == "argmax over the rows" else guess_of(logits)
        accuracy = (guess == y_val[: len(guess)]).float().mean().item()
        doctor.on_epoch({"loss": total / len(x)}, {"loss": val_loss, "acc": accuracy})

    model.eval()
    with torch.no_grad():
        guess = torch.cat([guess_of(model(part)) for part in x_test.split(batch)])
    return Outcome((guess == y_test).float().mean().item(), accuracy)


CASES, add = cases("strokes", train)
add("as it should be")

add("softmax before cross-entropy", "S02", exact=True, loss="softmax first")
add("log-softmax over the batch", "S03", exact=True, loss="softmax over the batch")
add("squared error of the class number", "S06", loss="squares", outputs=1)
add("batch second", "A04", reading="batch second")
add("view instead of transpose", "A04", reading="view")
add("bag of rows", "A06", reading="bag of rows", width=64)
add("one hidden unit", "A07", width=1)
add("forty empty rows at the end", "O09", cell="rnn", reading="padded", epochs=6)
add("labels permuted before training", "L02 L01", mistake="labels permuted")
add("seven in ten labels wrong", "L04", noise=0.8, epochs=20)
add("digits from 1", "L05", exact=True, mistake="digits from 1")
add("split by digit", "D04", order="by digit")
add("digits in order, not shuffled", "D03", order="by digit", validation=30, mistake="not shuffled")
add("validation not scaled", "P02", mistake="validation not scaled")
add("images turned at random", "P03", mistake="turned")
add("forty training rows", "R01 D04", rows=40, batch=8, epochs=100, dropout=0.0)
add("stopped after three epochs", "R03 O02", lr=1e-3, epochs=3)
add("lr 0.4", "O01", lr=0.4)
add("Adam with eps 1", "O03 O02", optim=partial(torch.optim.Adam, eps=1.0))
add("weights too large", "I03", spread=5.0, cell="rnn")
add(
    "weight decay 0.1 inside Adam",
    "R02",
    optim=lambda values, lr: torch.optim.Adam(values, lr, weight_decay=0.1),
)
add("clipped at 1e-4", "O11", clip=1e-4, optim=torch.optim.SGD, lr=0.5)
add("graph kept in validation", "E03", exact=True, mistake="graph in validation")
add("argmax over the rows", "E04", exact=True, mistake="argmax over the rows")

add("tanh RNN, no dropout", cell="rnn", dropout=0.0)
add("SGD with lr 0.5", optim=torch.optim.SGD, lr=0.5, epochs=20)
add("raw inks from 0 to 16", scale=1.0)
add("label smoothing and class weights", smoothing=0.1, class_weights=True)
add("dropout 0.5, read both ways", dropout=0.5, both_ways=True)
add("one cycle to 0.02", lr=0.02, one_cycle=True)
add("batches of 256, lr 0.02", batch=256, lr=0.02, epochs=30)
add("every training row three times", copies=3, rows=500)
add("gradients with noise", shaken=0.01)
