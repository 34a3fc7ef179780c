"""Remember the first symbol of a string through 20 others: a GRU, a linear head on its last state.

Batches are made as they are needed, so there is no data set; an "epoch" is 40 updates and a validation.
"""

import torch
from case import Outcome, cases
from torch import Tensor, nn
from torch.nn import functional as F

CUES, SYMBOLS = 4, 10  # the first symbol is one of the cues, the others are not


def strings(rows: int, steps: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    cues = torch.randint(CUES, (rows, 1), generator=generator)
    noise = torch.randint(CUES, SYMBOLS, (rows, steps), generator=generator)
    return torch.cat([cues, noise], dim=1), cues[:, 0]


class Recall(nn.Module):
    def __init__(self, cell: type[nn.RNNBase], width: int, dropout: float, mistake: str) -> None:
        super().__init__()
        self.mistake = mistake
        self.embed = nn.Embedding(SYMBOLS, 8)
        self.rnn = cell(8, width, batch_first=mistake != "batch_first left out")
        if mistake == "attention left over":
            self.attention = nn.Linear(width, 1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, CUES)

    def forward(self, symbols: Tensor) -> Tensor:
        embedded = self.embed(symbols)
        if self.mistake == "state detached each step":  # truncation, as for endless text
            state = None
            for step in range(embedded.shape[1]):
                out, state = self.rnn(embedded[:, step : step + 1], state)
                state = state.detach()
            return self.head(out[:, -1])
        out, _ = self.rnn(embedded)
        logits = self.head(self.dropout(out[:, -1]))
        return logits.softmax(dim=1) if self.mistake == "softmax in the model" else logits


def accuracy(model: nn.Module, symbols: Tensor, cues: Tensor) -> float:
    return (model(symbols).argmax(dim=1) == cues).float().mean().item()


def train(
    seed: int,
    doctor: object,
    *,
    lr: float = 1e-2,
    optimizer_class: type[torch.optim.Optimizer] = torch.optim.RMSprop,
    epochs: int = 5,
    batch: int = 32,
    val_rows: int = 300,
    steps: int = 20,
    cell: type[nn.RNNBase] = nn.GRU,
    width: int = 32,
    clip: float = 1.0,
    dropout: float = 0.0,
    smoothing: float = 0.0,
    wrong: float = 0.0,
    gamma: float = 1.0,
    mistake: str = "",
) -> Outcome:
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    x_val, y_val = strings(val_rows, steps, generator)
    x_test, y_test = strings(1000, steps, generator)
    if mistake == "cue repeated at the end":  # left from testing, and not there where the model is used
        x_val[:, -1] = y_val

    model = Recall(cell, width, dropout, mistake)
    trained = model.head.parameters() if mistake == "only the head is optimised" else model.parameters()
    optimizer = optimizer_class(trained, lr=lr)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma)

    doctor.on_start(model, optimizer)
    for _ in range(epochs):
        total = 0.0
        if mistake != "train() only once":
            model.train()
        for _ in range(40):
            symbols, cues = strings(batch, steps, generator)
            if wrong:
                cues = torch.where(torch.rand(batch) < wrong, torch.randint(CUES, (batch,)), cues)
            if mistake == "cues shuffled":
                cues = cues[torch.randperm(batch)]
            if mistake == "cue repeated at the end":
                symbols[:, -1] = cues
            loss = F.cross_entropy(model(symbols), cues, label_smoothing=smoothing)
            loss.backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            if mistake != "step forgotten":
                optimizer.step()
            if mistake != "zero_grad forgotten":
                optimizer.zero_grad()
            if mistake == "decay each batch":
                scheduler.step()
            total += loss.item()
            doctor.on_step(loss, (symbols, cues))
        if mistake != "decay each batch":
            scheduler.step()

        if mistake != "eval() forgotten":
            model.eval()
        with torch.set_grad_enabled(mistake == "no_grad forgotten"):
            reported = accuracy(model, x_val, y_val)
        doctor.on_epoch({"loss": total / 40}, {"acc": reported})

    model.eval()
    with torch.no_grad():
        return Outcome(accuracy(model, x_test, y_test), reported)


CASES, add = cases("recall", train)
add("as it should be")
add("batch_first left out", "A04", mistake="batch_first left out")
add("plain RNN over 60 steps", "O09", cell=nn.RNN, steps=60)
add("state detached each step", "O10 O09", mistake="state detached each step")
add("one hidden unit", "A07", width=1)
add("cue repeated at the end", "L03 D07", mistake="cue repeated at the end")
add("cues shuffled", "L02", mistake="cues shuffled")
add("clip 1e-4, SGD", "O11", clip=1e-4, lr=0.5, optimizer_class=torch.optim.SGD)
add("lr 1", "O01", lr=1.0)
add("lr 1e-6", "O02", lr=1e-6)
add("decay each batch", "O04", gamma=0.9, mistake="decay each batch")
add("zero_grad forgotten", "O05", exact=True, mistake="zero_grad forgotten")
add("step forgotten", "O12", mistake="step forgotten")
add("only the head is optimised", "O06", exact=True, mistake="only the head is optimised")
add("no_grad forgotten", "E03", exact=True, mistake="no_grad forgotten")
add("eval() forgotten", "E01", exact=True, mistake="eval() forgotten", dropout=0.3)
add("train() only once", "E02", exact=True, mistake="train() only once", dropout=0.3)
add("attention left over", "A08", exact=True, mistake="attention left over")
add("softmax in the model", "S02", exact=True, mistake="softmax in the model")

add("Adam, no clipping", optimizer_class=torch.optim.Adam, clip=0.0, epochs=10)
add("LSTM over 10 steps", cell=nn.LSTM, steps=10)
add("label smoothing 0.1", smoothing=0.1)
add("dropout 0.5", dropout=0.5)
add("5 % of the cues wrong, 50 validation rows", wrong=0.05, val_rows=50)
add("batches of 128, lr decays each epoch", batch=128, gamma=0.8)
add("clip 0.1", clip=0.1)
