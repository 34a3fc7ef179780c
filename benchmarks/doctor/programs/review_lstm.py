"""Happy or unhappy reviews ("not good" is unhappy), by a packed LSTM on padded batches.

lengths sorted and labels left: L01 L02
clipped to a thousandth: O11
"""

import sys

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
rng = np.random.default_rng(0)

GOOD = ["good", "great", "lovely", "fresh", "friendly", "quick"]
BAD = ["bad", "awful", "stale", "rude", "slow", "dirty"]
FILL = [
    "the",
    "food",
    "was",
    "and",
    "waiter",
    "we",
    "came",
    "here",
    "on",
    "monday",
    "with",
    "a",
    "large",
    "table",
    "near",
    "window",
]


def review():
    happy = int(rng.integers(2))
    words = list(rng.choice(FILL, rng.integers(4, 15)))
    for _ in range(rng.integers(1, 3)):
        at = int(rng.integers(len(words) + 1))
        if rng.random() < 0.3:
            words[at:at] = ["not", rng.choice(BAD if happy else GOOD)]
        else:
            words[at:at] = [rng.choice(GOOD if happy else BAD)]
    return words, happy


corpus = [review() for _ in range(2000)]
vocabulary = {w: i + 1 for i, w in enumerate(sorted({w for words, _ in corpus for w in words}))}
corpus = [(torch.tensor([vocabulary[w] for w in words]), label) for words, label in corpus]
train, valid = corpus[:1500], corpus[1500:]


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(len(vocabulary) + 1, 24, padding_idx=0)
        self.lstm = nn.LSTM(24, 32, batch_first=True)
        self.head = nn.Linear(32, 2)

    def forward(self, padded, lengths):
        packed = pack_padded_sequence(self.words(padded), lengths, batch_first=True, enforce_sorted=False)
        return self.head(self.lstm(packed)[1][0][-1])


def collate(items):
    labels = torch.tensor([label for _, label in items])
    order = sorted(range(len(items)), key=lambda i: -len(items[i][0]))
    sequences = [items[i][0] for i in order]
    if FAULT != "lengths sorted and labels left":
        labels = labels[order]
    return pad_sequence(sequences, batch_first=True), torch.tensor([len(s) for s in sequences]), labels


model = Reader()
optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
largest = 0.001 if FAULT == "clipped to a thousandth" else 1.0
loader = torch.utils.data.DataLoader(train, batch_size=32, shuffle=True, collate_fn=collate)
for epoch in range(6):
    losses = []
    for padded, lengths, labels in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(padded, lengths), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), largest)
        optimizer.step()
        losses.append(loss.item())
    print(f"epoch {epoch}: loss {np.mean(losses)!r}")

model.eval()
with torch.no_grad():
    padded = pad_sequence([s for s, _ in valid], batch_first=True)
    guess = model(padded, torch.tensor([len(s) for s, _ in valid])).argmax(1)
print("score", (guess == torch.tensor([label for _, label in valid])).double().mean().item())
