"""Simple recurrent network (Elman, 1990).

https://doi.org/10.1207/s15516709cog1402_1

Time is not another input but a memory: the hidden state of one step is an input of the next. The weights are
the same at every step, so a network of fixed size reads a text of any length. Elman had it predict the next
letter; its error was high where a word began and fell along the word: it had found the words by itself.

    tokens (B, T) --embedding--> (B, T, E) --recurrent--> (B, T, M) --dropout, head--> logits (B, T, V)

    h(0) -> [h(1)] -> [h(2)] -> ... -> [h(T)]     one arrow, one matrix W; its power t decides whether
              ^         ^                 ^       a gradient vanishes or explodes on the way back
             x(1)      x(2)              x(T)

Differs from the paper: tokens are learned vectors, not 5-bit codes; the gradient runs back through the whole
window, not one step; several layers, with dropout, are possible; the output is linear for softmax; the sum of
input and memory has two biases, as torch.nn.RNN keeps them, where one would do.
See also: nn/recurrent.py, one step as its equation; models/recurrent/lstm.py; ``didact train elman``.
"""

# B batch, T time, V vocabulary, E embedding, M hidden, L layers

from torch import Tensor, nn

from didact.errors import UsageError


class Elman(nn.Module):
    """Predict the next token: h(t) = tanh(U^T x(t) + W^T h(t-1) + b), logits(t) = V^T h(t) + c.

    Args:
        vocab_size: V, number of tokens.
        embedding_dim: E, numbers a token is embedded in.
        hidden_dim: M, numbers in the hidden state.
        num_layers: L, recurrent layers; each reads the hidden states of the one below.
        dropout: Probability of dropping a number between layers and before the head, 0 <= dropout < 1.
        activation: ``tanh`` or ``relu`` of the hidden state.

    Input: tokens (B, T) int64, T >= 1. Output: logits (B, T, V); those at t predict token t + 1.
    Parameters: V E + [M (E + M + 2)] + (L - 1) [M (2 M + 2)] + V (M + 1).

    Example:
        >>> import torch
        >>> Elman(vocab_size=50)(torch.zeros(2, 7, dtype=torch.long)).shape
        torch.Size([2, 7, 50])
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int = 64,
        hidden_dim: int = 256,
        num_layers: int = 1,
        dropout: float = 0.0,
        activation: str = "tanh",
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
        if activation not in ("tanh", "relu"):
            raise UsageError(f"activation={activation!r}: a recurrent layer has tanh or relu")
        self.vocab_size = vocab_size
        self.embedding_dim = embedding_dim
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.dropout = dropout
        self.activation = activation
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.recurrent = nn.RNN(
            embedding_dim,
            hidden_dim,
            num_layers,
            nonlinearity=activation,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,
        )
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_dim, vocab_size)

    def forward(self, tokens: Tensor, state: Tensor | None = None) -> Tensor:
        """Logits (B, T, V) of the token after each one."""
        return self.forward_with_state(tokens, state)[0]

    def forward_with_state(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The logits, and the hidden state (L, B, M) to go on from; ``state=None`` starts from zeros."""
        if tokens.dim() != 2 or tokens.shape[1] == 0:
            raise UsageError(f"tokens of shape {tuple(tokens.shape)}: give (batch, time), time 1 or more")
        hidden, state = self.recurrent(self.embedding(tokens), state)  # (B, T) -> (B, T, E) -> (B, T, M)
        return self.head(self.drop(hidden)), state
