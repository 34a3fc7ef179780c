"""Removes heavy noise from handwritten digits with a convolutional denoising autoencoder.

noisy target: L03
one channel: A07
train mode: E01 !
"""

import sys

import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
NOISE = 0.4


class Denoiser(nn.Module):
    def __init__(self, width, code):
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(1, width, 3, stride=2, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(width * 16, code),
            nn.ReLU(),
            nn.Dropout(0.05),
        )
        self.up = nn.Sequential(
            nn.Linear(code, width * 16),
            nn.ReLU(),
            nn.Unflatten(1, (width, 4, 4)),
            nn.ConvTranspose2d(width, 1, 4, stride=2, padding=1),
        )

    def forward(self, x):
        return self.up(self.down(x))


images = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 16
order = np.random.RandomState(3).permutation(len(images))
train, val, test = (images[part] for part in np.split(order, [1100, 1400]))
val_noisy = val + NOISE * torch.randn_like(val)
test_noisy = test + NOISE * torch.randn_like(test)

net = Denoiser(16, 1 if FAULT == "one channel" else 96)
criterion = nn.MSELoss()
opt = torch.optim.Adam(net.parameters(), lr=2e-3)
loader = DataLoader(TensorDataset(train), batch_size=50, shuffle=True)


def gain(noisy, clean):
    """The share of the noise that is gone."""
    with torch.no_grad():
        return 1 - (criterion(net(noisy), clean) / criterion(noisy, clean)).item()


for epoch in range(30):
    net.train()
    for (clean,) in loader:
        noisy = clean + NOISE * torch.randn_like(clean)
        target = noisy if FAULT == "noisy target" else clean
        loss = criterion(net(noisy), target)
        opt.zero_grad()
        loss.backward()
        opt.step()
    if FAULT != "train mode":
        net.eval()
    if epoch % 3 == 2:
        print("epoch", epoch, "loss", loss.item(), "validation gain", gain(val_noisy, val))

net.eval()
print("score", gain(test_noisy, test))
