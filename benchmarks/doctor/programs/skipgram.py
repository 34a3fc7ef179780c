"""Word vectors by skip-gram with negative sampling, judged by whether the nearest word is of the same topic.

both tables at zero: I01
rate for a summed loss: O02
"""

import sys

import torch
import torch.nn.functional as F

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
TOPICS, EACH, COMMON, SIZE = 10, 12, 20, 16
WORDS = TOPICS * EACH + COMMON


def corpus(sentences, length=12):
    topic = torch.randint(TOPICS, (sentences, 1))
    words = topic * EACH + torch.randint(EACH, (sentences, length))
    common = TOPICS * EACH + torch.randint(COMMON, words.shape)
    return torch.where(torch.rand(words.shape) < 0.3, common, words)


text = corpus(1500)
pairs = torch.cat(
    [
        torch.stack([text[:, i], text[:, i + gap]], 1)
        for gap in (-2, -1, 1, 2)
        for i in range(max(0, -gap), 12 - max(0, gap))
    ]
)
frequency = torch.bincount(text.flatten(), minlength=WORDS).double() ** 0.75

inside = torch.rand(WORDS, SIZE).sub_(0.5).div_(SIZE)
outside = torch.zeros(WORDS, SIZE)
if FAULT == "both tables at zero":
    inside = torch.zeros(WORDS, SIZE)
inside.requires_grad_()
outside.requires_grad_()
adagrad = torch.optim.Adagrad([inside, outside], lr=0.002 if FAULT == "rate for a summed loss" else 0.3)

updates, running = 0, 0.0
for _epoch in range(2):
    for batch in pairs[torch.randperm(len(pairs))].split(256):
        centre, context = batch.T
        negative = torch.multinomial(frequency, 5 * len(batch), replacement=True).view(-1, 5)
        v = inside[centre]
        match = (v * outside[context]).sum(1)
        other = torch.einsum("bd,bkd->bk", v, outside[negative])
        loss = -(F.logsigmoid(match) + F.logsigmoid(-other).sum(1)).mean()
        adagrad.zero_grad()
        loss.backward()
        adagrad.step()
        updates, running = updates + 1, running + loss.item()
        if updates % 100 == 0:
            print(updates, running / 100)
            running = 0.0

with torch.no_grad():
    unit = F.normalize(inside[: TOPICS * EACH], dim=1)
    nearest = (unit @ unit.T).fill_diagonal_(-2).topk(5, dim=1).indices
    own = torch.arange(TOPICS * EACH) // EACH
    print("score", (nearest // EACH == own[:, None]).float().mean().item())
