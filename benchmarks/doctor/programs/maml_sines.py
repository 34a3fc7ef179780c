"""MAML on sinusoids: from ten points and three inner steps the network must fit a new wave.

straight lines: A03 !
heavy decay: R02
queries reordered: L01 L02
"""

import sys

import torch
from torch.func import functional_call, grad, vmap

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
POINTS, INNER, INNER_STEPS = 10, 0.05, 3

bend = torch.nn.Identity if FAULT == "straight lines" else torch.nn.Tanh
net = torch.nn.Sequential(
    torch.nn.Linear(1, 48), bend(), torch.nn.Linear(48, 48), bend(), torch.nn.Linear(48, 1)
)
start = dict(net.named_parameters())


def waves(tasks):
    size = 0.5 + 1.5 * torch.rand(tasks, 1, 1)
    phase = torch.pi * torch.rand(tasks, 1, 1)
    x = 6 * torch.rand(tasks, 2 * POINTS, 1) - 3
    y = size * (x + phase).sin()
    return x[:, :POINTS], y[:, :POINTS], x[:, POINTS:], y[:, POINTS:]


def miss(weights, x, y):
    return (functional_call(net, weights, (x,)) - y).square().mean()


def adapt(weights, x, y):
    for _ in range(INNER_STEPS):
        slope = grad(miss)(weights, x, y)
        weights = {k: w - INNER * slope[k] for k, w in weights.items()}
    return weights


def after_adapting(weights, xs, ys, xq, yq):
    return miss(adapt(weights, xs, ys), xq, yq)


many = vmap(after_adapting, in_dims=(None, 0, 0, 0, 0))
decay = 0.3 if FAULT == "heavy decay" else 1e-6
outer = torch.optim.Adam(net.parameters(), lr=3e-3)
for it in range(250):
    xs, ys, xq, yq = waves(16)
    if FAULT == "queries reordered":
        xq = xq.sort(dim=1).values
    loss = many(start, xs, ys, xq, yq).mean()
    loss = loss + decay * sum(p.square().sum() for p in net.parameters())
    outer.zero_grad()
    loss.backward()
    outer.step()
    if it % 50 == 49:
        print("iteration", it + 1, "query error", loss.item())

torch.manual_seed(99)
xs, ys, xq, yq = waves(300)
left = many(start, xs, ys, xq, yq).mean().item()
print("score", max(0.0, 1 - left / yq.var().item()))
