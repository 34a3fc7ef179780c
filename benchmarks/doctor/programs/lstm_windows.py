"""Level of a river six steps ahead from windows of rain and level, by an LSTM; the last quarter is held out.

column against row: S05 !
gradients left over: O05 !
"""

import sys

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
rng = np.random.default_rng(0)


def river(steps):
    rain = rng.gamma(0.3, 2.0, steps) * (np.sin(np.arange(steps) / 30) > -0.3)
    level = np.zeros(steps)
    for i in range(8, steps):
        level[i] = 0.85 * level[i - 1] + 0.5 * rain[i - 8] + 0.05 * rng.normal()
    return np.stack([rain, level], 1)


def windows(table, length=20, ahead=6):
    x = np.stack([table[i : i + length] for i in range(len(table) - length - ahead)])
    y = table[length + ahead - 1 : -1, 1]
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)


table = river(1600)
cut = 1200
table = (table - table[:cut].mean(0)) / table[:cut].std(0)
x, y = windows(table[:cut])
test_x, test_y = windows(table[cut:])


class Forecast(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(2, 24, batch_first=True)
        self.out = nn.Linear(24, 1)

    def forward(self, window):
        return self.out(self.lstm(window)[0][:, -1])


model = Forecast()
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
mse = nn.MSELoss()
for epoch in range(12):
    for window, level in DataLoader(TensorDataset(x, y), batch_size=48, shuffle=True):
        if FAULT != "column against row":
            level = level.unsqueeze(1)
        if FAULT != "gradients left over":
            model.zero_grad()
        loss = mse(model(window), level)
        loss.backward()
        optimizer.step()
    print("epoch", epoch, "last loss", loss.item())

model.eval()
with torch.no_grad():
    error = (model(test_x)[:, 0] - test_y).square().mean()
print("score", max(0.0, 1 - (error / test_y.var()).item()))
