"""Metrics, each a few lines of tensor arithmetic, tested against scikit-learn and SciPy."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def top_k_accuracy(logits: Tensor, labels: Tensor, k: int = 1) -> float:
    """Share of rows whose label is among the k highest scores; logits (N, C), labels (N,).

    Raises:
        ValueError: ``k`` is not between 1 and C.
    """
    if not 1 <= k <= logits.shape[1]:
        raise ValueError(f"k={k}: choose from 1 to the number of classes, {logits.shape[1]}")
    return (logits.topk(k, dim=1).indices == labels[:, None]).any(1).double().mean().item()


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of rows whose highest score is the label's: top-1."""
    return top_k_accuracy(logits, labels, 1)


def top_k_error(logits: Tensor, labels: Tensor, k: int = 5) -> float:
    """Share of rows whose label is not among the k highest scores: 1 - ``top_k_accuracy``."""
    return 1 - top_k_accuracy(logits, labels, k)


def confusion_matrix(predicted: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Counts (C, C): row = true class, column = predicted class."""
    return torch.bincount(labels * num_classes + predicted, minlength=num_classes**2).view(
        num_classes, num_classes
    )


def macro_f1(matrix: Tensor) -> float:
    """Mean F1, 2 hits / (labels + predictions), over the classes that occur, from a confusion matrix."""
    seen = matrix.sum(0) + matrix.sum(1)
    return (2 * matrix.diagonal()[seen > 0].double() / seen[seen > 0]).mean().item()


def balanced_accuracy(matrix: Tensor) -> float:
    """Mean recall, hits / labels, over the classes that occur among the labels, from a confusion matrix."""
    labels = matrix.sum(1)
    return (matrix.diagonal()[labels > 0].double() / labels[labels > 0]).mean().item()


def mean_squared_error(predicted: Tensor, targets: Tensor) -> float:
    """Mean of the squared differences."""
    return (predicted.double() - targets.double()).square().mean().item()


def mean_absolute_error(predicted: Tensor, targets: Tensor) -> float:
    """Mean of the absolute differences."""
    return (predicted.double() - targets.double()).abs().mean().item()


def r_squared(predicted: Tensor, targets: Tensor) -> float:
    """1 - residual variance / variance of the targets; 0 is as good as always answering the mean.

    Where all targets are equal there is nothing to explain: 1 for a perfect answer, 0 for any other.
    """
    targets = targets.double()
    residue = (predicted.double() - targets).square().sum().item()
    spread = (targets - targets.mean()).square().sum().item()
    return 1 - residue / spread if spread else float(residue == 0)


def bits(nats: float) -> float:
    """Cross-entropy in bits per token: what an ideal coder would need."""
    return nats / math.log(2)


def token_nll(logits: Tensor, tokens: Tensor) -> Tensor:
    """Negative log-likelihood of each token in nats: logits (B, T, V), tokens (B, T) -> (B, T)."""
    return F.cross_entropy(logits.flatten(0, 1), tokens.flatten(), reduction="none").view(tokens.shape)


def wasserstein(samples: Tensor, targets: Tensor) -> float:
    """Earth mover's distance between two sets of numbers, of any sizes: the area between their CDFs."""
    a, b = (values.double().flatten().sort().values for values in (samples, targets))
    steps = torch.cat([a, b]).sort().values
    below = [torch.searchsorted(v, steps[:-1], right=True).double() / len(v) for v in (a, b)]
    return ((below[0] - below[1]).abs() * steps.diff()).sum().item()
