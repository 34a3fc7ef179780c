"""Texar-PyTorch, MergeLayer: its layers stand in a plain Python list.

Repository: asyml/texar-pytorch
Thread: https://github.com/asyml/texar-pytorch/issues/72
Wrong: MergeLayer keeps its parallel convolutions in a Python list, so parameters() does not name them and the
    optimizer never moves them; the network learns on top of random filters.
Mended: self._layers is an nn.ModuleList (pull request 74).
Expected: O06
"""

import sys
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

FIXED = "--fixed" in sys.argv


class MergeLayer(nn.Module):
    """Layers in parallel, their outputs concatenated."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self._layers: Any = nn.ModuleList() if FIXED else []
        for layer in layers:
            self._layers.append(layer)

    def forward(self, input: Tensor) -> Tensor:
        """Feed each layer and concatenate."""
        return torch.cat([layer(input) for layer in self._layers], dim=1)


class Conv1DNetwork(nn.Module):
    """Convolutions of several widths, the largest of each in time, dense layers."""

    def __init__(self, channels: int, filters: int, kernel_sizes: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.conv = MergeLayer(
            [
                nn.Sequential(nn.Conv1d(channels, filters, size), nn.ReLU(), nn.AdaptiveMaxPool1d(1))
                for size in kernel_sizes
            ]
        )
        self.dense = nn.Sequential(
            nn.Flatten(), nn.Linear(filters * len(kernel_sizes), 32), nn.ReLU(), nn.Linear(32, classes)
        )

    def forward(self, input: Tensor) -> Tensor:
        """Scores of the classes."""
        return self.dense(self.conv(input))


def sentences(n: int, motifs: Tensor, length: int = 20) -> TensorDataset:
    """Noise, with the motif of the class at a place of its own."""
    classes, channels, width = motifs.shape
    x, y = torch.randn(n, channels, length), torch.randint(0, classes, (n,))
    starts = torch.randint(0, length - width, (n,))
    for row, (label, start) in enumerate(zip(y.tolist(), starts.tolist(), strict=True)):
        x[row, :, start : start + width] += motifs[label]
    return TensorDataset(x, y)


torch.manual_seed(0)
motifs = 1.2 * torch.randn(6, 8, 4).sign()
train_set, test_set = sentences(1600, motifs), sentences(600, motifs)
model = Conv1DNetwork(8, filters=8, kernel_sizes=(3, 4, 5), classes=6)
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
loss_fn = nn.CrossEntropyLoss()
accuracy = 0.0
for epoch in range(8):
    model.train()
    for x, y in DataLoader(train_set, 32, shuffle=True):
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        accuracy = sum(float((model(x).argmax(1) == y).sum()) for x, y in DataLoader(test_set, 200)) / 600
    print(f"epoch {epoch} train loss {loss:.4f} accuracy {accuracy:.4f}")
print(f"test accuracy {accuracy:.3f}")
