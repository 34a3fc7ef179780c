"""Made-up speeches in a parliament, 8 to 30 words of a vocabulary of 300, padded: which of four topics?

A TextCNN as in a course assignment, with a Trainer class of fit() and evaluate(), NLLLoss of log_softmax,
Adam and early stopping over DataLoaders; the doctor watches trainer.fit by a with statement.
"""

import copy
import time
from typing import Any

import numpy as np
import torch
from case import Outcome, cases
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

TOPICS, WORDS, LONGEST = 4, 300, 30
TEST_ROWS = 1200


def speeches(rng: np.random.Generator, topics: np.ndarray) -> np.ndarray:
    """Word numbers (0 is padding): one word in three belongs to the topic, the others are anyone's."""
    own = 1 + 40 * topics[:, None] + rng.integers(40, size=(len(topics), LONGEST))
    anyone = rng.integers(1, WORDS, size=own.shape)
    words = np.where(rng.random(own.shape) < 0.33, own, anyone)
    lengths = rng.integers(8, LONGEST + 1, size=len(topics))
    return words * (np.arange(LONGEST) < lengths[:, None])


class Speeches(Dataset):
    def __init__(self, words: np.ndarray, topics: np.ndarray, wait: float = 0.0):
        self.words, self.topics = torch.tensor(words), torch.tensor(topics)
        self.wait = wait

    def __len__(self) -> int:
        return len(self.topics)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        if self.wait:
            time.sleep(self.wait)  # each speech is read from a far disk
        return self.words[row], self.topics[row]


class TextCNN(nn.Module):
    def __init__(
        self, width: int, filters: int, dropout: float, norm: type[nn.Module], outputs: int, mistake: str
    ):
        super().__init__()
        self.embed = nn.Embedding(WORDS, width, padding_idx=0)
        self.convs = nn.ModuleList([nn.Conv1d(width, filters, size, padding=size // 2) for size in (1, 3)])
        self.norm = norm(2 * filters)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * filters, outputs)
        self.mistake = mistake

    def forward(self, words: Tensor) -> Tensor:
        x = self.embed(words)
        if self.mistake == "reshaped, not permuted":
            x = x.transpose(0, 1).reshape(len(words), -1, words.shape[1])
        else:
            x = x.permute(0, 2, 1)
        x = torch.cat([conv(x).relu().amax(2) for conv in self.convs], 1)
        if self.mistake == "features by .data":
            x = x.data
        scores = self.head(self.dropout(self.norm(x)))
        if self.mistake == "raw scores":
            return scores
        if self.mistake == "softmax":
            return scores.softmax(1)
        return scores.log_softmax(0 if self.mistake == "softmax over the batch" else 1)


class Bag(nn.Module):
    """The mean of the words' embeddings and one layer."""

    def __init__(self, width: int):
        super().__init__()
        self.embed = nn.Embedding(WORDS, width, padding_idx=0)
        self.head = nn.Linear(width, TOPICS, bias=False)

    def forward(self, words: Tensor) -> Tensor:
        mean = self.embed(words).sum(1) / (words > 0).sum(1, keepdim=True)
        return self.head(mean).log_softmax(1)


class Trainer:
    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss_fn: nn.Module,
        *,
        gamma: float,
        clip: float,
        every: int,
        patience: int,
        mistake: str,
    ):
        self.model, self.optimizer, self.loss_fn = model, optimizer, loss_fn
        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma)
        self.clip, self.every, self.patience, self.mistake = clip, every, patience, mistake
        self.losses = []
        self.accuracy = 0.0

    def fit(self, train_loader: DataLoader, val_loader: DataLoader, epochs: int) -> None:
        best, best_weights, waited = float("inf"), None, 0
        for epoch in range(epochs):
            self.model.train()
            for number, (words, topics) in enumerate(train_loader):
                if self.mistake == "speeches shuffled alone" and epoch >= 2:
                    words = words[torch.randperm(len(words))]
                if self.mistake == "most words dropped":
                    words = words * (torch.rand(words.shape) < 0.04)
                self.update(words, topics, number)
            if self.mistake != "scheduler each batch":
                self.scheduler.step()
            val_loss, accuracy = self.evaluate(val_loader)
            waited += 1
            if val_loss < best or self.patience == 0:
                best, best_weights, waited = val_loss, copy.deepcopy(self.model.state_dict()), 0
                self.accuracy = accuracy
            if waited > self.patience:
                break
        if best_weights:
            self.model.load_state_dict(best_weights)

    def update(self, words: Tensor, topics: Tensor, number: int) -> None:
        if number % self.every == 0 and self.mistake != "no zero_grad":
            self.optimizer.zero_grad()
        loss = self.loss_fn(self.model(words), topics)
        if self.mistake == "loss clamped":
            loss = loss.clamp(max=1.0)
        (loss / self.every).backward()
        if self.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        if (number + 1) % self.every == 0:
            self.optimizer.step()
        if self.mistake == "scheduler each batch":
            self.scheduler.step()
        self.losses.append(loss.item())

    def evaluate(self, loader: DataLoader) -> tuple[float, float]:
        if self.mistake != "no eval()":
            self.model.eval()
        total, correct, count = 0.0, 0, 0
        with torch.no_grad():
            for words, topics in loader:
                out = self.model(words)
                total += self.loss_fn(out, topics).item() * len(topics)
                correct += (out.argmax(1) == topics).sum().item()
                count += len(topics)
        return total / count, correct / count


def train(
    seed: int,
    doctor: Any,
    *,
    rows: int = 1600,
    val_rows: int = 400,
    share: float = 0.25,
    shuffle: bool = True,
    wrong: float = 0.0,
    copies: int = 1,
    wait: float = 0.0,
    bag: bool = False,
    width: int = 24,
    filters: int = 24,
    dropout: float = 0.3,
    norm: type[nn.Module] = nn.Identity,
    outputs: int = TOPICS,
    scale: float = 1.0,
    bias: float | None = None,
    loss_fn: nn.Module | None = None,
    optimizer_class: type = torch.optim.Adam,
    options: dict[str, Any] | None = None,
    lr: float = 5e-3,
    gamma: float = 1.0,
    clip: float = 0.0,
    every: int = 1,
    batch: int = 32,
    epochs: int = 8,
    patience: int = 2,
    mistake: str = "",
    oddity: str = "",
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    chances = [share, *[(1 - share) / 3] * 3]
    y = rng.choice(TOPICS, size=rows + val_rows, p=chances)
    x = speeches(rng, y)
    test_y = rng.integers(TOPICS, size=TEST_ROWS)
    test_x = speeches(rng, test_y)
    if mistake == "copied, then split":
        drawn = rng.permutation(np.repeat(np.arange(len(y)), 4))
        x, y, rows = x[drawn], y[drawn], 4 * rows
    if mistake == "split by topic":  # the last topic is in the validation part alone
        order = np.argsort(y, kind="stable")
        x, y, rows = x[order], y[order], int((y < TOPICS - 1).sum())
    if mistake == "topics from 1":
        y = y + 1
    if mistake == "topics of other speeches":
        y[:rows] = rng.permutation(y[:rows])
    if mistake == "another vocabulary":  # validation and service number the words in another order
        renumbered = np.concatenate([[0], 1 + rng.permutation(WORDS - 1)])
        x[rows:], test_x = renumbered[x[rows:]], renumbered[test_x]
    flipped = rng.random(rows) < wrong
    y[:rows][flipped] = rng.integers(TOPICS, size=flipped.sum())
    train_x, train_y = np.repeat(x[:rows], copies, 0), np.repeat(y[:rows], copies)
    if mistake == "sorted by topic":
        order = np.argsort(train_y, kind="stable")
        train_x, train_y = train_x[order], train_y[order]
    train_loader = DataLoader(Speeches(train_x, train_y, wait), batch_size=batch, shuffle=shuffle)
    val_loader = DataLoader(Speeches(x[rows:], y[rows:]), batch_size=200)

    model = Bag(width) if bag else TextCNN(width, filters, dropout, norm, outputs, mistake)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
        if bias is not None:
            for conv in model.convs:
                conv.bias.fill_(bias)
    if oddity == "frozen words":
        model.embed.requires_grad_(False)
    optimizer = optimizer_class(model.parameters(), lr=lr, **(options or {}))
    if mistake == "head replaced after the optimizer":
        model.head = nn.Linear(2 * filters, outputs)
        model.embed = nn.Embedding(WORDS, width, padding_idx=0)
    trainer = Trainer(
        model,
        optimizer,
        loss_fn or nn.NLLLoss(),
        gamma=gamma,
        clip=clip,
        every=every,
        patience=patience,
        mistake=mistake,
    )
    with doctor.watching(model, optimizer):
        trainer.fit(train_loader, val_loader, epochs)

    model.eval()
    with torch.no_grad():
        found = model(torch.tensor(test_x)).argmax(1)
    return Outcome((found == torch.tensor(test_y)).float().mean().item(), trainer.accuracy)


SGD = torch.optim.SGD
TO_THE_END = {"patience": 0}  # no early stopping, and the last weights are kept
CASES, add = cases("votes", train)
add("as it should be")
add("ninety-seven in a hundred of one topic", "D02", share=0.97, lr=5e-4, epochs=4)
add("sorted by topic, not shuffled", "D03", mistake="sorted by topic", shuffle=False, **TO_THE_END)
add("split by topic", "D04", mistake="split by topic", **TO_THE_END)
add("copied, then split", "D06", mistake="copied, then split", rows=160, val_rows=40, epochs=12, dropout=0.0)
add("speeches shuffled apart from topics", "L01", mistake="speeches shuffled alone", **TO_THE_END)
add("topics of other speeches", "L02", mistake="topics of other speeches", **TO_THE_END)
add("topics wrong in six of ten", "L04", wrong=0.6, **TO_THE_END)
add("topics from 1", "L05", mistake="topics from 1", outputs=TOPICS + 1)
add("another vocabulary in validation", "P02", mistake="another vocabulary")
add("most words dropped", "P03", mistake="most words dropped")
add("dead filters", "A02", bias=-12.0)
add("reshaped, not permuted", "A04", mistake="reshaped, not permuted")
add("weights too small", "I02", scale=0.02, optimizer_class=SGD, options={"momentum": 0.9}, lr=0.1)
add("weights too large", "I03", scale=12.0)
add("softmax before the cross-entropy", "S02", exact=True, mistake="softmax", loss_fn=nn.CrossEntropyLoss())
add("softmax over the batch", "S03", exact=True, mistake="softmax over the batch")
add("NLL of raw scores", "S03", exact=True, mistake="raw scores")
add("loss clamped at 1", "S07", mistake="loss clamped")
add("lr 0.3", "O01", lr=0.3)
add("lr 1e-6", "O02", lr=1e-6)
add("scheduler each batch", "O04", mistake="scheduler each batch", gamma=0.8)
add("gradients never zeroed", "O05", exact=True, mistake="no zero_grad")
add("head replaced after the optimizer", "O06", exact=True, mistake="head replaced after the optimizer")
add("features by .data", "O10", mistake="features by .data")
add("clipped at 0.001", "O11", clip=1e-3, optimizer_class=SGD, options={"momentum": 0.9}, lr=0.1)
add("eighty speeches by heart", "R01", rows=80, batch=8, dropout=0.0, epochs=40, **TO_THE_END)
add("dropout 0.97", "R02", dropout=0.97)
add("three epochs are not enough", "R03 O02", epochs=3, lr=2e-4)
add("BatchNorm with batches of 2", "R04", exact=True, norm=nn.BatchNorm1d, batch=2, rows=600, epochs=3)
add("eval() forgotten", "E01", exact=True, mistake="no eval()")
add("a far disk", "E06", exact=True, wait=4e-4, rows=1000, epochs=4)
add("bag of words without bias", bag=True, lr=0.02)
add("cross-entropy of log-probabilities", loss_fn=nn.CrossEntropyLoss(label_smoothing=0.1))
add("frozen words", oddity="frozen words", width=48, filters=48)
add("SGD at 0.5", optimizer_class=SGD, lr=0.5, epochs=14)
add("four batches an update, clipping at 1", every=4, batch=16, clip=1.0)
add("batches of 8, decay of the rate", batch=8, gamma=0.6, epochs=4)
add("every speech three times in train", copies=3, rows=1000, epochs=4)
add("topics wrong in one of twenty", wrong=0.07)  # one draw in four is right by chance
add("nearly half of one topic", share=0.45, dropout=0.5)
