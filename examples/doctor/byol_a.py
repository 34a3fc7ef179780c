"""BYOL-A, the linear evaluation: the validation features are not scaled.

Repository: nttcslab/byol-a
Thread: https://github.com/nttcslab/byol-a/issues/5
Wrong: the scaler fitted on the training features transforms the training and test features, and not X_val:
    validation loss and accuracy mean nothing, and early stopping follows them.
Mended: X_val = scaler.transform(X_val) (commit faab529).
Expected: P02
"""

import copy
import sys

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

FIXED = "--fixed" in sys.argv
Array = np.ndarray


class TorchMLPClassifier:
    """A classifier with early stopping on the validation loss."""

    def __init__(self, hidden_layer_size: int, max_iter: int, n_iter_no_change: int = 5) -> None:
        self.hidden_layer_size, self.max_iter, self.n_iter_no_change = (
            hidden_layer_size,
            max_iter,
            n_iter_no_change,
        )

    def fit(self, x: Array, y: Array, x_val: Array, y_val: Array) -> float:
        """Train, keep the weights of the least validation loss, return the validation accuracy."""
        hidden = self.hidden_layer_size
        self.model = nn.Sequential(
            nn.Linear(x.shape[1], hidden), nn.ReLU(), nn.Linear(hidden, int(y.max()) + 1)
        )
        optimizer, criterion = torch.optim.Adam(self.model.parameters(), lr=3e-3), nn.CrossEntropyLoss()
        data = TensorDataset(torch.tensor(x).float(), torch.tensor(y))
        best, best_acc, patience, kept = float("inf"), 0.0, 0, copy.deepcopy(self.model.state_dict())
        for epoch in range(self.max_iter):
            self.model.train()
            for batch, labels in DataLoader(data, 32, shuffle=True):
                optimizer.zero_grad()
                loss = criterion(self.model(batch), labels)
                loss.backward()
                optimizer.step()
            self.model.eval()
            with torch.no_grad():
                val_loss = criterion(self.model(torch.tensor(x_val).float()), torch.tensor(y_val)).item()
            val_acc = self.score(x_val, y_val)
            print(f"epoch {epoch} train loss {loss:.4f} val loss {val_loss:.4f} val acc {val_acc:.4f}")
            patience += 1
            if val_loss < best:
                best, best_acc, patience, kept = val_loss, val_acc, 0, copy.deepcopy(self.model.state_dict())
            if patience >= self.n_iter_no_change:
                break
        self.model.load_state_dict(kept)
        return best_acc

    def score(self, x: Array, y: Array) -> float:
        """Accuracy."""
        self.model.eval()
        with torch.no_grad():
            return float((self.model(torch.tensor(x).float()).argmax(1).numpy() == y).mean())


def one_linear_eval(
    x: Array, y: Array, x_val: Array, y_val: Array
) -> tuple[StandardScaler, TorchMLPClassifier]:
    """Scale, train."""
    scaler = StandardScaler().fit(x)
    x = scaler.transform(x)
    if FIXED:
        x_val = scaler.transform(x_val)
    clf = TorchMLPClassifier(hidden_layer_size=32, max_iter=16)
    print(f"validation accuracy {clf.fit(x, y, x_val, y_val):.3f}")
    return scaler, clf


torch.manual_seed(0)
images, labels = load_digits(return_X_y=True)
rng = np.random.default_rng(0)
embeddings = (images + rng.normal(0, 1, images.shape)) * rng.lognormal(-1, 1, 64) + rng.normal(0, 3, 64)
folds = [(embeddings[part], labels[part]) for part in np.split(rng.permutation(1797), [997, 1397])]
scaler, clf = one_linear_eval(*folds[0], *folds[1])
print(f"test accuracy {clf.score(scaler.transform(folds[2][0]), folds[2][1]):.3f}")
