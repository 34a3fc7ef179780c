"""Digits scanned in 8 bit, by a convolutional network with batch norm.

left in eval: E02 O01
slow statistics: E05
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)

data = load_digits()
images = torch.tensor(data.images * 255 / 16, dtype=torch.float32).unsqueeze(1)
labels = torch.tensor(data.target)
parts = random_split(TensorDataset(images, labels), [1200, 200, 397])
train, val, test = (DataLoader(p, batch_size=64, shuffle=i == 0) for i, p in enumerate(parts))
momentum = 0.0005 if FAULT == "slow statistics" else 0.1


def block(wide_in, wide_out):
    return nn.Sequential(
        nn.Conv2d(wide_in, wide_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(wide_out, momentum=momentum),
        nn.ReLU(),
    )


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.BatchNorm2d(1, momentum=momentum),
            block(1, 16),
            nn.MaxPool2d(2),
            block(16, 32),
            nn.MaxPool2d(2),
        )
        self.out = nn.Linear(32 * 4, 10)

    def forward(self, x):
        return self.out(self.features(x).flatten(1))


def accuracy(net, loader):
    net.eval()
    hits = count = 0
    with torch.no_grad():
        for x, y in loader:
            hits += (net(x).argmax(1) == y).sum().item()
            count += len(y)
    return hits / count


net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
print("untrained", accuracy(net, val))
for epoch in range(6):
    if FAULT != "left in eval":
        net.train()
    running = 0.0
    for x, y in train:
        loss = nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        running += loss.item()
    print("epoch", epoch, "loss", running / len(train), "val", accuracy(net, val))

print("score", accuracy(net, test))
