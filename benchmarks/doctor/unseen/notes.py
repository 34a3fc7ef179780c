"""Classify made-up notes (rows of word numbers, padded) with a small TransformerEncoder.

Classes come in pairs that share a vocabulary and differ in the order of two key words; the loop makes the
doctor's calls itself, warms AdamW up and accumulates gradients over two batches.
"""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from case import Outcome, cases
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

CLASSES, WORDS, LENGTH, PAD = 4, 60, 12, 0
TRAIN, VAL, TEST = 900, 250, 600


def notes(rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
    """Half of the words of a note are typical of its pair of classes; words 1 and 2 tell the pair apart."""
    labels = rng.integers(0, CLASSES, count)
    words = np.full((count, LENGTH), PAD)
    for row, label in zip(words, labels, strict=True):
        size = rng.integers(6, LENGTH + 1)
        typical = rng.random(size) < 0.5
        row[:size] = np.where(
            typical, rng.integers(3, 13, size) + 10 * (label // 2), rng.integers(23, WORDS, size)
        )
        first, second = sorted(rng.choice(size, 2, replace=False))
        row[first], row[second] = (1, 2) if label % 2 else (2, 1)
    return torch.tensor(words), torch.tensor(labels)


class Reader(nn.Module):
    """Words to class scores: embedding, learned positions, encoder, mean over the real words."""

    def __init__(
        self,
        width: int = 32,
        outputs: int = CLASSES,
        dropout: float = 0.0,
        batch_first: bool = True,
        positions: bool = True,
        last: Callable[[Tensor], Tensor] = lambda out: out,
        as_dict: bool = False,
        spare: bool = False,
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, width, padding_idx=PAD)
        self.positions = nn.Parameter(0.3 * torch.randn(LENGTH, width)) if positions else 0.0
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout, batch_first=batch_first)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(width, outputs)
        if spare:
            self.summary = nn.Linear(width, width)
        self.batch_first, self.last, self.as_dict = batch_first, last, as_dict

    def forward(self, words: Tensor) -> Any:
        empty = words == PAD
        hidden = self.words(words) + self.positions
        if self.batch_first:
            hidden = self.encoder(hidden, src_key_padding_mask=empty)
        else:
            hidden = self.encoder(hidden)  # takes (rows, words) for (words, rows)
        kept = (~empty).unsqueeze(-1)
        scores = self.last(self.head((hidden * kept).sum(1) / kept.sum(1)))
        return {"scores": scores} if self.as_dict else scores


def scores_of(model: nn.Module, words: Tensor) -> Tensor:
    """The class scores, whether the model gives them bare or in a dict."""
    out = model(words)
    return out["scores"] if isinstance(out, dict) else out


def accuracy(scores: Tensor, labels: Tensor) -> float:
    """Share of rows whose largest score is that of the label."""
    return float((scores.argmax(1) == labels).float().mean())


def train(
    seed: int,
    doctor: Any,
    *,
    lr: float = 4e-3,
    optim: Callable[..., torch.optim.Optimizer] = torch.optim.AdamW,
    loss_fn: Callable[[Tensor, Tensor], Tensor] = nn.CrossEntropyLoss(),  # noqa: B008
    epochs: int = 10,
    batch: int = 16,
    accumulate: int = 2,
    warmup: int = 20,
    clip: float = 0.0,
    rows: int = TRAIN,
    val_rows: int = VAL,
    first_label: int = 0,
    wrong_labels: float = 0.0,  # share of the training labels that are redrawn
    scale: float = 1.0,  # of the initial weights
    frozen: tuple[str, ...] = (),
    mistake: str = "",
    **network: Any,
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    words, labels = notes(rng, rows)
    val_words, val_labels = notes(rng, val_rows)
    test_words, test_labels = notes(rng, TEST)
    redrawn = torch.rand(rows) < wrong_labels
    labels = torch.where(redrawn, torch.randint(0, CLASSES, (rows,)), labels)
    labels, val_labels, test_labels = (
        labels + first_label,
        val_labels + first_label,
        test_labels + first_label,
    )
    if mistake == "labels joined by the wrong key":
        labels = labels[torch.randperm(rows)]
    if mistake == "a class missing":
        kept = labels != CLASSES - 1
        words, labels = words[kept], labels[kept]
    if mistake == "sorted by class":
        order = labels.argsort(stable=True)
        words, labels = words[order], labels[order]
    if mistake == "split after oversampling":
        words, labels = notes(rng, rows // 3)
        drawn = torch.randint(0, rows // 3, (rows + val_rows,))
        words, val_words = words[drawn].split([rows, val_rows])
        labels, val_labels = labels[drawn].split([rows, val_rows])
    if mistake == "words numbered anew in validation":
        renumber = torch.cat([torch.zeros(1, dtype=torch.long), torch.randperm(WORDS - 1) + 1])
        val_words, test_words = renumber[val_words], renumber[test_words]
    loader = DataLoader(
        TensorDataset(words, labels), batch, shuffle=mistake != "sorted by class", drop_last=True
    )
    val_loader = DataLoader(TensorDataset(val_words, val_labels), 125)

    model = Reader(**network)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(scale)
    for name in frozen:
        model.get_submodule(name).requires_grad_(False)
    trained = model.head.parameters() if mistake == "only the head is trained" else model.parameters()
    optimizer = optim([p for p in trained if p.requires_grad], lr=lr)
    if mistake == "copy is trained":
        model = copy.deepcopy(model)  # the optimizer keeps the parameters of the original
    warm = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, step / warmup))
    if mistake == "step in place of epoch in the decay":
        warm = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.7**step)

    doctor.on_start(model, optimizer, loss_fn, loader)
    val_accuracy = 0.0
    history = []
    for _epoch in range(epochs):
        model.train()
        seen, right = 0, 0.0
        for step, (x, y) in enumerate(loader):
            scores = scores_of(model, x)
            if mistake == "scores detached":
                scores = scores.detach().requires_grad_()  # to silence "does not require grad"
            loss = loss_fn(scores, y)
            (loss / accumulate).backward()
            if (step + 1) % accumulate == 0:
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
                warm.step()
                if mistake != "never zeroed":
                    optimizer.zero_grad()
            doctor.on_step(loss, (x, y))
            history.append(loss if mistake == "losses kept with their graphs" else loss.item())
            seen, right = seen + len(y), right + accuracy(scores.detach(), y) * len(y)

        if mistake != "eval() forgotten":
            model.eval()
        with torch.set_grad_enabled(mistake == "losses kept with their graphs"):
            val = [(scores_of(model, x), y) for x, y in val_loader]
            val_scores, val_y = (torch.cat(part) for part in zip(*val, strict=True))
            val_loss = loss_fn(val_scores, val_y)
            val_accuracy = accuracy(val_scores, val_y)
        doctor.on_epoch(
            {"loss": float(sum(history[-len(loader) :]) / len(loader)), "acc": right / seen},
            {"loss": float(val_loss), "acc": val_accuracy},
        )

    model.eval()
    with torch.no_grad():
        return Outcome(accuracy(scores_of(model, test_words), test_labels), val_accuracy)


sgd = partial(torch.optim.SGD, momentum=0.9)

CASES, add = cases("notes", train)
add("as it should be")
add("batch_first forgotten", "A04", exact=True, batch_first=False)
add("no positions", "A06", positions=False)
add("softmax before cross-entropy", "S02", last=partial(torch.softmax, dim=1), lr=1e-3)
add(
    "log_softmax over the rows",
    "S03",
    exact=True,
    last=partial(torch.log_softmax, dim=0),
    loss_fn=nn.NLLLoss(),
)
add("NLL of bare scores", "S03", loss_fn=nn.NLLLoss())
add("labels from 1", "L05", exact=True, outputs=CLASSES + 1, first_label=1)
add("labels joined by the wrong key", "L02", mistake="labels joined by the wrong key")
add("60 % of the labels redrawn", "L04 L02", wrong_labels=0.6)
add("85 % of the labels redrawn", "L04 L02", wrong_labels=0.85)
add("a class missing in training", "D04", mistake="a class missing")
add("sorted by class", "D03", mistake="sorted by class")
add("split after oversampling", "D06", mistake="split after oversampling")
add("words numbered anew in validation", "P02", mistake="words numbered anew in validation")
add("lr x 30", "O01", lr=0.12)
add("lr / 400", "O02", lr=1e-5)
add("decay per epoch stepped each update", "O04", mistake="step in place of epoch in the decay")
add("never zeroed", "O05", mistake="never zeroed")
add("only the head is in the optimizer", "O06", mistake="only the head is trained")
add("a copy is trained", "O06 O12", mistake="copy is trained")
add("scores detached", "O10", mistake="scores detached")
add("clipped at 0.001, SGD", "O11", optim=sgd, lr=0.1, clip=1e-3)
add("weights near zero", "I02", scale=0.001)
add("weights x 20", "I03", scale=20.0)
add("dropout 0.9", "R02", dropout=0.9)
add("sixty notes, learnt by heart", "R01", rows=64, epochs=80)
add("stopped early", "R03 O02", epochs=3, accumulate=1, lr=1e-3)
add("eval() forgotten", "E01", exact=True, dropout=0.1, mistake="eval() forgotten")
add("losses kept with their graphs", "E03", exact=True, mistake="losses kept with their graphs")
add("layer that nothing calls", "A08", exact=True, spare=True)

add("label smoothing", loss_fn=nn.CrossEntropyLoss(label_smoothing=0.1))
add("four batches to an update", accumulate=4, batch=8, epochs=8)
add("clipped at 1.0", clip=1.0)
add("warm-up for half of the run", warmup=140)
add("word vectors frozen", frozen=("words",))
add("scores in a dict", as_dict=True)
add("dropout 0.3", dropout=0.3, epochs=12)
add("5 % of the labels redrawn", wrong_labels=0.05)
add("fifty notes for validation", val_rows=50)
