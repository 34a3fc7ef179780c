"""The ten digits of 8 x 8 pixels with a small residual network that has BatchNorm.

SGD with momentum, weight decay and a cosine, labels smoothed by 0.1, batches of indices made by hand; the
doctor watches from a with-block, and the accuracy is computed by hand after each epoch.
"""

import numpy as np
import torch
import torch.nn.functional as F
from case import Outcome, cases
from sklearn.datasets import load_digits
from torch import nn

WIDTH = 12  # channels


class Block(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, channels: int, bn_momentum: float):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels, momentum=bn_momentum)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels, momentum=bn_momentum)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(x + self.norm2(self.conv2(inner)))


class ResNet(nn.Module):
    """A stem, residual blocks, pooling and a head."""

    def __init__(self, bn_momentum: float, dropout: float, mistake: str):
        super().__init__()
        self.mistake = mistake
        self.stem = nn.Conv2d(1, WIDTH, 3, padding=1)
        blocks = [Block(WIDTH, bn_momentum) for _ in range(2)]
        self.blocks = blocks if mistake == "blocks in a list" else nn.ModuleList(blocks)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(4 * WIDTH, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(images))
        for block in self.blocks:
            x = block(x)
        x = F.adaptive_avg_pool2d(x, 2)
        if self.mistake == "view mixes the rows":  # meant: corners last
            x = x.permute(2, 3, 1, 0).reshape(len(x), -1)
        scores = self.head(self.dropout(x.flatten(1)))
        return scores.softmax(1) if self.mistake == "softmax in the network" else scores


def load(seed: int, mistake: str) -> list[torch.Tensor]:
    """Images and labels to train on, to validate on and to test on."""
    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.target))
    images = torch.tensor(digits.images[order], dtype=torch.float32)[:, None]
    labels = torch.tensor(digits.target[order])
    images, test_images, labels, test_labels = images[:1200], images[1200:], labels[:1200], labels[1200:]
    if mistake == "split of sorted rows":
        order = labels.argsort()
        images, labels = images[order], labels[order]
    images, val_images, labels, val_labels = images[:800], images[800:], labels[:800], labels[800:]
    if mistake == "sorted by label":
        order = labels.argsort()
        images, labels = images[order], labels[order]
    images = images / 16
    if mistake != "only training images divided by 16":
        val_images, test_images = val_images / 16, test_images / 16
    return [images, labels, val_images, val_labels, test_images, test_labels]


def accuracy(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """The share of images whose highest score is at the label."""
    return (model(images).argmax(1) == labels).float().mean().item()


def train(
    seed,
    doctor,
    *,
    epochs=10,
    batch=32,
    bn_momentum=0.1,
    dropout=0.0,
    loss_fn=None,
    lr=0.05,
    momentum=0.9,
    decay=5e-4,
    nesterov=False,
    clip=None,
    wrong_labels=0.0,
    cosine=True,
    warm_up=0,
    bias=None,
    mistake="",
) -> Outcome:
    torch.manual_seed(seed)
    images, labels, val_images, val_labels, test_images, test_labels = load(seed, mistake)
    if wrong_labels:
        wrong = torch.rand(len(labels)) < wrong_labels
        labels = torch.where(wrong, torch.randint(10, labels.shape), labels)

    # Model
    model = ResNet(bn_momentum, dropout, mistake)
    loss_fn = loss_fn or nn.CrossEntropyLoss(label_smoothing=0.1)
    if bias is not None:
        for block in model.blocks:
            nn.init.constant_(block.norm1.bias, bias)
    if mistake == "convolutions all alike":
        for conv in model.modules():
            if isinstance(conv, nn.Conv2d):
                nn.init.constant_(conv.weight, 0.1)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=lr, momentum=momentum, weight_decay=decay, nesterov=nesterov
    )
    if mistake == "head replaced after the optimizer":
        model.head = nn.Linear(4 * WIDTH, 10)
    steps = epochs * (len(labels) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    if not cosine:
        schedule = torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)
    if warm_up:
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, steps, pct_start=warm_up)

    # Training
    with doctor.watching(model, optimizer):
        for epoch in range(epochs):
            if mistake != "eval mode kept" or epoch == 0:
                model.train()
            in_order = mistake == "sorted by label"
            order = torch.arange(len(labels)) if in_order else torch.randperm(len(labels))
            for rows in order.split(batch)[: len(labels) // batch]:
                x, y = images[rows], labels[rows]
                if mistake == "flipped and turned":
                    x = torch.rot90(x.flip(3), int(torch.randint(4, ())), (2, 3))
                loss = loss_fn(model(x), y)
                if mistake != "never zeroed":
                    optimizer.zero_grad()
                loss.backward()
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
                schedule.step()
            if mistake != "validation in train mode":
                model.eval()
            with torch.no_grad():
                reported = accuracy(model, val_images, val_labels)

    model.eval()
    with torch.no_grad():
        return Outcome(accuracy(model, test_images, test_labels), reported)


def squared(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The squared error to the number of the class, which suits no classes."""
    return F.mse_loss(scores, labels.float()[:, None])


CASES, add = cases("blobs_net", train)
add("as it should be")
add("softmax before cross-entropy", "S02", exact=True, mistake="softmax in the network")
add("NLL on raw scores", "S03", loss_fn=nn.NLLLoss())
add("squared error to class numbers", "S06 S05", loss_fn=squared)
add("sorted by label", "D03", mistake="sorted by label")
add("split of sorted rows", "D04", mistake="split of sorted rows")
add("only training images divided by 16", "P02", mistake="only training images divided by 16")
add("flipped and turned", "P03", mistake="flipped and turned")
add("view mixes the rows", "A04", mistake="view mixes the rows")
add("convolutions all alike", "I01", mistake="convolutions all alike")
add("norm biases at -6", "A02", bias=-6.0)
add("lr 20", "O01", lr=20.0)
add("never zeroed", "O05", mistake="never zeroed")
add("head replaced after the optimizer", "O06", exact=True, mistake="head replaced after the optimizer")
add("blocks in a list", "O06", exact=True, mistake="blocks in a list")
add("clipped at 1e-3", "O11", clip=1e-3)
add("validation in train mode", "E01", exact=True, mistake="validation in train mode")
add("eval mode kept", "E02", mistake="eval mode kept")
add("BatchNorm momentum 1e-4", "E05", bn_momentum=1e-4)
# Healthy
add("lr 0.3", lr=0.3)
add("plain SGD at 0.5", lr=0.5, momentum=0.0)
add("one cycle", warm_up=0.3)
add("constant lr, Nesterov", cosine=False, nesterov=True, lr=0.02)
add("dropout 0.5", dropout=0.5)
add("clipped at 1", clip=1.0)
add("batches of 200", batch=200, epochs=25, lr=0.1)
add("one label in twenty wrong", wrong_labels=0.05)
add("no smoothing, no decay", loss_fn=nn.CrossEntropyLoss(), decay=0.0)
