"""A variational autoencoder of digits; its code means are judged by a nearest-neighbour classifier.

averaged reconstruction: G03 S07
code detached: O10 G03 !
step missing: O12 !
"""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)

X, y = load_digits(return_X_y=True)
X_tr, X_te, y_tr, y_te = train_test_split(X / 16, y, test_size=0.3, stratify=y, random_state=0)
X_tr = torch.tensor(X_tr, dtype=torch.float32)
X_te = torch.tensor(X_te, dtype=torch.float32)


class VAE(nn.Module):
    def __init__(self, n_code=8):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 128), nn.Tanh())
        self.mu = nn.Linear(128, n_code)
        self.logvar = nn.Linear(128, n_code)
        self.generator = nn.Sequential(nn.Linear(n_code, 128), nn.Tanh(), nn.Linear(128, 64))

    def encode(self, x):
        h = self.body(x)
        return self.mu(h), self.logvar(h)

    def forward(self, x):
        mu, logvar = self.encode(x)
        code = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
        if FAULT == "code detached":
            code = code.detach()
        return self.generator(code), mu, logvar


def negative_elbo(logits, x, mu, logvar, beta):
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
    rec = rec.mean(1) if FAULT == "averaged reconstruction" else rec.sum(1)
    kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)
    return (rec + beta * kl).mean(), kl.mean()


vae = VAE()
optimizer = torch.optim.Adam(vae.parameters(), lr=2e-3)
for epoch in range(35):
    beta = min(1.0, (epoch + 1) / 10)
    for x in X_tr[torch.randperm(len(X_tr))].split(64):
        logits, mu, logvar = vae(x)
        loss, kl = negative_elbo(logits, x, mu, logvar, beta)
        optimizer.zero_grad()
        loss.backward()
        if FAULT != "step missing":
            optimizer.step()
    if epoch % 10 == 9:
        with torch.no_grad():
            held_out, _ = negative_elbo(vae(X_te)[0], X_te, *vae.encode(X_te), 1.0)
        print("epoch", epoch, "-elbo", loss.item(), "kl", kl.item(), "held out", held_out.item())

with torch.no_grad():
    mu_tr, mu_te = vae.encode(X_tr)[0], vae.encode(X_te)[0]
judge = KNeighborsClassifier(5).fit(mu_tr.numpy(), y_tr)
print("score", judge.score(mu_te.numpy(), y_te))
