"""Recurrent cells, written as their equations: one step of time, nothing fused.

These are the clear path. The architectures run ``torch.nn.RNN`` and ``torch.nn.LSTM``, which do the same
arithmetic in one kernel for a whole sequence; ``tests/nn/test_recurrent.py`` holds the two equal.

The letters are those of notes 004: a row of ``x`` is one example, so U^T x is written ``x @ U``. Each sum has
one bias here; torch.nn keeps two and adds them.
"""

# B batch, N width of the input, M width of the hidden state

from typing import NamedTuple

import torch
from torch import Tensor, nn

from didact.errors import UsageError
from didact.nn.activation import make_activation


class ElmanCell(nn.Module):
    """One step of the simple recurrent network (Elman 1990).

    h(t) = phi( U^T x(t) + W^T h(t-1) + b )

    The output layer, y(t) = sigma(V^T h(t) + c), is any layer that reads h; it is not part of the cell.

    Args:
        input_dim: N, numbers in x(t).
        hidden_dim: M, numbers in h(t).
        activation: phi, a name of ``didact.nn.activation``.

    Input: x (B, N), and h(t-1) (B, M) or None for zeros. Output: h(t) (B, M). Parameters: M (N + M + 1).

    Example:
        >>> cell = ElmanCell(input_dim=2, hidden_dim=3)
        >>> cell(torch.zeros(5, 2)).shape
        torch.Size([5, 3])
    """

    def __init__(self, input_dim: int, hidden_dim: int, activation: str = "tanh"):
        super().__init__()
        _check_sizes(input_dim, hidden_dim)
        self.input_dim = input_dim
        self.hidden_dim = hidden_dim
        self.activation = activation
        self.U = _weight(hidden_dim, input_dim, hidden_dim)
        self.W = _weight(hidden_dim, hidden_dim, hidden_dim)
        self.b = _weight(hidden_dim, hidden_dim)
        self.phi = make_activation(activation)

    def forward(self, x: Tensor, h: Tensor | None = None) -> Tensor:
        """Take one step."""
        _check_width("x", x, "input_dim", self.input_dim)
        h = x.new_zeros(len(x), self.hidden_dim) if h is None else h
        _check_width("h", h, "hidden_dim", self.hidden_dim)
        return self.phi(x @ self.U + h @ self.W + self.b)


class Gates(NamedTuple):
    """What an LSTM decides at one step, each (B, M). Gates lie in (0, 1): 0 lets nothing through, 1 all."""

    i: Tensor  # input gate: what to write
    f: Tensor  # forget gate: what to keep, 1 keeps
    o: Tensor  # output gate: what to show
    g: Tensor  # candidate in (-1, 1): what would be written (the notes also call it c~)


class LSTMCell(nn.Module):
    """One step of long short-term memory (Hochreiter and Schmidhuber 1997; forget gate by Gers et al. 2000).

    i = sigmoid( U_i^T x + W_i^T h(t-1) + b_i )       f and o likewise
    g = tanh( U_g^T x + W_g^T h(t-1) + b_g )
    c(t) = f * c(t-1) + i * g                         the cell: a sum, so dc(t)/dc(t-1) = diag(f) along it
    h(t) = o * tanh(c(t))

    Args:
        input_dim: N, numbers in x(t).
        hidden_dim: M, numbers in h(t) and in c(t).
        readout: ``tanh`` as above, or ``linear`` for h = o * c, as notes 002, section 6.2.1 print it.

    Input: x (B, N), and the state (h, c), each (B, M), or None for zeros. Output: the new state (h, c).
    Parameters: 4 M (N + M + 1).

    Example:
        >>> h, c = LSTMCell(input_dim=2, hidden_dim=3)(torch.zeros(5, 2))
        >>> h.shape, c.shape
        (torch.Size([5, 3]), torch.Size([5, 3]))
    """

    def __init__(self, input_dim: int, hidden_dim: int, readout: str = "tanh"):
        super().__init__()
        _check_sizes(input_dim, hidden_dim)
        if readout not in ("tanh", "linear"):
            raise UsageError(f"readout={readout!r}: unknown, choose tanh or linear")
        self.input_dim = input_dim
        self.hidden_dim = hidden_dim
        self.readout = readout
        self.U = nn.ParameterDict({gate: _weight(hidden_dim, input_dim, hidden_dim) for gate in "ifog"})
        self.W = nn.ParameterDict({gate: _weight(hidden_dim, hidden_dim, hidden_dim) for gate in "ifog"})
        self.b = nn.ParameterDict({gate: _weight(hidden_dim, hidden_dim) for gate in "ifog"})

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Take one step."""
        zeros = x.new_zeros(len(x), self.hidden_dim)
        h, c = state or (zeros, zeros)
        _check_width("c", c, "hidden_dim", self.hidden_dim)
        i, f, o, g = self.gates(x, h)
        c = f * c + i * g
        return o * (torch.tanh(c) if self.readout == "tanh" else c), c

    def gates(self, x: Tensor, h: Tensor) -> Gates:
        """The three gates and the candidate at this input and hidden state."""
        _check_width("x", x, "input_dim", self.input_dim)
        _check_width("h", h, "hidden_dim", self.hidden_dim)
        sums = {gate: x @ self.U[gate] + h @ self.W[gate] + self.b[gate] for gate in "ifog"}
        i, f, o = (torch.sigmoid(sums[gate]) for gate in "ifo")
        return Gates(i, f, o, torch.tanh(sums["g"]))


def _weight(hidden_dim: int, *shape: int) -> nn.Parameter:
    """Uniform in +-1/sqrt(M), as torch.nn starts its recurrent layers."""
    return nn.Parameter(torch.empty(shape).uniform_(-(hidden_dim**-0.5), hidden_dim**-0.5))


def _check_sizes(input_dim: int, hidden_dim: int) -> None:
    for name, value in (("input_dim", input_dim), ("hidden_dim", hidden_dim)):
        if value < 1:
            raise UsageError(f"{name}={value}: must be 1 or more, try 8")


def _check_width(name: str, tensor: Tensor, size: str, width: int) -> None:
    if tensor.dim() != 2 or tensor.shape[1] != width:
        raise UsageError(
            f"{name} of shape {tuple(tensor.shape)}: the cell was built with {size}={width}, "
            f"give (batch, {width})"
        )
