"""Multilayer perceptron (Rumelhart, Hinton and Williams, 1986).

https://doi.org/10.1038/323533a0

Linear layers alone collapse into one linear layer. With an activation function between them they do not, and
backpropagation finds the weights of the layers in between, the hidden ones. The forms in the notes are
stacks of it, told apart by their number of widths and by their activations:

    W2 max(0, W1 x)                                      "relu"
    W3 max(0, W2 max(0, W1 x))                           "relu"
    W4 tanh(W3 max(0, W2 max(0, W1 x)))                  ("relu", "relu", "tanh")
    W5 sigmoid(W4 max(0, W3 max(0, W2 max(0, W1 x))))    ("relu", "relu", "relu", "sigmoid")

    x (B, ...) --flatten--> (B, F) --[linear, activation, dropout] for each width--> (B, w) --head--> (B, O)

Differs from the paper: any activation and not just the sigmoid; a linear output, since softmax and the loss
live in the task; optional dropout (Srivastava et al., 2014).
See also: models/linear/softmax_regression.py, the case widths=(); ``didact train mlp``.
"""

# B batch, F input features, O output features, w width of a hidden layer

from collections import OrderedDict
from math import prod

from torch import Tensor, nn

from didact.errors import UsageError
from didact.nn.activation import make_activation


class MLP(nn.Module):
    """Hidden layers h_k = activation_k(W_k h_{k-1} + b_k) with h_0 = x, then the linear head.

    Args:
        in_features: F, numbers in one example.
        out_features: O, numbers to predict: a logit a class, or the values of a regression.
        widths: Neurons of each hidden layer, first to last; ``()`` leaves a linear model.
        activation: A name of ``didact.nn.activation`` for every hidden layer, or one name for each.
        dropout: Probability that a hidden neuron is dropped in training, 0 <= dropout < 1.

    Input: (B, ...) with F numbers an example, in any shape. Output: (B, O).
    Parameters: sum over the layers of neurons * (inputs + 1).

    Example:
        >>> model = MLP(in_features=3, out_features=2, widths=(4,))
        >>> sum(p.numel() for p in model.parameters())
        26
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        widths: tuple[int, ...] = (64,),
        activation: str | tuple[str, ...] = "relu",
        dropout: float = 0.0,
    ):
        super().__init__()
        _check(in_features, out_features, widths, activation, dropout)
        self.in_features = in_features
        self.out_features = out_features
        self.widths = widths
        self.activation = activation
        self.dropout = dropout

        names = [activation] * len(widths) if isinstance(activation, str) else activation
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        width_before = in_features
        for k, (width, name) in enumerate(zip(widths, names, strict=True), start=1):
            layers[f"linear{k}"] = nn.Linear(width_before, width)
            layers[f"act{k}"] = make_activation(name)
            if dropout > 0:
                layers[f"drop{k}"] = nn.Dropout(dropout)
            width_before = width
        self.hidden = nn.Sequential(layers)
        self.head = nn.Linear(width_before, out_features)

    def forward(self, x: Tensor) -> Tensor:
        """Flatten, run the hidden layers, predict."""
        if prod(x.shape[1:]) != self.in_features:
            raise UsageError(
                f"input of shape {tuple(x.shape)} has {prod(x.shape[1:])} numbers an example; "
                f"this model was built with in_features={self.in_features}"
            )
        return self.head(self.hidden(x.reshape(len(x), self.in_features)))


def _check(
    in_features: int,
    out_features: int,
    widths: tuple[int, ...],
    activation: str | tuple[str, ...],
    dropout: float,
) -> None:
    for name, value in (("in_features", in_features), ("out_features", out_features)):
        if value < 1:
            raise UsageError(f"{name}={value}: must be 1 or more, try 10")
    if any(width < 1 for width in widths):
        raise UsageError(f"widths={widths}: each hidden layer needs 1 neuron or more, try (64, 64)")
    if not isinstance(activation, str) and len(activation) != len(widths):
        raise UsageError(
            f"activation={activation}: {len(activation)} names for {len(widths)} hidden layers, "
            "give one name, or one for each layer"
        )
    if not 0 <= dropout < 1:
        raise UsageError(f"dropout={dropout}: must be 0 or more and less than 1, try 0.5")
