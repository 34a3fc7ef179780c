"""Groups of a social network, by graph attention over lists of edges.

first third for training: D04
likelihoods over the nodes: S03 !
"""

import sys

import torch
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
GROUPS, EACH = 6, 100
N = GROUPS * EACH

group = torch.arange(GROUPS).repeat_interleave(EACH)
tied = torch.rand(N, N) < torch.where(group[:, None] == group, 0.06, 0.004)
source, target = (tied | tied.T).fill_diagonal_(True).nonzero().T
traits = torch.randn(GROUPS, 16)[group] * 0.5 + torch.randn(N, 16)


class Attention(nn.Module):
    def __init__(self, inputs, outputs, heads):
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(inputs, heads * outputs)
        self.left = nn.Parameter(torch.randn(heads, outputs) * outputs**-0.5)
        self.right = nn.Parameter(torch.randn(heads, outputs) * outputs**-0.5)

    def forward(self, x):
        h = self.project(x).unflatten(1, (self.heads, -1))
        e = (h * self.left).sum(-1)[source] + (h * self.right).sum(-1)[target]
        e = nn.functional.leaky_relu(e, 0.2)
        e = (e - e.max()).exp()
        total = torch.zeros(N, self.heads).index_add(0, target, e)
        share = e / total[target]
        return torch.zeros_like(h).index_add(0, target, share[..., None] * h[source])


class GAT(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = Attention(16, 8, 4), Attention(32, GROUPS, 2)

    def forward(self, x):
        return self.second(nn.functional.elu(self.first(x).flatten(1))).mean(1)


order = torch.randperm(N)
train, test = order[: N // 3], order[N // 2 :]
if FAULT == "first third for training":
    train = torch.arange(N // 3)
gat = GAT()
optimizer = torch.optim.NAdam(gat.parameters(), lr=5e-3)
across = 0 if FAULT == "likelihoods over the nodes" else 1
for epoch in range(1, 101):
    optimizer.zero_grad()
    logp = gat(traits)[train].log_softmax(across)
    loss = -logp[torch.arange(len(train)), group[train]].mean()
    loss.backward()
    optimizer.step()
    if epoch % 10 == 0:
        print(epoch, "loss", loss.item())

gat.eval()
with torch.no_grad():
    print("score", (gat(traits)[test].argmax(1) == group[test]).double().mean().item())
