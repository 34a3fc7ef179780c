"""How much of the classes a straight line can read off features: a linear probe that needs no training.

The probe is a ridge regression on one-hot targets, with a free constant. What it would answer for an example
that is left out is known without fitting again: y - (y - y_hat) / (1 - h), h the diagonal of 1/N +
X (X'X + lambda)^-1 X'. So all examples serve for fitting and all for testing, and none for both at once.
"""

# N examples, F features, K classes

import torch
from torch import Tensor
from torch.nn import functional as F

from didact.errors import UsageError

RIDGE = 0.1


def left_out_accuracy(features: Tensor, labels: Tensor, ridge: float = RIDGE) -> float:
    """Share of examples that a linear head gets right which was fitted to all the others.

    Args:
        features: (N, ...), F numbers an example; each is brought to mean 0 and deviation 1.
        labels: (N,), classes from 0.
        ridge: lambda for each feature: the larger, the smaller the weights.

    Example:
        >>> left_out_accuracy(torch.tensor([[0.0], [0.1], [1.0], [1.1]]), torch.tensor([0, 0, 1, 1]))
        1.0

    Raises:
        UsageError: Fewer than two examples.
    """
    if len(labels) < 2:
        raise UsageError(f"{len(labels)} examples: one is left out and others are fitted, give 2 or more")
    inputs = features.flatten(1).double()
    scale = inputs.std(0)
    inputs = (inputs - inputs.mean(0)) / scale.where(scale > 0, 1.0)
    likeness = inputs @ inputs.T / inputs.shape[1]  # (N, N), of trace about N
    pull = ridge * torch.eye(len(likeness), dtype=torch.double, device=likeness.device)
    hat = torch.linalg.solve(likeness + pull, likeness) + 1 / len(likeness)  # the constant is fitted too
    targets = F.one_hot(labels).double()
    answers = targets - (targets - hat @ targets) / (1 - hat.diagonal()[:, None])
    return (answers.argmax(1) == labels).double().mean().item()
