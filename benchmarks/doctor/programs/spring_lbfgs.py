"""A damped spring from forty noisy readings: a small tanh network fitted by full-batch LBFGS.

zero start: I01
no penalty: R01
gradients kept: O05 !
"""

import sys

import torch

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)


def spring(t):
    return torch.exp(-0.4 * t) * torch.cos(2.2 * t)


t_train = torch.rand(40, 1) * 5
y_train = spring(t_train) + 0.15 * torch.randn(40, 1)
t_val = torch.rand(60, 1) * 5
y_val = spring(t_val) + 0.15 * torch.randn(60, 1)
t_test = torch.linspace(0, 5, 200)[:, None]
y_test = spring(t_test)

HIDDEN = 40
params = [
    torch.randn(1, HIDDEN),
    torch.randn(HIDDEN),
    torch.randn(HIDDEN, HIDDEN) / HIDDEN**0.5,
    torch.zeros(HIDDEN),
    torch.randn(HIDDEN, 1) / HIDDEN**0.5,
    torch.zeros(1),
]
if FAULT == "zero start":
    params = [torch.zeros_like(p) for p in params]
params = [p.requires_grad_() for p in params]
decay = 0.0 if FAULT == "no penalty" else 2e-3


def predict(t):
    w1, b1, w2, b2, w3, b3 = params
    hidden = torch.tanh((t - 2.5) @ w1 + b1)
    return torch.tanh(hidden @ w2 + b2) @ w3 + b3


optimizer = torch.optim.LBFGS(params, lr=1.0, max_iter=20, history_size=20, line_search_fn="strong_wolfe")


def closure():
    if FAULT != "gradients kept":
        optimizer.zero_grad()
    penalty = sum(p.square().sum() for p in params[::2])
    loss = (predict(t_train) - y_train).square().mean() + decay * penalty
    loss.backward()
    return loss


for sweep in range(24):
    loss = optimizer.step(closure)
    if sweep % 4 == 3:
        with torch.no_grad():
            val = (predict(t_val) - y_val).square().mean()
        print("sweep", sweep + 1, "objective", loss.item(), "validation", val.item())

with torch.no_grad():
    r2 = 1 - (predict(t_test) - y_test).square().mean() / y_test.var()
print("score", max(0.0, r2.item()))
