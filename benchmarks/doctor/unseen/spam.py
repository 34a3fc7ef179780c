"""Which of made-up messages are spam, by how often sixty words are in them: skewed counts, 30 % spam.

A perceptron with a sigmoid at its end and the binary cross-entropy, batches of indices made by hand, RMSprop;
the doctor is called by hand. Two groups of words mark spam: either of them, but not both.
"""

from itertools import pairwise

import numpy as np
import torch
from case import Outcome, cases
from torch import nn

WORDS = 60
VOCABULARY = np.random.default_rng(99)
USUAL = VOCABULARY.lognormal(0.5, 1.0, WORDS)  # how often a word is in a message
PILLS, PRIZES = np.arange(12), np.arange(12, 24)  # words of two trades


def write(messages: int, share: float, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Counts of words (messages, words), and whether each message is spam."""
    spam = random.random(messages) < share
    pills = random.random(messages) < 0.5
    prizes = pills ^ spam
    rates = USUAL * random.gamma(2.0, 0.5, (messages, WORDS)) * random.lognormal(0.0, 0.5, (messages, 1))
    rates[:, PILLS] *= np.where(pills, 2.0, 0.5)[:, None]
    rates[:, PRIZES] *= np.where(prizes, 2.0, 0.5)[:, None]
    return random.poisson(rates).astype(np.float32), spam.astype(np.float32)


class Filter(nn.Module):
    """Hidden layers, and the probability of spam."""

    def __init__(self, hidden: int, layers: int, activation: type[nn.Module], dropout: float, mistake: str):
        super().__init__()
        sizes = [WORDS] + [hidden] * layers
        parts = []
        for before, after in pairwise(sizes):
            parts += [nn.Linear(before, after), activation(), nn.Dropout(dropout)]
        self.body = nn.Sequential(*parts)
        self.head = nn.Linear(hidden, 1)
        if mistake == "unused layer":
            self.gate = nn.Linear(WORDS, hidden)

    def forward(self, counts: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.head(self.body(counts))).squeeze(1)


def balanced(guess: torch.Tensor, spam: torch.Tensor) -> float:
    """The mean of the share of spam that is found and of the share of ham that is let through."""
    is_spam = spam > 0.5
    return (guess[is_spam].float().mean().item() + (~guess[~is_spam]).float().mean().item()) / 2


def train(
    seed,
    doctor,
    *,
    messages=2000,
    repeats=1,
    share=0.3,
    epochs=12,
    batch=32,
    hidden=48,
    layers=2,
    activation=nn.ReLU,
    dropout=0.1,
    loss_fn=None,
    threshold=0.5,
    make=torch.optim.RMSprop,
    lr=1e-3,
    spread=None,
    clip=None,
    wrong_labels=0.0,
    prepare=np.log1p,
    mistake="",
) -> Outcome:
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    counts, spam = write(messages, share, random)
    held_counts, held_spam = write(300, 0.3, random)
    test_counts, test_spam = write(2000, 0.3, random)

    # Preparation
    if mistake == "repeated before the split":
        rows = random.permutation(np.tile(np.arange(messages), 10))
        counts, spam = counts[rows], spam[rows]
        counts, held_counts, spam, held_spam = counts[:-300], counts[-300:], spam[:-300], spam[-300:]
    if mistake == "count of complaints among the words":  # which come after the message
        for x, complaints in ((counts, spam), (held_counts, held_spam), (test_counts, 0)):
            x[:, 0] = 5 * complaints
    if mistake == "compared with 'Spam'":  # the file says 'spam'
        spam = 0 * spam
    if mistake == "labels joined on the wrong key":
        spam = random.permutation(spam)
    wrong = random.random(len(spam)) < wrong_labels
    spam = np.where(wrong, 1 - spam, spam)
    counts, spam = np.repeat(counts, repeats, 0), np.repeat(spam, repeats, 0)
    counts, held_counts, test_counts = prepare(counts), prepare(held_counts), prepare(test_counts)
    x, y = torch.tensor(counts, dtype=torch.float32), torch.tensor(spam, dtype=torch.float32)
    held_x, held_y = torch.tensor(held_counts), torch.tensor(held_spam)

    # Model
    model = Filter(hidden, layers, activation, dropout, mistake)
    if spread is not None:
        for weights in model.parameters():
            nn.init.normal_(weights, std=spread)
    loss_fn = loss_fn or nn.BCELoss()
    optimizer = make(model.parameters(), lr=lr)

    # Training
    doctor.on_start(model, optimizer, loss_fn)
    for _ in range(epochs):
        model.train()
        total = 0.0
        order = torch.randperm(len(y))
        if mistake == "sorted by label":
            order = y.argsort()
        for start in range(0, len(y) - batch + 1, batch):
            rows = order[start : start + batch]
            optimizer.zero_grad()
            loss = loss_fn(model(x[rows]), y[rows])
            loss.backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            doctor.on_step(loss, (x[rows], y[rows]))
            total += loss.item()
        model.eval()
        with torch.set_grad_enabled(mistake == "no_grad forgotten"):
            p = model(held_x)
            val = {"loss": loss_fn(p, held_y).item(), "acc": balanced(p > threshold, held_y)}
        doctor.on_epoch({"loss": total / (len(y) // batch)}, val)

    with torch.no_grad():
        found = model(torch.tensor(test_counts)) > threshold
    return Outcome(balanced(found, torch.tensor(test_spam)), val["acc"])


CASES, add = cases("spam", train)
add("as it should be")
add("logits expected in loss and threshold", "S01", loss_fn=nn.BCEWithLogitsLoss(), threshold=0.0)
add("threshold for logits", "E04", threshold=0.0)
add("spam one in a hundred", "D02", share=0.01, epochs=6)
add("repeated before the split", "D06", messages=200, mistake="repeated before the split")
add("complaints among the words", "D07", mistake="count of complaints among the words")
add("compared with 'Spam'", "L05", mistake="compared with 'Spam'")
add("labels joined on the wrong key", "L02", mistake="labels joined on the wrong key")
add("a third of the labels wrong", "L04", wrong_labels=0.35)
add("sorted by label", "D03", mistake="sorted by label")
add("no activation", "A03", activation=nn.Identity)
add("one hidden unit", "A07", hidden=1)
add("unused layer", "A08", exact=True, mistake="unused layer")
add("weights drawn far too large", "I03 A01", activation=nn.Tanh, spread=3.0)
add("weights drawn far too small", "I02", spread=1e-5, layers=4)
add("twelve layers of sigmoids", "O07", layers=12, activation=nn.Sigmoid)
add("lr 1", "O01", lr=1.0)
add("dropout 0.95", "R02", dropout=0.95)
add("no_grad forgotten", "E03", exact=True, mistake="no_grad forgotten")
# Healthy
add("Adam at 0.01", make=torch.optim.Adam, lr=1e-2)
add("tanh", activation=nn.Tanh, epochs=15)
add("dropout 0.5", dropout=0.5, hidden=96, epochs=18)
add("clipped at 1", clip=1.0)
add("each message twice", repeats=2, epochs=7)
add("one label in twenty wrong", wrong_labels=0.05)
add("batches of 8", batch=8, epochs=5)
add("plain SGD at 0.5", make=torch.optim.SGD, lr=0.5, epochs=30)
add("spam one in eight", share=0.12)
add("square roots in place of logarithms", prepare=np.sqrt)
