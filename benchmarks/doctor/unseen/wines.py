"""The three growers of a wine from thirteen measurements, by a small network in a class of the user's own.

A Trainer with fit and validate goes through a DataLoader with Adam; the doctor's block is around trainer.fit.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from case import Outcome, cases
from sklearn.datasets import load_wine
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

Rows = tuple[Tensor, Tensor]
GROWERS = 3


class Classifier(nn.Module):
    def __init__(
        self, inputs: int, hidden: int, dropout: float, activation: Callable[..., Tensor], mistake: str
    ) -> None:
        super().__init__()
        self.body: Any = [nn.Linear(inputs, hidden), nn.Linear(hidden, hidden)]
        if mistake != "layers in a list":  # a plain list hides them from parameters()
            self.body = nn.ModuleList(self.body)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, GROWERS)
        self.activation = activation
        self.mistake = mistake

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.body:
            x = self.dropout(self.activation(layer(x)))
        if self.mistake == "hidden values as numpy":  # the way back to the body is lost
            x = torch.from_numpy(x.detach().numpy())
        scores = self.head(x)
        return scores.log_softmax(dim=0) if self.mistake == "softmax over the batch" else scores


class Trainer:
    def __init__(
        self, model: nn.Module, optimizer: Any, loss: nn.Module, schedule: Any, mistake: str
    ) -> None:
        self.model, self.optimizer, self.loss, self.schedule = model, optimizer, loss, schedule
        self.mistake = mistake
        self.accuracy = 0.0

    def update(self, x: Tensor, y: Tensor) -> None:
        if self.mistake != "never zeroed":
            self.optimizer.zero_grad()
        loss = self.loss(self.model(x), y)
        if self.mistake == "loss clamped":  # meant against outliers
            loss = loss.clamp(max=0.9)
        loss.backward()
        self.optimizer.step()
        if self.schedule is not None and self.mistake == "schedule by batch":
            self.schedule.step()

    def fit(self, train: DataLoader, val: DataLoader, epochs: int) -> None:
        self.model.train()
        for _ in range(epochs):
            if self.mistake != "stays in eval":
                self.model.train()
            if self.mistake == "labels slip":  # the rows are mixed anew, their labels are not
                x = train.dataset.tensors[0]
                x.copy_(x[torch.randperm(len(x))])
            for x, y in train:
                self.update(x, y)
            if self.schedule is not None and self.mistake != "schedule by batch":
                self.schedule.step()
            self.accuracy = self.validate(val)

    @torch.no_grad()
    def validate(self, loader: DataLoader) -> float:
        if self.mistake != "no eval":
            self.model.eval()
        right = total = 0
        for x, y in loader:
            scores = self.model(x)
            self.loss(scores, y)
            right += (scores.argmax(dim=1) == y).sum().item()
            total += len(y)
        return right / total


def split_rows(rng: np.random.Generator, split: str) -> tuple[Rows, Rows, Rows]:
    """Training, validation and test rows; the test rows are always drawn at random."""
    x, y = load_wine(return_X_y=True)  # sorted by grower
    order = rng.permutation(len(y))
    test, rest = order[:44], np.sort(order[44:])
    if split == "rows copied first":  # meant to even out the growers
        rest = rng.choice(rest, 2 * len(rest))
    if split != "in file order":
        rest = rng.permutation(rest)
    parts = rest[:-40], rest[-40:], test
    return tuple((torch.tensor(x[part], dtype=torch.float32), torch.tensor(y[part])) for part in parts)


def train(
    seed: int,
    doctor: Any,
    *,
    split: str = "random",
    scale: str = "all",
    noise: float = 0.0,
    val_rows: int = 40,
    copies: int = 1,
    batch: int = 8,
    epochs: int = 30,
    hidden: int = 32,
    dropout: float = 0.2,
    activation: Callable[..., Tensor] = torch.relu,
    weight_std: float | None = None,
    loss: nn.Module | None = None,
    optimizer: Any = torch.optim.Adam,
    lr: float = 3e-3,
    schedule: Callable[[Any], Any] | None = None,
    mistake: str = "",
    **options: Any,
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    (train_x, train_y), (val_x, val_y), (test_x, test_y) = split_rows(rng, split)
    val_x, val_y = val_x[:val_rows], val_y[:val_rows]

    mean, std = train_x.mean(dim=0), train_x.std(dim=0)
    if scale != "none":
        train_x = (train_x - mean) / std
    if scale == "all":
        val_x, test_x = (val_x - mean) / std, (test_x - mean) / std
    if scale == "others centred":  # not divided by std
        val_x, test_x = val_x - mean, test_x - mean

    wrong = torch.rand(len(train_y)) < noise
    train_y[wrong] = (train_y[wrong] + torch.randint(1, GROWERS, (int(wrong.sum()),))) % GROWERS
    if mistake == "labels shuffled":
        train_y = train_y[torch.randperm(len(train_y))]
    if mistake == "a gap in the file":
        train_x[5, 3] = float("nan")
    if mistake == "grower's number":  # a column that is not there yet when a new wine is judged
        train_x = torch.cat([train_x, 10.0 * train_y[:, None]], dim=1)
        val_x = torch.cat([val_x, 10.0 * val_y[:, None]], dim=1)
        test_x = torch.cat([test_x, torch.zeros(len(test_x), 1)], dim=1)
    train_x, train_y = train_x.repeat(copies, 1), train_y.repeat(copies)

    model = Classifier(train_x.shape[1], hidden, dropout, activation, mistake)
    if weight_std is not None:
        for weight in model.parameters():
            nn.init.normal_(weight, std=weight_std) if weight.dim() > 1 else nn.init.zeros_(weight)
    if mistake == "bias far below zero":
        nn.init.constant_(model.body[0].bias, -6.0)
    opt = optimizer(model.parameters(), lr=lr, **options)
    if mistake == "new head":  # the optimizer still holds the old one
        model.head = nn.Linear(hidden, GROWERS)

    train_loader = DataLoader(TensorDataset(train_x, train_y), batch_size=batch, shuffle=True)
    val_loader = DataLoader(TensorDataset(val_x, val_y), batch_size=64)
    loss = loss or nn.CrossEntropyLoss()
    trainer = Trainer(model, opt, loss, schedule(opt) if schedule else None, mistake)
    with doctor.watching(model, opt, loss, train_loader):
        trainer.fit(train_loader, val_loader, epochs)

    model.eval()
    with torch.no_grad():
        score = (model(test_x).argmax(dim=1) == test_y).double().mean().item()
    return Outcome(score, trainer.accuracy)


def fall(opt: Any) -> Any:
    return torch.optim.lr_scheduler.ExponentialLR(opt, gamma=0.8)


def warm_up(opt: Any) -> Any:
    return torch.optim.lr_scheduler.LambdaLR(opt, lambda epoch: min(1.0, epoch / 6))


SGD = torch.optim.SGD

CASES, add = cases("wines", train)
add("as it should be")
add("raw measurements", "P01", scale="none", optimizer=SGD, lr=0.01)
add("only training rows scaled", "P02", scale="train only")
add("other rows only centred", "P02", scale="others centred")
add("split in file order", "D04", split="in file order")
add("copied before the split", "D06", exact=True, split="rows copied first")
add("a gap in the file", "D01", mistake="a gap in the file")
add("grower's number among the inputs", "D07", mistake="grower's number")
add("labels shuffled", "L02", mistake="labels shuffled")
add("labels slip every epoch", "L01", mistake="labels slip")
add("40 % wrong labels", "L04", noise=0.4, hidden=128, dropout=0.0)
add("softmax over the batch", "S03", exact=True, loss=nn.NLLLoss(), mistake="softmax over the batch")
add("loss clamped", "S07", mistake="loss clamped")
add("layers in a list", "O06 A08", exact=True, mistake="layers in a list")
add("head replaced after the optimizer", "O06", exact=True, mistake="new head")
add("hidden values as numpy", "O10", exact=True, mistake="hidden values as numpy")
add("gradients never zeroed", "O05", exact=True, mistake="never zeroed")
add("per-epoch schedule by batch", "O04", schedule=fall, lr=1e-3, mistake="schedule by batch")
add("lr 3", "O01", lr=3.0)
add("all weights zero", "I01", weight_std=0.0)
add("weights of 0.001", "I02", weight_std=1e-3, optimizer=SGD, lr=0.02)
add("bias far below zero", "A02", mistake="bias far below zero")
add("dropout 0.95", "R02", dropout=0.95)
add("no eval in validate", "E01", exact=True, mistake="no eval")
add("stays in eval after validating", "E02", exact=True, mistake="stays in eval")

add("SGD at 0.5", optimizer=SGD, lr=0.5, dropout=0.0, batch=32)
add("warm-up from 0", schedule=warm_up)
add("label smoothing", loss=nn.CrossEntropyLoss(label_smoothing=0.2))
add("class weights", loss=nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 4.0])))
add("tanh and RMSprop", activation=torch.tanh, optimizer=torch.optim.RMSprop)
add("dropout 0.5", dropout=0.5)
add("two wines a batch", batch=2, epochs=10)
add("5 % wrong labels", noise=0.05)
add("rows three times over", copies=3, epochs=10)
add("ten validation rows", val_rows=10)
