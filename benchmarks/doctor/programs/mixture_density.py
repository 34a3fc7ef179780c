"""Where a swinging arm may be, given the angle: three answers at once, by a mixture density network.

layers without the tanh: A03 !
counts of the encoder as they come: A01 P01
"""

import math
import sys

import torch
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
NOISE, SHARES = 0.15, torch.tensor([0.6, 0.3, 0.1])


def centres(angle):
    return torch.stack([angle.sin() + 1, 0.5 * angle.cos() - 1, angle / 2], 1)


def sample(n):
    angle = torch.rand(n) * 2 * math.pi - math.pi
    which = torch.multinomial(SHARES, n, replacement=True)
    return angle, centres(angle)[torch.arange(n), which] + NOISE * torch.randn(n)


def log_normal(y, mean, log_std):
    z = (y[:, None] - mean) / log_std.exp()
    return -0.5 * z.square() - log_std - 0.5 * math.log(2 * math.pi)


class MixtureDensity(nn.Module):
    def __init__(self, parts=5, hidden=48):
        super().__init__()
        bend = nn.Identity if FAULT == "layers without the tanh" else nn.Tanh
        self.body = nn.Sequential(nn.Linear(1, hidden), bend(), nn.Linear(hidden, hidden), bend())
        self.share, self.mean, self.log_std = (nn.Linear(hidden, parts) for _ in range(3))
        nn.init.uniform_(self.mean.bias, -2, 2)

    def forward(self, angle):
        if FAULT == "counts of the encoder as they come":
            angle = (angle * 4096 / math.tau).round()
        h = self.body(angle[:, None])
        return self.share(h).log_softmax(1), self.mean(h), self.log_std(h).clamp(-5, 3)

    def log_prob(self, angle, y):
        share, mean, log_std = self(angle)
        return (share + log_normal(y, mean, log_std)).logsumexp(1)


model = MixtureDensity()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, total_iters=500)
angle, y = sample(6000)
for step in range(500):
    rows = torch.randint(len(y), (128,))
    loss = -model.log_prob(angle[rows], y[rows]).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    decay.step()
    if step % 100 == 99:
        print("step", step + 1, "nats", loss.item())

angle, y = sample(2000)
truth = (SHARES.log() + log_normal(y, centres(angle), torch.tensor(NOISE).log())).logsumexp(1)
with torch.no_grad():
    found = model.log_prob(angle, y)
print("score", min(1.0, (found - truth).mean().exp().item()))
