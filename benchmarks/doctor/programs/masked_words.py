"""Fill the blanked words of patterned sentences: a small BERT.

blanks not written in: L03
weights drawn with unit spread: I03
"""

import sys

import torch
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
WORDS, LENGTH, BLANK = 24, 8, 24
SPREAD = 1.0 if FAULT == "weights drawn with unit spread" else 0.05
pairs = torch.randperm(WORDS)


def sentences(n):
    """Each word of the second half is the partner of the one that stands four places before it."""
    half = torch.randint(WORDS, (n, LENGTH // 2))
    return torch.cat([half, pairs[half]], 1)


class Bert(nn.Module):
    def __init__(self, width=40):
        super().__init__()
        self.word, self.place = nn.Embedding(WORDS + 1, width), nn.Embedding(LENGTH, width)
        layer = nn.TransformerEncoderLayer(width, 2, 80, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(width), enable_nested_tensor=False)
        self.out = nn.Linear(width, WORDS)
        for weight in self.parameters():
            if weight.dim() > 1:
                nn.init.normal_(weight, std=SPREAD)

    def forward(self, x):
        return self.out(self.layers(self.word(x) + self.place.weight))


def blank(words, blanks_in):
    """One word in each half's column pair at most, so that the partner is always there."""
    column = torch.rand(len(words), LENGTH // 2).argsort(1)[:, :2]
    side = torch.randint(2, column.shape) * (LENGTH // 2)
    chosen = torch.zeros(words.shape, dtype=torch.bool).scatter_(1, column + side, True)
    return (words.masked_fill(chosen, BLANK) if blanks_in else words), chosen


bert = Bert()
optimizer = torch.optim.Adam(bert.parameters(), lr=3e-3)
warm = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, (step + 1) / 40))
for step in range(240):
    words = sentences(64)
    seen, chosen = blank(words, FAULT != "blanks not written in")
    loss = nn.functional.cross_entropy(bert(seen)[chosen], words[chosen])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    warm.step()
    if step % 20 == 0:
        print(f"step {step} masked loss {loss.item()}")

bert.eval()
words = sentences(500)
seen, chosen = blank(words, True)
with torch.no_grad():
    print("score", (bert(seen)[chosen].argmax(-1) == words[chosen]).float().mean().item())
