"""FARM, the regression head: predictions and labels of different shapes.

Repository: deepset-ai/FARM
Thread: https://github.com/deepset-ai/FARM/issues/229
Wrong: logits_to_loss squeezes the predictions to (B,) while the labels are (B, 1): the squared error is
    a (B, B) table of every prediction against every label, least when all predictions are the mean.
Mended: no squeeze (pull request 230).
Expected: S05
"""

import sys

import torch
from sklearn.datasets import make_friedman1
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

FIXED = "--fixed" in sys.argv


class RegressionHead(nn.Module):
    """A feed-forward block and a loss for each sample."""

    def __init__(self, layer_dims: tuple[int, int]) -> None:
        super().__init__()
        self.feed_forward = nn.Linear(*layer_dims)
        self.loss_fct = nn.MSELoss(reduction="none")

    def forward(self, x: Tensor) -> Tensor:
        """Predict, (B, 1)."""
        return self.feed_forward(x)

    def logits_to_loss(self, logits: Tensor, label_ids: Tensor) -> Tensor:
        """Squared errors."""
        if FIXED:
            return self.loss_fct(logits, label_ids.float())
        return self.loss_fct(logits.squeeze(), label_ids.float())


class AdaptiveModel(nn.Module):
    """A language model and the head on it; here the language model is a small network."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.language_model = nn.Sequential(
            nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()
        )
        self.prediction_head = RegressionHead((hidden, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Predict from the features."""
        return self.prediction_head(self.language_model(x))

    def logits_to_loss(self, logits: Tensor, label_ids: Tensor) -> Tensor:
        """One number for a batch."""
        return self.prediction_head.logits_to_loss(logits, label_ids).mean()


torch.manual_seed(0)
features, values = make_friedman1(1600, n_features=8, noise=1.0, random_state=0)
x, y = torch.tensor(features, dtype=torch.float32), torch.tensor(values, dtype=torch.float32).view(-1, 1)
x, y = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()
train_data, x_dev, y_dev = TensorDataset(x[:1200], y[:1200]), x[1200:], y[1200:]
model = AdaptiveModel(8, 48)
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
r2 = 0.0
for epoch in range(12):
    model.train()
    total = 0.0
    for batch, labels in DataLoader(train_data, 32, shuffle=True):
        optimizer.zero_grad()
        loss = model.logits_to_loss(model(batch), labels)
        loss.backward()
        optimizer.step()
        total += loss.item()
    model.eval()
    with torch.no_grad():
        preds = model(x_dev)
        dev_loss = model.logits_to_loss(preds, y_dev)
    r2 = 1 - float((preds - y_dev).pow(2).sum() / (y_dev - y_dev.mean()).pow(2).sum())
    print(f"Train epoch {epoch} (train loss: {total / 38:.4f}) dev loss: {dev_loss:.4f} r2: {r2:.4f}")
print(f"dev r2 {r2:.3f}")
