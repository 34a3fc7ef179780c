"""Next character of a small made-up language, by a recurrent net carried along 32 streams of text.

target not moved on: L03 !
time and batch exchanged: A04 !
"""

import random
import sys

import torch
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
rng = random.Random(0)

SUBJECTS = ["the farmer", "my neighbour", "a juggler", "old captain"]
VERBS = ["watches", "repairs", "forgets", "delivers"]
OBJECTS = ["bicycles", "umbrellas", "lanterns", "violins"]


def write(sentences):
    parts = (SUBJECTS, VERBS, OBJECTS)
    return " ".join(" ".join(map(rng.choice, parts)) + "." for _ in range(sentences))


train_text, test_text = write(1200), write(60)
letters = sorted(set(train_text))
number = {c: i for i, c in enumerate(letters)}


def encode(text):
    return torch.tensor([number[c] for c in text])


class CharRNN(nn.Module):
    def __init__(self, size, hidden=64):
        super().__init__()
        self.embed = nn.Embedding(size, 16)
        self.rnn = nn.RNN(16, hidden, batch_first=FAULT != "time and batch exchanged")
        self.read = nn.Linear(hidden, size)

    def forward(self, x, state=None):
        out, state = self.rnn(self.embed(x), state)
        return self.read(out), state


STREAMS, SPAN = 32, 25
codes = encode(train_text)
codes = codes[: len(codes) // STREAMS * STREAMS].view(STREAMS, -1)
model = CharRNN(len(letters))
optimizer = torch.optim.RMSprop(model.parameters(), lr=4e-3)

shift = 0 if FAULT == "target not moved on" else 1
for epoch in range(5):
    state, total, count = None, 0.0, 0
    for start in range(0, codes.shape[1] - SPAN - 1, SPAN):
        x = codes[:, start : start + SPAN]
        y = codes[:, start + shift : start + shift + SPAN]
        logits, state = model(x, state)
        state = state.detach()
        loss = nn.functional.cross_entropy(logits.reshape(-1, len(letters)), y.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        total, count = total + loss.item(), count + 1
    print("epoch", epoch, "nats per character", total / count)

model.eval()
held_out = encode(test_text)
with torch.no_grad():
    guesses = model(held_out[None, :-1])[0][0].argmax(-1)
print("score", (guesses == held_out[1:]).float().mean().item())
