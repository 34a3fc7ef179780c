"""Which of three markers comes first in a sequence of any length, by a Transformer encoder.

positions left out: A06 A08
rate of plain descent: O01
"""

import math
import sys

import torch
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
LONGEST, PAD = 16, 0


def sample(n):
    lengths = torch.randint(8, LONGEST + 1, (n,))
    tokens = torch.randint(4, 20, (n, LONGEST))
    order = torch.rand(n, 3).argsort(1) + 1
    for i in range(n):
        places = torch.randperm(int(lengths[i]))[:3].sort().values
        tokens[i, places] = order[i]
    tokens[torch.arange(LONGEST) >= lengths[:, None]] = PAD
    return tokens, order[:, 0] - 1


class Classifier(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.token = nn.Embedding(20, width, padding_idx=PAD)
        self.place = nn.Embedding(LONGEST, width)
        layer = nn.TransformerEncoderLayer(width, 4, 64, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, 3)

    def forward(self, tokens):
        padding = tokens == PAD
        h = self.token(tokens) * math.sqrt(2)
        if FAULT != "positions left out":
            h = h + self.place(torch.arange(tokens.shape[1]))
        h = self.encoder(h, src_key_padding_mask=padding)
        h = h.masked_fill(padding[..., None], 0).sum(1) / (~padding).sum(1, keepdim=True)
        return self.head(h)


x, y = sample(3500)
train_x, train_y, valid_x, valid_y = x[:3000], y[:3000], x[3000:], y[3000:]
model = Classifier()
optimizer = torch.optim.AdamW(model.parameters(), lr=0.1 if FAULT == "rate of plain descent" else 3e-3)
for epoch in range(3):
    model.train()
    for rows in torch.randperm(len(train_x)).split(64):
        loss = nn.functional.cross_entropy(model(train_x[rows]), train_y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        logits = model(valid_x)
    print(
        f"{epoch} train {loss.item()} valid {nn.functional.cross_entropy(logits, valid_y).item()}",
        f"right {(logits.argmax(1) == valid_y).double().mean().item()}",
    )

test_x, test_y = sample(600)
with torch.no_grad():
    print("score", (model(test_x).argmax(1) == test_y).double().mean().item())
