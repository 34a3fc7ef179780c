"""Hourly demand with a daily and a half-daily wave, forecast one hour ahead by dilated causal convolutions.

padded on both sides: A05 L03
rectified output: S04
"""

import math
import sys

import torch
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
HOURS, SPAN = 2400, 96

t = torch.arange(HOURS)
drift = torch.zeros(HOURS)
for i in range(1, HOURS):
    drift[i] = 0.9 * drift[i - 1] + 0.3 * torch.randn(())
demand = 50 + 8 * (torch.sin(t * math.tau / 24) + 0.5 * torch.cos(t * math.tau / 12 + 1) + drift)
mean, spread = demand[:1800].mean(), demand[:1800].std()
series = (demand - mean) / spread
past, future = series[:1800], series[1800:]


class Causal(nn.Module):
    def __init__(self, inputs, outputs, dilation):
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, 3, dilation=dilation)
        self.reach = 2 * dilation

    def forward(self, x):
        sides = (self.reach // 2, self.reach // 2) if FAULT == "padded on both sides" else (self.reach, 0)
        return torch.relu(self.conv(nn.functional.pad(x, sides)))


net = nn.Sequential(
    Causal(1, 16, 1),
    Causal(16, 16, 2),
    Causal(16, 16, 4),
    Causal(16, 16, 8),
    nn.Conv1d(16, 1, 1),
    *([nn.ReLU()] if FAULT == "rectified output" else []),
)
optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 300)
for step in range(300):
    starts = torch.randint(len(past) - SPAN - 1, (16,))
    window = past[starts[:, None] + torch.arange(SPAN + 1)]
    forecast = net(window[:, None, :-1])[:, 0]
    loss = (forecast - window[:, 1:]).square()[:, 30:].mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    cosine.step()
    if step % 30 == 0:
        print("step", step, "squared error", loss.item())

windows = future.unfold(0, 61, 1)
with torch.no_grad():
    forecast = net(windows[:, None, :-1])[:, 0, -1]
truth = windows[:, -1]
print("score", max(0.0, 1 - ((forecast - truth).square().mean() / truth.var()).item()))
