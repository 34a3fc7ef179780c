"""Dates "7 mar 98" rewritten as "98-03-07", by GRUs with attention and teacher forcing.

decoder given the answer: L03 !
only the encoder optimised: O06 !
"""

import random
import sys

import torch
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
random.seed(0)
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
SIGNS = "_^ -0123456789abcdefghijklmnopqrstuvwxyz"
BOS = SIGNS.index("^")


def codes(text, width):
    return [SIGNS.index(c) for c in text.ljust(width, "_")]


def dates(count):
    days = [(random.randint(1, 28), random.randint(1, 12), random.randint(0, 99)) for _ in range(count)]
    sources = [codes(f"{day} {MONTHS[month - 1]} {year:02d}", 9) for day, month, year in days]
    targets = [codes(f"{year:02d}-{month:02d}-{day:02d}", 8) for day, month, year in days]
    return torch.tensor(sources), torch.tensor(targets)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(len(SIGNS), 24)
        self.gru = nn.GRU(24, 24, bidirectional=True, batch_first=True)

    def forward(self, source):
        memory, last = self.gru(self.embed(source))
        return memory, torch.cat([last[0], last[1]], 1)[None]


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(len(SIGNS), 24)
        self.gru = nn.GRU(24, 48, batch_first=True)
        self.out = nn.Linear(96, len(SIGNS))

    def forward(self, tokens, state, memory):
        h, state = self.gru(self.embed(tokens), state)
        weights = (h @ memory.transpose(1, 2)).softmax(-1)
        return self.out(torch.cat([h, weights @ memory], -1)), state


encoder, decoder = Encoder(), Decoder()
parts = [encoder] if FAULT == "only the encoder optimised" else [encoder, decoder]
optimizer = torch.optim.Adam([p for part in parts for p in part.parameters()], lr=1e-2)
source, target = dates(2500)
for step in range(190):
    rows = torch.randint(len(source), (64,))
    given = target[rows]
    if FAULT != "decoder given the answer":
        given = torch.cat([torch.full((64, 1), BOS), given[:, :-1]], 1)
    memory, state = encoder(source[rows])
    logits, _ = decoder(given, state, memory)
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), target[rows].flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 19 == 18:
        print(step + 1, loss.item())
source, target = dates(500)
with torch.no_grad():
    memory, state = encoder(source)
    token, written = torch.full((500, 1), BOS), []
    for _ in range(8):
        logits, state = decoder(token, state, memory)
        written.append(token := logits.argmax(-1))
print("score", (torch.cat(written, 1) == target).double().mean().item())
