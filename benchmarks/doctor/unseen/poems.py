"""Next characters of an endless made-up poem, in which each word allows three others after it.

An embedding, an LSTM and a linear layer are trained on windows of the text with the cross-entropy over all
positions, AdamW and a warm-up per update; the score is the accuracy as a share of the best possible.
"""

import copy
from typing import Any

import numpy as np
import torch
from case import Outcome, cases
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

WORDS = ["moon", "moss", "mist", "river", "rain", "reed", "lark", "leaf", "lily"]
WORDS += ["stone", "star", "storm", "wind", "wave", "wren", "fern", "frost", "field"]
ALPHABET = " " + "".join(sorted(set("".join(WORDS))))
CHANCES = (0.7, 0.2, 0.1)  # of the three words that may follow, which start with different letters
WINDOW = 24


def grammar() -> dict[str, list[str]]:
    """The same for every seed: which words may follow each."""
    rng = np.random.default_rng(7)
    follows = {}
    for word in WORDS:
        letters = rng.permutation([*"mrlswf"])[:3]
        follows[word] = [str(rng.choice([w for w in WORDS if w[0] == letter])) for letter in letters]
    return follows


def poem(rng: np.random.Generator, length: int, words: list[str] = WORDS) -> tuple[Tensor, Tensor]:
    """Text as numbers, and for each character the chance that the best guess of it is right."""
    follows, text, best, word = grammar(), "", [], words[0]
    while len(text) < length:
        word = str(rng.choice(follows[word], p=CHANCES))
        if word not in words:
            word = str(rng.choice(words))
        text += word + " "
        best += [CHANCES[0]] + [1.0] * len(word)
    return torch.tensor([ALPHABET.index(letter) for letter in text[:length]]), torch.tensor(best[:length])


def windows(text: Tensor, stride: int, shift: int = 1) -> tuple[Tensor, Tensor]:
    """Inputs and targets: the target at each position is the character that is shift further."""
    starts = range(1, len(text) - WINDOW - 1, stride)
    inputs = torch.stack([text[start : start + WINDOW] for start in starts])
    return inputs, torch.stack([text[start + shift : start + shift + WINDOW] for start in starts])


class Poet(nn.Module):
    """Scores of the next character at each position, and the last state."""

    def __init__(self, width: int, embedded: int, layers: int, dropout: float, tied: bool, mistake: str):
        super().__init__()
        self.mistake = mistake
        both_ways = mistake == "reads both ways"
        self.embedding = nn.Embedding(len(ALPHABET), embedded)
        sizes = [embedded, *[width] * (layers - 1)]
        batch_first = mistake != "batch second"
        stack = [nn.LSTM(n, width, batch_first=batch_first, bidirectional=both_ways) for n in sizes]
        self.stack = stack if mistake == "plain list" else nn.ModuleList(stack)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width * (1 + both_ways), len(ALPHABET))
        if tied:
            self.head.weight = self.embedding.weight
        if mistake == "unused layer":
            self.norm = nn.LayerNorm(width)

    def forward(self, letters: Tensor) -> tuple[Tensor, Any]:
        states = self.embedding(letters)
        if self.mistake == "data":
            states = states.data
        for layer in self.stack:
            states, last = layer(states)
        return self.head(self.dropout(states)), last


def error_of(logits: Tensor, targets: Tensor, loss: str, smoothing: float) -> Tensor:
    """The loss over all positions of all windows."""
    if loss == "log-softmax over time":
        return F.nll_loss(logits.log_softmax(dim=1).flatten(0, 1), targets.flatten())
    if loss == "nll of raw scores":
        return F.nll_loss(logits.flatten(0, 1), targets.flatten())
    if loss == "view":  # class scores belong on the second axis, and view does not bring them there
        return F.cross_entropy(logits.view(len(logits), -1, WINDOW), targets)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), label_smoothing=smoothing)


def train(
    seed: int,
    doctor: Any,
    *,
    lr: float = 0.01,
    optim: Any = torch.optim.AdamW,
    decay: float = 0.01,
    warmup: int = 30,
    epochs: int = 10,
    batch: int = 16,
    width: int = 48,
    embedded: int = 16,
    layers: int = 1,
    dropout: float = 0.1,
    tied: bool = False,
    loss: str = "cross-entropy",
    smoothing: float = 0.0,
    length: int = 12000,
    stride: int = WINDOW,
    words: list[str] = WORDS,
    typos: float = 0.0,
    shift: int = 1,
    init: Any = None,
    clip: float | None = None,
    accumulate: int = 1,
    lasso: float = 0.0,
    mistake: str = "",
) -> Outcome:
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)

    inputs, targets = windows(poem(rng, length, words)[0], stride, shift)
    inputs_val, targets_val = windows(poem(rng, 2000)[0], WINDOW, shift)
    if mistake == "overlapping windows split":
        mixed = torch.randperm(len(inputs))
        inputs, targets = inputs[mixed], targets[mixed]
        tenth = len(inputs) // 10
        inputs_val, targets_val = inputs[:tenth], targets[:tenth]
        inputs, targets = inputs[tenth:], targets[tenth:]
    wrong = torch.rand(targets.shape) < typos
    targets = torch.where(wrong, torch.randint(len(ALPHABET), targets.shape), targets)
    if mistake == "targets permuted":
        targets = targets[torch.randperm(len(targets))]
    number_of = torch.arange(len(ALPHABET))
    if mistake == "another alphabet":  # made anew from the validation text, and so for all later texts
        number_of = torch.randperm(len(ALPHABET))
    inputs_val, targets_val = number_of[inputs_val], number_of[targets_val]
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=batch, shuffle=True)

    model = Poet(width, embedded, layers, dropout, tied, mistake)
    for values in model.parameters() if init else ():
        init(values)
    optimizer = optim(model.parameters(), lr=lr, weight_decay=decay)
    highest = 1e9 if mistake == "warm-up without end" else 1.0
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: min((n + 1) / max(warmup, 1), highest))

    reported = 0.0
    with doctor.watching(model, optimizer, None, loader):
        for _ in range(epochs):
            if mistake != "train() forgotten":
                model.train()
            for number, (letters, following) in enumerate(loader, start=1):
                logits, _ = model(letters)
                error = error_of(logits, following, loss, smoothing)
                if lasso:
                    error = error + lasso * model.head.weight.abs().sum()
                (error / accumulate).backward()
                if number % accumulate:
                    continue
                if clip is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
                if mistake != "no zero_grad":
                    optimizer.zero_grad()
                if mistake != "warm-up each epoch":
                    scheduler.step()
            if mistake == "warm-up each epoch":
                scheduler.step()

            if mistake != "eval() forgotten":
                model.eval()
            with torch.no_grad():
                guess = model(inputs_val)[0].argmax(dim=-1)
            reported = (guess == targets_val).float().mean().item()

    return Outcome(written(model, rng, number_of), reported)


def written(model: nn.Module, rng: np.random.Generator, number_of: Tensor) -> float:
    """The share of next characters that are right after a window of a new poem, of the best possible."""
    text, best = poem(rng, 1000)
    contexts, following = windows(text, 1)
    model = copy.deepcopy(model).eval()
    with torch.no_grad():
        guess = model(number_of[contexts])[0][:, -1].argmax(dim=-1)
    right = (guess == number_of[following[:, -1]]).float().mean()
    possible = best[1 + WINDOW : 1 + WINDOW + len(following)].mean()
    return (right / possible).clamp(max=1.0).item()


CASES, add = cases("poems", train)
add("as it should be")

add("targets not shifted", "L03", shift=0)
add("targets shifted backwards", "L03", shift=-1)
add("reads both ways", "A05 L03", exact=True, mistake="reads both ways")
add("batch second", "A04 A05", exact=True, mistake="batch second")
add("log-softmax over time", "S03", exact=True, loss="log-softmax over time")
add("nll of raw scores", "S03 S07", loss="nll of raw scores")
add("view instead of transpose in the loss", "S03 L01 L02 A04", loss="view")
add("targets permuted", "L02 L01", mistake="targets permuted")
add("most targets mistyped", "L04", typos=0.94)
add("trained on a third of the words", "D04", words=WORDS[:6])
add("overlapping windows split", "D06", exact=True, length=300, stride=1, mistake="overlapping windows split")
add("another alphabet for validation", "P02", mistake="another alphabet")
add("a poem of 130 letters", "R01 D04", length=130, stride=1, epochs=60, dropout=0.0)
add("stopped after two epochs", "R03 O02", epochs=2, lr=0.002)
add("lr 1", "O01", lr=1.0)
add("lr 1e-5", "O02 R03", lr=1e-5)
add("warm-up stepped each epoch", "O04 O02", mistake="warm-up each epoch", warmup=3000)
add("warm-up without end", "O04 O01", mistake="warm-up without end", warmup=4)
add("gradients never zeroed", "O05", exact=True, mistake="no zero_grad")
add("layers in a plain list", "O06", exact=True, mistake="plain list", layers=2)
add("embedding cut off by .data", "O10", exact=True, mistake="data")
add("two hidden units", "A07", width=2)
add("dropout 0.97", "R02", dropout=0.97)
add("weight decay 30", "R02", decay=30.0)
add("weights all zero", "I01", init=nn.init.zeros_)
add("weights too large", "I03 A01", init=lambda values: nn.init.normal_(values, std=8.0))
add("a layer never called", "A08", exact=True, mistake="unused layer")
add("train() forgotten", "E02", exact=True, dropout=0.4, mistake="train() forgotten")
add("eval() forgotten", "E01", exact=True, dropout=0.5, mistake="eval() forgotten")

add("embedding and head tied", tied=True, embedded=48)
add("SGD with lr 2, clipped at 1", optim=torch.optim.SGD, lr=2.0, clip=1.0, decay=0.0, epochs=20)
add("RMSprop, no warm-up", optim=torch.optim.RMSprop, lr=0.005, warmup=0, decay=0.0)
add("warm-up over half of the run", warmup=150)
add("dropout 0.5 before the head", dropout=0.5, width=64)
add("label smoothing, two layers", smoothing=0.1, layers=2)
add("accumulated over four", accumulate=4, batch=4, lr=0.015)
add("absolute penalty on the head", lasso=1e-4)
add("five percent of targets mistyped", typos=0.05)
