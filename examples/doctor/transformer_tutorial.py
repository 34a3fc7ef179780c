"""The PyTorch tutorial on language modelling with nn.TransformerEncoder: no causal mask.

Repository: pytorch/tutorials
Thread: https://github.com/pytorch/tutorials/issues/2478
Wrong: TransformerModel.forward takes src_mask=None and nobody passes one: each position attends to the next
    token, which is its own target. The perplexity is far too good, and the model cannot continue a text.
Mended: without a mask forward makes one, nn.Transformer.generate_square_subsequent_mask (pull request 2662).
Expected: A05
"""

import math
import sys

import torch
from torch import Tensor, nn

FIXED = "--fixed" in sys.argv
NTOKENS, BPTT = 16, 24


class TransformerModel(nn.Module):
    """Embeddings, learned positions, an encoder, a linear decoder."""

    def __init__(self, d_model: int = 32, nhead: int = 4, d_hid: int = 64, nlayers: int = 2) -> None:
        super().__init__()
        self.embedding, self.pos = nn.Embedding(NTOKENS, d_model), nn.Embedding(BPTT, d_model)
        layers = nn.TransformerEncoderLayer(d_model, nhead, d_hid, dropout=0.0)
        self.transformer_encoder = nn.TransformerEncoder(layers, nlayers, enable_nested_tensor=False)
        self.linear = nn.Linear(d_model, NTOKENS)

    def forward(self, src: Tensor, src_mask: Tensor | None = None) -> Tensor:
        """Score the next token at every position: (seq_len, batch) to (seq_len, batch, ntoken)."""
        if FIXED and src_mask is None:
            src_mask = nn.Transformer.generate_square_subsequent_mask(len(src))
        places = torch.arange(len(src)).unsqueeze(1)
        return self.linear(self.transformer_encoder(self.embedding(src) + self.pos(places), src_mask))


def text(length: int, rules: Tensor) -> Tensor:
    """A text in which a token depends on the one before it."""
    tokens = [0]
    for _ in range(length - 1):
        tokens.append(int(torch.multinomial(rules[tokens[-1]], 1)))
    return torch.tensor(tokens)


def batchify(data: Tensor, bsz: int) -> Tensor:
    """Cut the text into bsz columns."""
    seq_len = len(data) // bsz
    return data[: seq_len * bsz].view(bsz, seq_len).t().contiguous()


def get_batch(source: Tensor, i: int) -> tuple[Tensor, Tensor]:
    """A window, and the same window one token later."""
    return source[i : i + BPTT], source[i + 1 : i + 1 + BPTT].reshape(-1)


def evaluate(model: nn.Module, source: Tensor) -> tuple[float, float]:
    """Loss at every position, and at the last one alone, whose target is not among the inputs."""
    model.eval()
    everywhere, last = [], []
    with torch.no_grad():
        for i in range(0, len(source) - BPTT - 1, BPTT):
            data, targets = get_batch(source, i)
            output = model(data)
            everywhere.append(nn.functional.cross_entropy(output.view(-1, NTOKENS), targets))
            last.append(nn.functional.cross_entropy(output[-1], targets.view(BPTT, -1)[-1]))
    return float(torch.stack(everywhere).mean()), float(torch.stack(last).mean())


torch.manual_seed(0)
rules = torch.softmax(2 * torch.randn(NTOKENS, NTOKENS), 1)
train_data, val_data = batchify(text(24000, rules), 20), batchify(text(6000, rules), 10)
model = TransformerModel()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for epoch in range(4):
    model.train()
    for i in range(0, len(train_data) - BPTT - 1, BPTT):
        data, targets = get_batch(train_data, i)
        loss = nn.functional.cross_entropy(model(data).view(-1, NTOKENS), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    val_loss, _ = evaluate(model, val_data)
    print(f"| end of epoch {epoch} | valid loss {val_loss:5.2f} | valid ppl {math.exp(val_loss):8.2f}")
reported, true = evaluate(model, val_data)
print(f"validation perplexity {math.exp(reported):.2f}")
print(f"perplexity of the unseen token {math.exp(true):.2f}")
