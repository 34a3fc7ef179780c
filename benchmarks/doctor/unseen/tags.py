"""Questions as bags of words, each with some of 6 tags, the last ones rare; a small network with 6 logits.

The loop makes its own batches from a permutation, calls the doctor itself, and counts micro-F1 by hand.
"""

from itertools import pairwise

import numpy as np
import torch
from case import Outcome, cases
from torch import Tensor, nn

Rows = tuple[Tensor, Tensor]
WORDS, TAGS = 60, 6
RATES = np.array([0.4, 0.35, 0.3, 0.25, 0.15, 0.1])
RARITIES = torch.tensor((1 - RATES) / RATES, dtype=torch.float32)


def questions(seed: int, rows: int, rates: np.ndarray = RATES) -> Rows:
    """Word counts on a log scale; each tag brings out words of its own, and pairs of tags share some."""
    speak = 1.2 * np.random.default_rng(7).exponential(size=(TAGS, WORDS))
    speak *= np.random.default_rng(8).random((TAGS, WORDS)) < 0.25
    rng = np.random.default_rng(seed)
    tags = rng.random((rows, TAGS)) < rates
    counts = rng.poisson(0.5 + tags @ speak)
    return torch.tensor(np.log1p(counts), dtype=torch.float32), torch.tensor(tags, dtype=torch.float32)


def micro_f1(guesses: Tensor, tags: Tensor) -> float:
    hits = (guesses * tags).sum()
    return (2 * hits / (guesses.sum() + tags.sum()).clamp(min=1)).item()


class Tagger(nn.Module):
    def __init__(self, width: int, depth: int, act: nn.Module, dropout: float, last: nn.Module) -> None:
        super().__init__()
        sizes = [WORDS] + [width] * depth
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.act, self.dropout = act, nn.Dropout(dropout)
        self.out = nn.Linear(width, TAGS)
        self.last = last

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        for layer in self.hidden:
            x = self.dropout(self.act(layer(x)))
        return {"logits": self.last(self.out(x))}


def train(
    seed: int,
    doctor: object,
    *,
    lr: float = 2e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    epochs: int = 12,
    batch: int = 32,
    rows: int = 1500,
    val_rows: int = 400,
    width: int = 64,
    depth: int = 2,
    act: nn.Module | None = None,
    last: nn.Module | None = None,
    dropout: float = 0.1,
    decay: float = 0.0,
    l1: float = 0.0,
    weights: float | None = None,
    wrong: float = 0.0,
    sgd: bool = False,
    threshold: float = 0.0,
    loss_fn: nn.Module | None = None,
    mistake: str = "",
) -> Outcome:
    torch.manual_seed(seed)
    x, tags = questions(3 * seed, rows)
    x_val, tags_val = questions(3 * seed + 1, val_rows)
    x_test, tags_test = questions(3 * seed + 2, 1000)
    if wrong:
        tags = (tags - (torch.rand(tags.shape) < wrong).float()).abs()
    if mistake == "tags shuffled apart from the words":
        tags = tags[torch.randperm(rows)]
    if mistake == "divided by lengths of zero":  # a few questions are empty
        x[torch.rand(rows) < 0.01] = torch.nan
    if mistake == "number of tags among the words":  # known only once the tags are
        x[:, :TAGS], x_val[:, :TAGS], x_test[:, :TAGS] = 3 * tags, 3 * tags_val, 0
    if mistake == "a column of view counts":
        x, x_val, x_test = (
            torch.cat([part[:, :-1], 2e4 * torch.rand(len(part), 1)], dim=1) for part in (x, x_val, x_test)
        )
    if mistake == "training rows lack the rare tags":  # dropped as too few, kept in the validation rows
        x, tags = x[tags[:, 3:].sum(dim=1) == 0], tags[tags[:, 3:].sum(dim=1) == 0]
    if mistake == "tags of 1 and 2":
        tags, tags_val = tags + 1, tags_val + 1

    model = Tagger(width, depth, act or nn.ReLU(), dropout, last or nn.Identity())
    if weights is not None:
        for layer in model.hidden:
            nn.init.normal_(layer.weight, std=weights)
    if mistake == "biases of -20":
        for layer in model.hidden:
            nn.init.constant_(layer.bias, -20.0)
    if sgd:
        optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=betas[0])
    else:
        optimizer = torch.optim.Adam(model.parameters(), lr=lr, betas=betas, weight_decay=decay)
    loss_fn = loss_fn or nn.BCEWithLogitsLoss()

    doctor.on_start(model, optimizer, loss_fn)
    history = []
    for _ in range(epochs):
        model.train()
        order = torch.randperm(len(x))
        total = 0.0
        for rows_now in order.split(batch):
            words, wanted = x[rows_now], tags[rows_now]
            logits = model(words)["logits"]
            if mistake == "loss from numbers":
                logits = torch.tensor(logits.tolist(), requires_grad=True)
            loss = loss_fn(logits, wanted)
            if l1:
                loss = loss + l1 * sum(weight.abs().sum() for weight in model.parameters())
            if mistake != "zero_grad forgotten":
                optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(words)
            doctor.on_step(loss, (words, wanted))

        model.eval()
        with torch.no_grad():
            logits = model(x_val)["logits"]
            guesses = (logits > threshold).float()
            if mistake == "threshold 0 after the sigmoid":  # every tag is given to every question
                guesses = (logits.sigmoid() > 0).float()
            history.append(micro_f1(guesses, tags_val))
            val = {"loss": loss_fn(logits, tags_val).item(), "f1": history[-1]}
        doctor.on_epoch({"loss": total / len(x)}, val)

    with torch.no_grad():
        score = micro_f1((model(x_test)["logits"] > threshold).float(), tags_test)
    return Outcome(score, history[-1])


CASES, add = cases("tags", train)
add("as it should be")
add("divided by lengths of zero", "D01", mistake="divided by lengths of zero")
add("training rows lack the rare tags", "D04", mistake="training rows lack the rare tags")
add("number of tags among the words", "D07", mistake="number of tags among the words")
add("tags shuffled apart from the words", "L02", mistake="tags shuffled apart from the words")
add("40 % of the tags flipped", "L04 L02", wrong=0.4)
add("tags of 1 and 2", "L05", mistake="tags of 1 and 2")
add("a column of view counts", "P01", mistake="a column of view counts")
add("three sigmoid layers from wide weights", "A01 I03", act=nn.Sigmoid(), weights=3.0, depth=3)
add("biases of -20", "A02", mistake="biases of -20")
add("no activation", "A03", exact=True, act=nn.Identity())
add("weights of 1e-4", "I02", weights=1e-4, depth=4)
add("weights of 3", "I03", weights=3.0)
add("sigmoid before the loss", "S01", exact=True, last=nn.Sigmoid(), threshold=0.5)
add("relu on the logits", "S04", last=nn.ReLU())
add("summed loss, SGD", "S07 O01", loss_fn=nn.BCEWithLogitsLoss(reduction="sum"), sgd=True, lr=0.1)
add("lr 1", "O01", lr=1.0)
add("lr 1e-6", "O02", lr=1e-6)
add("momentum 0.999", "O03", sgd=True, betas=(0.999, 0.0), lr=0.1)
add("zero_grad forgotten", "O05", exact=True, mistake="zero_grad forgotten")
add("loss from numbers", "O10", mistake="loss from numbers")
add("30 rows, 80 epochs", "R01", rows=30, epochs=80, batch=8, width=128, dropout=0.0)
add("dropout 0.95", "R02", dropout=0.95)
add("decay 0.3", "R02", decay=0.3)
add("threshold 0 after the sigmoid", "E04", exact=True, mistake="threshold 0 after the sigmoid")

add("positives weighted by rarity", loss_fn=nn.BCEWithLogitsLoss(pos_weight=RARITIES))
add("SGD, lr 0.5, momentum 0.9", sgd=True, lr=0.5)
add("tanh network, 3 layers", act=nn.Tanh(), depth=3)
add("dropout 0.5", dropout=0.5)
add("l1 penalty", l1=1e-4)
add("one batch of 750, lr 1e-2", batch=750, lr=1e-2, epochs=80)
add("5 % of the tags flipped", wrong=0.05)
add("256 wide, no dropout", dropout=0.0, width=256)
