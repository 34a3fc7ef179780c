"""Fields of papers in a citation graph with weak word features, by a two-layer GCN trained full batch.

nodes renumbered without their labels: L02
decay a thousand times too strong: R02
"""

import sys

import numpy as np
import torch
import torch.nn.functional as F

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
rng = np.random.default_rng(1)
N, FIELDS, VOCABULARY = 1000, 5, 200

field = rng.integers(FIELDS, size=N)
same = field[:, None] == field[None]
upper = np.triu(rng.random((N, N)) < np.where(same, 0.012, 0.0015), 1)
habits = rng.dirichlet(np.full(VOCABULARY, 0.5), FIELDS) * 0.5 + 0.5 / VOCABULARY
words = np.stack([rng.multinomial(12, habits[f]) for f in field])

degree = upper.sum(0) + upper.sum(1)
by_degree = np.argsort(-degree, kind="stable")
upper = (upper | upper.T)[np.ix_(by_degree, by_degree)]
words = words[by_degree]
if FAULT != "nodes renumbered without their labels":
    field = field[by_degree]

A = torch.tensor(upper, dtype=torch.float32) + torch.eye(N)
scale = A.sum(1).rsqrt()
A = (scale[:, None] * A * scale).to_sparse()
X = F.normalize(torch.tensor(words, dtype=torch.float32), p=1, dim=1) * 10
Y = torch.tensor(field)
train, valid, test = torch.randperm(N).split([300, 200, 500])

W1 = torch.empty(VOCABULARY, 32)
W2 = torch.empty(32, FIELDS)
b1, b2 = torch.zeros(32), torch.zeros(FIELDS)
for w in (W1, W2):
    torch.nn.init.xavier_uniform_(w)
weights = [w.requires_grad_() for w in (W1, b1, W2, b2)]
decay = 0.5 if FAULT == "decay a thousand times too strong" else 5e-4
optimizer = torch.optim.Adam(weights, lr=0.01, weight_decay=decay)


def gcn(training):
    h = F.dropout(X, 0.3, training)
    h = torch.relu(torch.sparse.mm(A, h @ W1) + b1)
    return torch.sparse.mm(A, F.dropout(h, 0.5, training) @ W2) + b2


for epoch in range(120):
    loss = F.cross_entropy(gcn(True)[train], Y[train])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if epoch % 10 == 9:
        with torch.no_grad():
            z = gcn(False)
        print(
            epoch + 1,
            loss.item(),
            F.cross_entropy(z[valid], Y[valid]).item(),
            (z[valid].argmax(1) == Y[valid]).double().mean().item(),
        )

with torch.no_grad():
    print("score", (gcn(False)[test].argmax(1) == Y[test]).double().mean().item())
