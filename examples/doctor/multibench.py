"""MultiBench, supervised learning: the validation loop puts its model back in training mode.

Repository: pliang279/MultiBench
Thread: https://github.com/pliang279/MultiBench/issues/26
Wrong: model.eval() stands before the validation loop, and model.train() stands once more in it, so every
    validation accuracy, and the choice of the best weights, is measured under dropout.
Mended: the authors removed model.train() from validation.
Expected: E01
"""

import copy
import sys

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

FIXED = "--fixed" in sys.argv


class MLP(nn.Module):
    """Two layers with dropout."""

    def __init__(self, indim: int, hiddim: int, outdim: int) -> None:
        super().__init__()
        self.fc, self.fc2 = nn.Linear(indim, hiddim), nn.Linear(hiddim, outdim)
        self.dropout_layer = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Map a modality to its representation."""
        return self.fc2(self.dropout_layer(torch.relu(self.fc(x))))


class MMDL(nn.Module):
    """An encoder for each modality, their concatenation, a head."""

    def __init__(self, encoders: list[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.encoders, self.head = nn.ModuleList(encoders), head

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Fuse the modalities and classify them."""
        outs = [encoder(x) for encoder, x in zip(self.encoders, inputs, strict=True)]
        return self.head(torch.relu(torch.cat(outs, dim=1)))


def train(model: nn.Module, train_dataloader: DataLoader, valid_dataloader: DataLoader, epochs: int) -> float:
    """Train, keep the weights of the best validation accuracy, return that accuracy."""
    op = torch.optim.Adam(model.parameters(), lr=6e-3)
    objective = nn.CrossEntropyLoss()
    bestacc, best = 0.0, copy.deepcopy(model.state_dict())
    for epoch in range(epochs):
        model.train()
        for *inputs, y in train_dataloader:
            op.zero_grad()
            objective(model(inputs), y).backward()
            op.step()
        model.eval()
        with torch.no_grad():
            hits, totalloss = 0, 0.0
            for *inputs, y in valid_dataloader:
                if not FIXED:
                    model.train()
                out = model(inputs)
                totalloss += objective(out, y).item() * len(y)
                hits += int((out.argmax(1) == y).sum())
        acc = hits / len(valid_dataloader.dataset)  # type: ignore[arg-type]
        print(f"Epoch {epoch} valid loss: {totalloss / 400:.4f} acc: {acc:.4f}")
        if acc > bestacc:
            bestacc, best = acc, copy.deepcopy(model.state_dict())
    model.load_state_dict(best)
    return bestacc


torch.manual_seed(0)
images, labels = load_digits(return_X_y=True)
order = torch.randperm(len(labels))
x, y = torch.tensor(images, dtype=torch.float32)[order] / 16, torch.tensor(labels)[order]
parts = x.split([997, 400, 400]), y.split([997, 400, 400])
traindata, validdata, testdata = (TensorDataset(a[:, :32], a[:, 32:], b) for a, b in zip(*parts, strict=True))
model = MMDL([MLP(32, 32, 16), MLP(32, 32, 16)], MLP(32, 32, 10))
best = train(model, DataLoader(traindata, 32, shuffle=True), DataLoader(validdata, 100), epochs=30)
model.eval()
with torch.no_grad():
    *inputs, y = testdata.tensors
    accuracy = (model(inputs).argmax(1) == y).float().mean()
print(f"best validation accuracy {best:.3f}")
print(f"test accuracy {accuracy:.3f}")
