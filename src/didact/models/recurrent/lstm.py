"""Long short-term memory (Hochreiter and Schmidhuber, 1997).

https://doi.org/10.1162/neco.1997.9.8.1735

In a simple recurrent network a signal is multiplied by the same matrix at each step, so it fades or blows up.
An LSTM carries a second state, the cell, that is only ever scaled by a gate and added to. While the forget
gate is 1 and the input gate 0 the cell does not change, nor does a gradient on its way back along it.

    tokens (B, T) --embedding--> (B, T, E) --recurrent--> (B, T, M) --dropout, head--> logits (B, T, V)

    c(t-1) ----- * f ----- + i*g -----> c(t)      the cell, a conveyor belt: f keeps, i lets g in
    h(t-1), x(t) --> i, f, o, g                   three gates in (0, 1) and a candidate in (-1, 1)
                        o * tanh(c(t)) --> h(t)   the hidden state: what is shown of the cell

Differs from the paper: with the forget gate of Gers et al. (2000), whose bias starts at 1 so that a new
network remembers (Jozefowicz et al., 2015); gradients are not cut at the gates; a linear output for softmax;
two biases a gate, as torch.nn.LSTM keeps them, where the notes have one.
See also: nn/recurrent.py, one step as its equations; models/recurrent/elman.py; ``didact train lstm``.
"""

# B batch, T time, V vocabulary, E embedding, M hidden, L layers

from torch import Tensor, nn

from didact.errors import UsageError

State = tuple[Tensor, Tensor]  # hidden state and cell, each (L, B, M)


class LSTM(nn.Module):
    """Predict the next token: c(t) = f * c(t-1) + i * g, h(t) = o * tanh(c(t)), logits(t) = V^T h(t) + c.

    Args:
        vocab_size: V, number of tokens.
        embedding_dim: E, numbers a token is embedded in.
        hidden_dim: M, numbers in the hidden state, and in the cell.
        num_layers: L, recurrent layers; each reads the hidden states of the one below.
        dropout: Probability of dropping a number between layers and before the head, 0 <= dropout < 1.

    Input: tokens (B, T) int64, T >= 1. Output: logits (B, T, V); those at t predict token t + 1.
    Parameters: V E + [4 M (E + M + 2)] + (L - 1) [4 M (2 M + 2)] + V (M + 1).

    Example:
        >>> import torch
        >>> LSTM(vocab_size=50)(torch.zeros(2, 7, dtype=torch.long)).shape
        torch.Size([2, 7, 50])
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int = 64,
        hidden_dim: int = 256,
        num_layers: int = 1,
        dropout: float = 0.0,
    ):
        super().__init__()
        for name, value, example in (
            ("vocab_size", vocab_size, 100),
            ("embedding_dim", embedding_dim, 64),
            ("hidden_dim", hidden_dim, 256),
            ("num_layers", num_layers, 1),
        ):
            if value < 1:
                raise UsageError(f"{name}={value}: must be 1 or more, try {example}")
        if not 0 <= dropout < 1:
            raise UsageError(f"dropout={dropout}: must be 0 or more and less than 1, try 0.2")
        self.vocab_size = vocab_size
        self.embedding_dim = embedding_dim
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.dropout = dropout
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.recurrent = nn.LSTM(
            embedding_dim,
            hidden_dim,
            num_layers,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,
        )
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_dim, vocab_size)
        _open_forget_gates(self.recurrent)

    def forward(self, tokens: Tensor, state: State | None = None) -> Tensor:
        """Logits (B, T, V) of the token after each one."""
        return self.forward_with_state(tokens, state)[0]

    def forward_with_state(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """The logits, and the state (h, c) to go on from; ``state=None`` starts from zeros."""
        if tokens.dim() != 2 or tokens.shape[1] == 0:
            raise UsageError(f"tokens of shape {tuple(tokens.shape)}: give (batch, time), time 1 or more")
        hidden, state = self.recurrent(self.embedding(tokens), state)  # (B, T) -> (B, T, E) -> (B, T, M)
        return self.head(self.drop(hidden)), state


def _open_forget_gates(recurrent: nn.LSTM) -> None:
    """Set the forget gate's bias to 1. torch stacks the gates i, f, g, o and adds two biases: 1 + 0."""
    forget = slice(recurrent.hidden_size, 2 * recurrent.hidden_size)
    for name, parameter in recurrent.named_parameters():
        if name.startswith("bias"):
            nn.init.constant_(parameter[forget], 1.0 if name.startswith("bias_ih") else 0.0)
