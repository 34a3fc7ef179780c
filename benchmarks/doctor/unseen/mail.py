"""Handwritten digits of postcodes, as 1x8x8 pictures (sklearn's load_digits), for a small CNN.

BatchNorm and dropout in it; the loop is a tutorial's: one function that trains for an epoch, one that tests,
Adam and StepLR.
"""

from collections.abc import Callable

import torch
from case import Outcome, cases
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

VALIDATION, HELD_OUT = 300, 597


class Net(nn.Module):
    def __init__(
        self,
        dropout: float = 0.25,
        bn_momentum: float = 0.1,
        act: nn.Module | None = None,
        end: nn.Module | None = None,
        detach: bool = False,
        spare: bool = False,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(16, momentum=bn_momentum)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(32, momentum=bn_momentum)
        self.act = act or nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(dropout)
        self.fc1 = nn.Linear(32 * 2 * 2, 64)
        self.fc2 = nn.Linear(64, 10)
        self.end = end or nn.Identity()
        self.detach = detach
        if spare:
            self.conv3 = nn.Conv2d(32, 32, 3, padding=1)  # forward does not know of it

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.act(self.bn1(self.conv1(x))))
        x = self.pool(self.act(self.bn2(self.conv2(x))))
        x = x.flatten(1)
        if self.detach:
            x = x.detach()
        x = self.dropout(self.act(self.fc1(self.dropout(x))))
        return self.end(self.fc2(x))


def load(seed: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Train, validation and held-out pictures (0 to 16) with their digits."""
    pictures, digits = load_digits(return_X_y=True)
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(seed))
    x = torch.tensor(pictures, dtype=torch.float32).view(-1, 1, 8, 8)[order]
    y = torch.tensor(digits)[order]
    sizes = [len(y) - VALIDATION - HELD_OUT, VALIDATION, HELD_OUT]
    return list(zip(x.split(sizes), y.split(sizes), strict=True))


def fit(model, loader, loss_fn, optimizer, each_batch=None, l1=0.0, mistake="") -> None:
    """One epoch of training."""
    if mistake != "training in eval mode":
        model.train()
    for x, y in loader:
        loss = loss_fn(model(x), y)
        if l1:
            loss = loss + l1 * sum(p.abs().sum() for p in model.parameters())
        if mistake != "no zero_grad":
            optimizer.zero_grad()
        loss.backward()
        if mistake != "no step":
            optimizer.step()
        if each_batch:
            each_batch.step()


def test(model, loader, mistake) -> float:
    """Accuracy."""
    if mistake != "no eval":
        model.eval()
    right = 0
    with torch.no_grad():
        for x, y in loader:
            right += (model(x).argmax(1) == y).sum().item()
    return right / len(loader.dataset)


def normalise(x: torch.Tensor) -> torch.Tensor:
    return (x / 16 - 0.3) / 0.38


def train(
    seed: int,
    doctor,
    *,
    epochs: int = 12,
    batch_size: int = 32,
    shuffle: bool = True,
    prepare: Callable[[torch.Tensor], torch.Tensor] = normalise,
    prepare_test: Callable[[torch.Tensor], torch.Tensor] | None = None,
    net: dict | None = None,
    loss_fn: nn.Module | None = None,
    optim: Callable = torch.optim.Adam,
    lr: float = 2e-3,
    weight_decay: float = 0.0,
    gamma: float = 0.5,
    one_cycle: bool = False,
    l1: float = 0.0,
    noise: float = 0.0,
    copies: int = 1,
    validation: int = VALIDATION,
    init: Callable[[Net], None] | None = None,
    mistake: str = "",
) -> Outcome:
    torch.manual_seed(seed)
    (x, y), (val_x, val_y), (held_x, held_y) = load(seed)
    x, y = x.repeat(copies, 1, 1, 1), y.repeat(copies)
    x = prepare(x)
    if mistake == "missing pixels":
        x[torch.rand(len(x)) < 0.05, :, 0, 0] = float("nan")
    if mistake == "labels scaled":
        y = y // 16  # the line that scales the pixels was copied to the labels
    if mistake == "labels joined wrongly":
        y = y[torch.randperm(len(y))]
    if mistake == "sorted":
        order = y.argsort()
        x, y = x[order], y[order]
    wrong = torch.rand(len(y)) < noise
    y = torch.where(wrong, torch.randint(10, y.shape), y)
    prepare_test = prepare_test or prepare
    train_loader = DataLoader(TensorDataset(x, y), batch_size, shuffle=shuffle)
    test_loader = DataLoader(TensorDataset(prepare_test(val_x[:validation]), val_y[:validation]), 100)

    model = Net(**net or {})
    if init:
        init(model)
    loss_fn = loss_fn or nn.CrossEntropyLoss()
    learnt = [p for p in model.parameters() if p.requires_grad]
    optimizer = optim(learnt, lr=lr, weight_decay=weight_decay)
    if mistake == "head replaced":
        model.fc1, model.fc2 = nn.Linear(128, 64), nn.Linear(64, 10)  # the optimizer still has the old ones
    if one_cycle:
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, epochs * len(train_loader))
    else:
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=4, gamma=gamma)
    by_batch = one_cycle or mistake == "scheduler by batch"

    accuracy = 0.0
    with doctor.watching(model, optimizer):
        for epoch in range(epochs):
            if mistake == "pictures reshuffled" and epoch >= 3:
                x[:] = x[torch.randperm(len(x))]  # and the labels stay as they were
            fit(model, train_loader, loss_fn, optimizer, scheduler if by_batch else None, l1, mistake)
            if not by_batch:
                scheduler.step()
            accuracy = test(model, test_loader, mistake)

    held_loader = DataLoader(TensorDataset(prepare_test(held_x), held_y), 200)
    return Outcome(score=test(model, held_loader, ""), reported=accuracy)


def zeros(model: Net) -> None:
    for layer in (model.conv1, model.conv2, model.fc1, model.fc2):
        nn.init.zeros_(layer.weight)


def zero_head(model: Net) -> None:
    nn.init.zeros_(model.fc2.weight)


def wide(model: Net) -> None:
    for layer in (model.fc1, model.fc2):
        nn.init.normal_(layer.weight, std=5.0)  # 1 / sqrt(128) was meant


def low_bias(model: Net) -> None:
    nn.init.constant_(model.fc1.bias, -8.0)


def freeze_first(model: Net) -> None:
    model.conv1.requires_grad_(False)


def raw(x: torch.Tensor) -> torch.Tensor:
    return x.clone()


def scaled_twice(x: torch.Tensor) -> torch.Tensor:
    return normalise(x / 16)


def inverted(x: torch.Tensor) -> torch.Tensor:
    return normalise(16 - x)


CASES, add = cases("mail", train)
add("as it should be")

add("missing pixels", "D01", mistake="missing pixels")
add("sorted by digit", "D03", mistake="sorted", shuffle=False)
add("pictures reshuffled without their labels", "L01", mistake="pictures reshuffled")
add("labels joined wrongly", "L02", mistake="labels joined wrongly")
add("labels scaled like pixels", "L05", mistake="labels scaled")
add("test pictures inverted", "P02", prepare_test=inverted)
add("test pictures scaled twice", "P02", prepare_test=scaled_twice)
add("a layer that forward leaves out", "A08", exact=True, net={"spare": True})
add("a bias of -8 before ReLU", "A02", init=low_bias)
add("all weights zero", "I01", init=zeros)
add("linear layers far too large", "I03", init=wide, lr=2e-4)
add("softmax at the end", "S02", exact=True, net={"end": nn.Softmax(dim=1)})
add("log-softmax over the batch", "S03", exact=True, net={"end": nn.LogSoftmax(dim=0)}, loss_fn=nn.NLLLoss())
add("NLLLoss on scores", "S03", loss_fn=nn.NLLLoss())
add("lr 0.5 with Adam", "O01", lr=0.5)
add("lr 5 with Adam", "O01", lr=5.0)
add("lr 2e-6", "O02", lr=2e-6)
add("lr 1e-5", "O02", lr=1e-5)
add("scheduler.step each batch", "O04", mistake="scheduler by batch")
add("no zero_grad", "O05", exact=True, mistake="no zero_grad")
add("head replaced after the optimizer", "O06", exact=True, mistake="head replaced")
add("features detached", "O10", exact=True, net={"detach": True})
add("no optimizer.step", "O12", mistake="no step")
add("dropout 0.95", "R02", net={"dropout": 0.95})
add("weight decay 0.5", "R02", weight_decay=0.5)
add("tested in train mode", "E01", exact=True, net={"dropout": 0.5}, mistake="no eval")
add("trained in eval mode", "E02", exact=True, mistake="training in eval mode")
add("BatchNorm that hardly updates", "E05", net={"bn_momentum": 1e-5})

add("Adam at 0.01", lr=1e-2)
add("SGD at 0.2", optim=torch.optim.SGD, lr=0.2)
add("pixels of 0 to 16", prepare=raw)
add("label smoothing", loss_fn=nn.CrossEntropyLoss(label_smoothing=0.1))
add("labels wrong in 5 %", noise=0.055)
add("one cycle", one_cycle=True, lr=1e-2)
add("first layer frozen", init=freeze_first)
add("head of zeros", init=zero_head)
add("40 rows of validation", validation=40)
add("tanh and dropout 0.5", net={"act": nn.Tanh(), "dropout": 0.5})
add("each row three times", copies=3, epochs=5)
