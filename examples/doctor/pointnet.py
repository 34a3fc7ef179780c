"""PointNet in PyTorch, the classifier: log_softmax over the batch.

Repository: fxia22/pointnet.pytorch
Thread: https://github.com/fxia22/pointnet.pytorch/issues/27
Wrong: PointNetCls.forward returns F.log_softmax(x, dim=0): the probabilities of a class add up to 1 over the
    clouds of a batch, and not those of a cloud over the classes.
Mended: dim=1 (commit 1551005).
Expected: S03
"""

import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

FIXED = "--fixed" in sys.argv
CLASSES = 5


class PointNetfeat(nn.Module):
    """The same layers on every point, then the largest value of each feature."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(3, 32, 1), nn.Conv1d(32, 64, 1)
        self.bn1, self.bn2 = nn.BatchNorm1d(32), nn.BatchNorm1d(64)

    def forward(self, x: Tensor) -> Tensor:
        """Turn clouds (B, 3, N) into features (B, 64)."""
        x = F.relu(self.bn1(self.conv1(x)))
        return torch.max(self.bn2(self.conv2(x)), 2)[0]


class PointNetCls(nn.Module):
    """Features and three dense layers."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.feat = PointNetfeat()
        self.fc1, self.fc2, self.fc3 = nn.Linear(64, 64), nn.Linear(64, 32), nn.Linear(32, k)
        self.bn1, self.bn2 = nn.BatchNorm1d(64), nn.BatchNorm1d(32)

    def forward(self, x: Tensor) -> Tensor:
        """Log-probabilities of the classes."""
        x = self.feat(x)
        x = F.relu(self.bn1(self.fc1(x)))
        x = F.relu(self.bn2(self.fc2(x)))
        return F.log_softmax(self.fc3(x), dim=1 if FIXED else 0)


def clouds(n: int, points: int = 48) -> TensorDataset:
    """Points on a ball, a box, a rod, a disc and a cone, turned about the upright axis, with noise."""
    target = torch.randint(0, CLASSES, (n,))
    u, v = 2 * torch.rand(2, n, points, 1) - 1
    ring = torch.cat([torch.cos(3.1416 * u), torch.sin(3.1416 * u)], 2)
    cube = 2 * torch.rand(n, points, 3) - 1
    ball = torch.cat([ring * (1 - v**2).sqrt(), v], 2)
    box = cube / cube.abs().amax(2, keepdim=True) * 0.8
    rod, cone = torch.cat([ring * 0.6, v], 2), torch.cat([ring * (1 - v) / 2, v], 2)
    disc = torch.cat([ring * v.abs().sqrt(), 0.3 * torch.sign(cube[..., :1])], 2)
    every = torch.stack([ball, box, rod, disc, cone], 1)
    cloud = every[torch.arange(n), target] + 0.15 * torch.randn(n, points, 3)
    return TensorDataset(cloud, target)


torch.manual_seed(0)
dataset, testset = clouds(2560), clouds(640)
dataloader, testdataloader = DataLoader(dataset, 32, shuffle=True), DataLoader(testset, 32, shuffle=True)
classifier = PointNetCls(k=CLASSES)
optimizer = torch.optim.SGD(classifier.parameters(), lr=0.003, momentum=0.9)
for epoch in range(6):
    classifier.train()
    for points, target in dataloader:
        optimizer.zero_grad()
        loss = F.nll_loss(classifier(points.transpose(2, 1)), target)
        loss.backward()
        optimizer.step()
    classifier.eval()
    with torch.no_grad():
        pairs = [(classifier(points.transpose(2, 1)), target) for points, target in testdataloader]
    accuracy = sum(int((pred.argmax(1) == target).sum()) for pred, target in pairs) / 640
    test_loss = sum(F.nll_loss(pred, target).item() for pred, target in pairs) / len(pairs)
    print(f"[{epoch}] train loss: {loss:.4f} test loss: {test_loss:.4f} accuracy: {accuracy:.4f}")
with torch.no_grad():
    guesses = [int(classifier(cloud.t()[None]).argmax()) for cloud in testset.tensors[0]]
alone = float((torch.tensor(guesses) == testset.tensors[1]).float().mean())
print(f"test accuracy in batches {accuracy:.3f}")
print(f"test accuracy cloud by cloud {alone:.3f}")
