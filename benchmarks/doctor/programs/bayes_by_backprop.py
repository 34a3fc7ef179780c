"""Digits by a network with a Gaussian over every weight (Bayes by backprop), averaged over drawn networks.

drawn without a path back: O10
whole prior for every batch: R02 S07
"""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.distributions import Normal, kl_divergence

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)


class BayesLinear(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.mu = nn.Parameter(torch.randn(outputs, inputs + 1) * inputs**-0.5)
        self.rho = nn.Parameter(torch.full((outputs, inputs + 1), -3.5))
        self.mu.data[:, -1] = 0

    def posterior(self):
        return Normal(self.mu, F.softplus(self.rho))

    def forward(self, x):
        belief = self.posterior()
        drawn = belief.sample() if FAULT == "drawn without a path back" else belief.rsample()
        return F.linear(x, drawn[:, :-1], drawn[:, -1])

    def divergence(self):
        return kl_divergence(self.posterior(), Normal(0.0, 0.3)).sum()


images, labels = load_digits(return_X_y=True)
images = torch.tensor(images / 16, dtype=torch.float32)
labels = torch.tensor(labels)
order = torch.randperm(len(images))
train, test = order[:1300], order[1300:]

first, second = BayesLinear(64, 48), BayesLinear(48, 10)
optimizer = torch.optim.Adam([*first.parameters(), *second.parameters()], lr=8e-3)
share = len(train) if FAULT != "whole prior for every batch" else 50
for epoch in range(10):
    for rows in train[torch.randperm(len(train))].split(50):
        logits = second(torch.relu(first(images[rows])))
        misfit = F.cross_entropy(logits, labels[rows])
        prior = (first.divergence() + second.divergence()) / share
        loss = misfit + prior
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print("epoch", epoch, "misfit", misfit.item(), "prior", prior.item())

with torch.no_grad():
    drawn = [second(torch.relu(first(images[test]))).softmax(1) for _ in range(10)]
guess = torch.stack(drawn).mean(0).argmax(1)
print("score", (guess == labels[test]).double().mean().item())
