"""Lightning Bolts, LogisticRegression: a softmax before the cross-entropy.

Repository: Lightning-Universe/lightning-bolts
Thread: https://github.com/Lightning-Universe/lightning-bolts/issues/654
Wrong: forward returns softmax probabilities and training_step gives them to F.cross_entropy, which takes a
    softmax once more: the loss cannot fall below log(e + C - 1) - 1 and its gradients are small.
Mended: training_step gives self.linear(x) to the loss (pull request 655).
Expected: S02
"""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import make_blobs
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

FIXED = "--fixed" in sys.argv


class LogisticRegression(nn.Module):
    """Logistic regression with a penalty."""

    def __init__(
        self, input_dim: int, num_classes: int, learning_rate: float, l2_strength: float = 0.0
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(input_dim, num_classes)
        self.learning_rate, self.l2_strength = learning_rate, l2_strength

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities of the classes."""
        return F.softmax(self.linear(x), dim=-1)

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Loss of a batch."""
        x, y = batch
        x = x.view(x.size(0), -1)
        y_hat = self.linear(x) if FIXED else self(x)
        loss = F.cross_entropy(y_hat, y)
        if self.l2_strength > 0:
            loss = loss + self.l2_strength * sum(p.pow(2).sum() for p in self.parameters())
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Which rows are right."""
        x, y = batch
        return self(x).argmax(1) == y

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Plain gradient descent."""
        return torch.optim.SGD(self.parameters(), lr=self.learning_rate)


def fit(model: LogisticRegression, train: DataLoader, val: DataLoader, max_epochs: int) -> float:
    """What the trainer does with the steps; the last validation accuracy."""
    optimizer, accuracy = model.configure_optimizers(), 0.0
    for epoch in range(max_epochs):
        total = 0.0
        for batch in train:
            optimizer.zero_grad()
            loss = model.training_step(batch)
            loss.backward()
            optimizer.step()
            total += loss.item()
        with torch.no_grad():
            accuracy = float(torch.cat([model.validation_step(batch) for batch in val]).float().mean())
        print(f"epoch {epoch} train_ce_loss {total / len(train):.4f} val_acc {accuracy:.4f}")
    return accuracy


torch.manual_seed(0)
points, labels = make_blobs(
    3000, n_features=10, centers=20, center_box=(-1, 1), cluster_std=0.45, random_state=0
)
data = TensorDataset(torch.tensor(points, dtype=torch.float32), torch.tensor(labels))
train_set, val_set = torch.utils.data.random_split(data, [2400, 600])
model = LogisticRegression(10, 20, learning_rate=1.0)
accuracy = fit(model, DataLoader(train_set, 64, shuffle=True), DataLoader(val_set, 200), max_epochs=14)
print(f"validation accuracy {accuracy:.3f}")
