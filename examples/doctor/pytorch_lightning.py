"""PyTorch Lightning, the fine-tuning example: a sigmoid before the binary cross-entropy with logits.

Repository: Lightning-AI/pytorch-lightning
Thread: https://github.com/Lightning-AI/pytorch-lightning/pull/7096
Wrong: TransferLearningModel.forward ends in torch.sigmoid, and its loss, F.binary_cross_entropy_with_logits,
    takes a sigmoid once more: no example gets a probability below 0.5, or above 0.73.
Mended: forward returns logits, the sigmoid is taken where scores are needed.
Expected: S01
"""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

FIXED = "--fixed" in sys.argv


class TransferLearningModel(nn.Module):
    """A frozen feature extractor and a new head with one output."""

    def __init__(self, lr: float = 0.02) -> None:
        super().__init__()
        self.feature_extractor = nn.Sequential(
            nn.Conv2d(1, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
        )
        for param in self.feature_extractor.parameters():
            param.requires_grad = False
        self.fc = nn.Sequential(
            nn.Linear(24 * 16, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1)
        )
        self.loss_func = F.binary_cross_entropy_with_logits
        self.lr = lr

    def forward(self, x: Tensor) -> Tensor:
        """One number an image."""
        x = self.fc(self.feature_extractor(x))
        return x if FIXED else torch.sigmoid(x)

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Loss of a batch."""
        x, y = batch
        return self.loss_func(self(x), y.view(-1, 1).float())

    def predict_step(self, x: Tensor) -> Tensor:
        """Whether each image is of the class."""
        scores = torch.sigmoid(self(x)) if FIXED else self(x)
        return scores.view(-1) > 0.5


torch.manual_seed(0)
images, digits = load_digits(return_X_y=True)
order = torch.randperm(len(digits))
x = torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8)[order] / 8 - 0.6
y = torch.tensor(digits)[order] == 8
train_set, x_val, y_val = TensorDataset(x[:1200], y[:1200]), x[1200:], y[1200:]
model = TransferLearningModel()
optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=model.lr, momentum=0.9)
for epoch in range(10):
    model.train()
    total = 0.0
    for batch in DataLoader(train_set, 32, shuffle=True):
        optimizer.zero_grad()
        loss = model.training_step(batch)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(batch[1])
    model.eval()
    with torch.no_grad():
        val_loss = model.training_step((x_val, y_val))
    print(f"epoch {epoch} train_loss {total / 1200:.4f} val_loss {val_loss:.4f}")
with torch.no_grad():
    found = model.predict_step(x_val)
print(f"validation accuracy {(found == y_val).float().mean():.3f}")
print(f"balanced accuracy {(found[y_val].float().mean() + (~found[~y_val]).float().mean()) / 2:.3f}")
