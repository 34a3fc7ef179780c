"""WeKws, the executor: gradients are never set to zero.

Repository: wenet-e2e/wekws
Thread: https://github.com/wenet-e2e/wekws/issues/72
Wrong: Executor.train calls backward, clips and steps, and never calls optimizer.zero_grad(): each step is
    taken with the sum of every gradient since the first batch.
Mended: optimizer.zero_grad() before loss.backward() (pull request 73).
Expected: O05
"""

import sys

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader, TensorDataset

FIXED = "--fixed" in sys.argv
WORDS, CEPS, FRAMES = 12, 16, 24


class KWSModel(nn.Module):
    """A linear layer, dilated convolutions in time, the mean of the frames, a classifier."""

    def __init__(self, hidden_dim: int = 32) -> None:
        super().__init__()
        self.preprocessing = nn.Sequential(nn.Linear(CEPS, hidden_dim), nn.ReLU())
        self.backbone = nn.Sequential(
            nn.Conv1d(hidden_dim, hidden_dim, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(hidden_dim, hidden_dim, 3, padding=2, dilation=2),
            nn.ReLU(),
            nn.Conv1d(hidden_dim, hidden_dim, 3, padding=4, dilation=4),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(hidden_dim, WORDS)

    def forward(self, feats: Tensor) -> Tensor:
        """Scores of the words."""
        return self.classifier(self.backbone(self.preprocessing(feats).transpose(1, 2)).mean(2))


class Executor:
    """One epoch of training, and cross validation."""

    def train(self, model: nn.Module, optimizer: torch.optim.Optimizer, data_loader: DataLoader) -> float:
        """Train one epoch; its mean loss."""
        model.train()
        total = 0.0
        for feats, target in data_loader:
            loss = nn.functional.cross_entropy(model(feats), target)
            if FIXED:
                optimizer.zero_grad()
            loss.backward()
            grad_norm = clip_grad_norm_(model.parameters(), 5)
            if torch.isfinite(grad_norm):
                optimizer.step()
            total += loss.item()
        return total / len(data_loader)

    def cv(self, model: nn.Module, data_loader: DataLoader) -> tuple[float, float]:
        """Loss and accuracy of the validation set."""
        model.eval()
        with torch.no_grad():
            pairs = [(model(feats), target) for feats, target in data_loader]
        logits, target = (torch.cat(column) for column in zip(*pairs, strict=True))
        acc = float((logits.argmax(1) == target).float().mean())
        return nn.functional.cross_entropy(logits, target).item(), acc


def utterances(n: int, words: Tensor) -> TensorDataset:
    """A word's contour, at its own loudness, in noise."""
    target = torch.randint(0, WORDS, (n,))
    loudness = 0.5 + torch.rand(n, 1, 1)
    return TensorDataset(loudness * words[target] + 2.0 * torch.randn(n, FRAMES, CEPS), target)


torch.manual_seed(0)
words = torch.randn(WORDS, FRAMES, CEPS).cumsum(1) / 4
train_data = DataLoader(utterances(2560, words), 32, shuffle=True)
cv_data = DataLoader(utterances(512, words), 128)
model, executor = KWSModel(), Executor()
optimizer = torch.optim.Adam(model.parameters(), lr=4e-3, weight_decay=5e-5)
accuracy = 0.0
for epoch in range(6):
    train_loss = executor.train(model, optimizer, train_data)
    cv_loss, accuracy = executor.cv(model, cv_data)
    print(f"Epoch {epoch} TRAIN loss {train_loss:.4f} CV loss {cv_loss:.4f} acc {accuracy:.4f}")
print(f"validation accuracy {accuracy:.3f}")
