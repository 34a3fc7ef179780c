"""ShrinkBench, the training experiment: the validation set is the training set.

Repository: JJGO/shrinkbench
Thread: https://github.com/JJGO/shrinkbench/pull/7
Wrong: build_dataloader makes its validation set with dataset_builder(train=True), like the training set, so
    that the validation accuracy is the accuracy on images the network was trained on.
Mended: train=False (commit e17fb6c).
Expected: D06
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

FIXED = "--fixed" in sys.argv


def dataset_builder(train: bool) -> TensorDataset:
    """Handwritten digits with grain; the first 600 for training, the others for testing."""
    images, labels = load_digits(return_X_y=True)
    generator = torch.Generator().manual_seed(1)
    order = torch.randperm(len(labels), generator=generator)
    x = torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8)[order] / 8 - 0.6
    x = x + 0.6 * torch.randn(x.shape, generator=generator)
    part = slice(600) if train else slice(600, None)
    return TensorDataset(x[part], torch.tensor(labels)[order][part])


class MnistNet(nn.Module):
    """Two convolutions, dropout, two dense layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(128, 64), nn.Linear(64, 10)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the digits."""
        x = nn.functional.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = nn.functional.max_pool2d(torch.relu(self.conv2(x)), 2)
        return self.fc2(self.drop(torch.relu(self.fc1(self.drop(x.flatten(1))))))


class TrainingExperiment:
    """A dataset, a model, and epochs of training and validation."""

    def __init__(self, batch_size: int, epochs: int) -> None:
        self.epochs, self.model, self.loss_func = epochs, MnistNet(), nn.CrossEntropyLoss()
        self.build_dataloader(batch_size)
        self.optim = torch.optim.Adam(self.model.parameters(), lr=4e-3)

    def build_dataloader(self, batch_size: int) -> None:
        """The two sets and their loaders."""
        self.train_dataset = dataset_builder(train=True)
        self.val_dataset = dataset_builder(train=not FIXED)
        self.train_dl = DataLoader(self.train_dataset, batch_size, shuffle=True)
        self.val_dl = DataLoader(self.val_dataset, batch_size)

    def run_epoch(self, train: bool, dl: DataLoader) -> tuple[float, float]:
        """Loss and accuracy of one pass."""
        self.model.train(train)
        loss_sum, hits = 0.0, 0
        with torch.set_grad_enabled(train):
            for x, y in dl:
                yhat = self.model(x)
                loss = self.loss_func(yhat, y)
                if train:
                    self.optim.zero_grad()
                    loss.backward()
                    self.optim.step()
                loss_sum, hits = loss_sum + loss.item() * len(y), hits + int((yhat.argmax(1) == y).sum())
        return loss_sum / len(dl.dataset), hits / len(dl.dataset)  # type: ignore[arg-type]

    def run(self) -> float:
        """Train; the last validation accuracy."""
        for epoch in range(self.epochs):
            train_loss, _ = self.run_epoch(True, self.train_dl)
            val_loss, val_acc = self.run_epoch(False, self.val_dl)
            print(f"epoch {epoch} train_loss {train_loss:.4f} val_loss {val_loss:.4f} val_acc1 {val_acc:.4f}")
        return val_acc


torch.manual_seed(0)
experiment = TrainingExperiment(batch_size=32, epochs=24)
print(f"validation accuracy {experiment.run():.3f}")
print(f"test accuracy {experiment.run_epoch(False, DataLoader(dataset_builder(train=False), 200))[1]:.3f}")
