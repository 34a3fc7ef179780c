"""pytorch-fcn, the trainer: validation in the middle of an epoch leaves the model in evaluation mode.

Repository: wkentaro/pytorch-fcn
Thread: https://github.com/wkentaro/pytorch-fcn/pull/56
Wrong: validate() calls model.eval() and nothing calls model.train() before the next epoch; it runs at the
    first iteration already, so that with the default interval the whole training is done in evaluation mode.
Mended: validate() remembers the mode and restores it (commit d10dd30), and training asserts it.
    The original has dropout and pretrained weights; here the network is small, new, with batch normalisation.
Expected: E02
"""

import sys

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

FIXED = "--fixed" in sys.argv
CLASSES = 4


def shapes(n: int, size: int = 16) -> TensorDataset:
    """Noisy images of a square, a frame or a cross on a dark ground, and the class of each pixel."""
    grid = torch.arange(size)
    row, column = grid.view(1, -1, 1), grid.view(1, 1, -1)
    top, left = torch.randint(5, size - 5, (2, n, 1, 1))
    away, across = (row - top).abs(), (column - left).abs()
    far = torch.maximum(away, across)
    kinds = torch.stack([far < 4, (far < 5) & (far > 2), (far < 5) & (torch.minimum(away, across) < 2)], 1)
    kind = torch.randint(0, 3, (n,))
    inside = kinds[torch.arange(n), kind]
    label = torch.where(inside, kind.view(-1, 1, 1) + 1, 0)
    return TensorDataset(inside.float().unsqueeze(1) + 0.3 * torch.randn(n, 1, size, size), label)


class FCN(nn.Module):
    """Convolutions down to half the size, dropout, a score for each class, back to the full size."""

    def __init__(self, width: int = 12, depth: int = 6) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for k in range(depth):
            layers += [nn.Conv2d(width if k else 1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            layers += [nn.MaxPool2d(2)] if k == 1 else []
        self.features = nn.Sequential(*layers, nn.Dropout2d(0.1))
        self.score = nn.Conv2d(width, CLASSES, 1)
        self.upscore = nn.ConvTranspose2d(CLASSES, CLASSES, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Score each pixel."""
        return self.upscore(self.score(self.features(x)))


class Trainer:
    """Trains, and validates every `interval_validate` iterations."""

    def __init__(self, model: nn.Module, train_loader: DataLoader, val_loader: DataLoader) -> None:
        self.model, self.train_loader, self.val_loader = model, train_loader, val_loader
        self.optim = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
        self.interval_validate, self.iteration = len(train_loader), 0

    def validate(self) -> float:
        """Mean intersection over union of the classes."""
        training = self.model.training
        self.model.eval()
        with torch.no_grad():
            pairs = [(self.model(data).argmax(1), target) for data, target in self.val_loader]
        guess, true = (torch.cat(column) for column in zip(*pairs, strict=True))
        masks = [(guess == k, true == k) for k in range(CLASSES)]
        if FIXED and training:
            self.model.train()
        return sum(float((g & t).sum() / (g | t).sum()) for g, t in masks) / CLASSES

    def train_epoch(self) -> None:
        """One pass over the training set."""
        self.model.train()
        for data, target in self.train_loader:
            if self.iteration % self.interval_validate == 0:
                print(f"iteration {self.iteration} mean IU {self.validate():.3f}")
            self.iteration += 1
            self.optim.zero_grad()
            nn.functional.cross_entropy(self.model(data), target).backward()
            self.optim.step()


torch.manual_seed(0)
trainer = Trainer(FCN(), DataLoader(shapes(640), 32, shuffle=True), DataLoader(shapes(256), 64))
for _ in range(13):
    trainer.train_epoch()
print(f"validation mean IU {trainer.validate():.3f}")
