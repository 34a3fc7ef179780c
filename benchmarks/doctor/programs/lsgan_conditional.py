"""A conditional least-squares GAN: asked for a digit it draws that digit, judged by a classifier.

labels drawn apart: L02 L01
generator never zeroed: O05 !
pixels unscaled: S04 P01 P02 P04
"""

import sys

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.svm import SVC
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
rng = np.random.default_rng(0)

X, y = load_digits(return_X_y=True)
judge = SVC(gamma=0.05).fit(X / 8 - 1, y)
if FAULT == "pixels unscaled":
    images = torch.tensor(X, dtype=torch.float32)
else:
    images = torch.tensor(X / 8 - 1, dtype=torch.float32)
labels = torch.tensor(y)


class Conditional(nn.Module):
    def __init__(self, n_in, n_out, last):
        super().__init__()
        self.embed = nn.Embedding(10, 16)
        self.net = nn.Sequential(
            nn.Linear(n_in + 16, 128),
            nn.LeakyReLU(0.2),
            nn.Linear(128, 128),
            nn.LeakyReLU(0.2),
            nn.Linear(128, n_out),
            last,
        )

    def forward(self, x, digit):
        return self.net(torch.cat([x, self.embed(digit)], 1))


G = Conditional(16, 64, nn.Tanh())
D = Conditional(64, 1, nn.Identity())
adam_g = torch.optim.Adam(G.parameters(), 1e-3, betas=(0.5, 0.999))
adam_d = torch.optim.Adam(D.parameters(), 1e-3, betas=(0.5, 0.999))
size = 100


def draw(digit):
    return G(torch.randn(len(digit), 16), digit)


for step in range(900):
    rows = rng.integers(0, len(images), size)
    real = images[rows]
    if FAULT == "labels drawn apart":
        rows = rng.integers(0, len(images), size)
    digit = labels[rows]
    wanted = torch.randint(10, (size,))
    fake = draw(wanted)
    d_loss = ((D(real, digit) - 1) ** 2).mean() + (D(fake.detach(), wanted) ** 2).mean()
    adam_d.zero_grad()
    d_loss.backward()
    adam_d.step()

    g_loss = ((D(fake, wanted) - 1) ** 2).mean()
    if FAULT != "generator never zeroed":
        adam_g.zero_grad()
    g_loss.backward()
    adam_g.step()
    if step % 150 == 0:
        print(step, d_loss.item(), g_loss.item())

asked = torch.arange(10).repeat(50)
G.eval()
with torch.no_grad():
    drawn = draw(asked).numpy()
print("score", float((judge.predict(drawn) == asked.numpy()).mean()))
