"""Number series that go on by a constant step modulo ten, continued by a tiny GPT.

no mask: A05 !
decayed every batch: O04
"""

import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
T, WIDTH = 12, 48


def series(n):
    first, step = torch.randint(10, (n, 1)), torch.randint(10, (n, 1))
    return (first + step * torch.arange(T + 1)) % 10


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.proj = nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x):
        q, k, v = (z.unflatten(-1, (4, -1)).transpose(1, 2) for z in self.qkv(self.norm1(x)).chunk(3, -1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=FAULT != "no mask")
        x = x + self.proj(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.token = nn.Embedding(10, WIDTH)
        self.place = nn.Parameter(0.1 * torch.randn(T, WIDTH))
        self.blocks = nn.Sequential(Block(), Block())
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 10, bias=False)

    def forward(self, x):
        return self.head(self.norm(self.blocks(self.token(x) + self.place[: x.shape[1]])))


gpt = GPT()
optimizer = torch.optim.AdamW(gpt.parameters(), lr=3e-3, betas=(0.9, 0.98), weight_decay=0.01)
schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.75)
for epoch in range(6):
    for _batch in range(32):
        tokens = series(40)
        logits = gpt(tokens[:, :-1])
        loss = F.cross_entropy(logits.reshape(-1, 10), tokens[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if FAULT == "decayed every batch":
            schedule.step()
    if FAULT != "decayed every batch":
        schedule.step()
    print("epoch", epoch, "loss", loss.item())

gpt.eval()
answer = series(300)
written = answer[:, :3]
with torch.no_grad():
    while written.shape[1] < T + 1:
        written = torch.cat([written, gpt(written)[:, -1:].argmax(-1)], 1)
print("score", (written[:, 3:] == answer[:, 3:]).double().mean().item())
