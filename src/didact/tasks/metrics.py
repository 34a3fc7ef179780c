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


def confusion_matrix(predicted: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Counts (C, C): row = true class, column = predicted class."""
    return torch.bincount(labels * num_classes + predicted, minlength=num_classes**2).view(
        num_classes, num_classes
    )


def precision_recall_f1(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Per class, (C,) each, from a confusion matrix; 0 where there is nothing to divide by."""
    hits = matrix.diagonal().double()
    precision = hits / matrix.sum(0).clamp(min=1)
    recall = hits / matrix.sum(1).clamp(min=1)
    f1 = 2 * precision * recall / (precision + recall).clamp(min=1e-12)
    return precision, recall, f1


def macro_f1(predicted: Tensor, labels: Tensor, num_classes: int) -> float:
    """Mean F1 over the classes that occur, among labels or predictions."""
    matrix = confusion_matrix(predicted, labels, num_classes)
    f1 = precision_recall_f1(matrix)[2]
    occurs = (matrix.sum(0) + matrix.sum(1)) > 0
    return f1[occurs].mean().item()


def balanced_accuracy(predicted: Tensor, labels: Tensor, num_classes: int) -> float:
    """Mean recall over the classes that occur among the labels."""
    matrix = confusion_matrix(predicted, labels, num_classes)
    return precision_recall_f1(matrix)[1][matrix.sum(1) > 0].mean().item()


def mean_squared_error(predicted: Tensor, targets: Tensor) -> float:
    """Mean of the squared differences."""
    return (predicted.double() - targets.double()).square().mean().item()


def mean_absolute_error(predicted: Tensor, targets: Tensor) -> float:
    """Mean of the absolute differences."""
    return (predicted.double() - targets.double()).abs().mean().item()


def r_squared(predicted: Tensor, targets: Tensor) -> float:
    """1 - residual variance / variance of the targets; 0 is as good as always answering the mean."""
    targets = targets.double()
    spread = (targets - targets.mean()).square().sum()
    return 1 - ((predicted.double() - targets).square().sum() / spread.clamp(min=1e-300)).item()


def bits(nats: float) -> float:
    """Cross-entropy in bits per token: what an ideal coder would need."""
    return nats / math.log(2)


def token_nll(logits: Tensor, tokens: Tensor) -> Tensor:
    """Negative log-likelihood of each token in nats: logits (B, T, V), tokens (B, T) -> (B, T)."""
    return F.cross_entropy(logits.flatten(0, 1), tokens.flatten(), reduction="none").view(tokens.shape)


def wasserstein(samples: Tensor, targets: Tensor) -> float:
    """Earth mover's distance between two sets of numbers: the area between their sorted values.

    The longer set is read at the quantiles of the shorter, so sizes may differ.
    """
    count = min(samples.numel(), targets.numel())
    levels = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    a, b = (_quantiles(values.double().flatten(), levels) for values in (samples, targets))
    return (a - b).abs().mean().item()


def _quantiles(values: Tensor, levels: Tensor) -> Tensor:
    return values.sort().values[(levels * values.numel()).long()]
