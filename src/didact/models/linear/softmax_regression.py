"""Softmax regression, the linear classifier (Cox, 1958).

https://doi.org/10.1111/j.2517-6161.1958.tb00292.x

One score a class, each a weighted sum of the inputs. Softmax turns the scores into probabilities that sum to
one, so the loss can ask for the logarithm of the right one. It can only cut the input space with straight
lines, which is why it is the baseline: a network that does not beat it has learned nothing that needed depth.

    x (B, ...) --flatten--> (B, F) --linear: W x + b--> logits (B, K)     softmax and its loss: not in here
                                       W (K, F), row k is the template of class k

Differs from the paper: any number of classes (Cox has two), and fitted by gradient steps.
See also: models/linear/mlp.py, the same with hidden layers; ``didact train softmax-regression``.
"""

# B batch, F features, K classes

from math import prod

from torch import Tensor, nn

from didact.errors import UsageError


class SoftmaxRegression(nn.Module):
    """One linear layer: logits = W x + b, P(class k | x) = exp(logit_k) / sum_j exp(logit_j).

    Args:
        in_features: F, numbers in one example.
        num_classes: K.

    Input: (B, ...) with F numbers an example, in any shape. Output: logits (B, K). Parameters: K (F + 1).

    Example:
        >>> import torch
        >>> SoftmaxRegression(in_features=64, num_classes=10)(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 10])
    """

    def __init__(self, in_features: int, num_classes: int):
        super().__init__()
        for name, value in (("in_features", in_features), ("num_classes", num_classes)):
            if value < 1:
                raise UsageError(f"{name}={value}: must be 1 or more, try 10")
        self.in_features = in_features
        self.num_classes = num_classes
        self.linear = nn.Linear(in_features, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Score every class."""
        if prod(x.shape[1:]) != self.in_features:
            raise UsageError(
                f"input of shape {tuple(x.shape)} has {prod(x.shape[1:])} numbers an example; "
                f"this model was built with in_features={self.in_features}"
            )
        return self.linear(x.reshape(len(x), self.in_features))
