"""Deep Q-learning with a replay memory and a target network learns to catch falling balls.

column of targets: S05 !
timid steps: O02
"""

import copy
import random
import sys

import torch
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0), random.seed(0)
WIDTH, HEIGHT = 7, 6


class Catch:
    def reset(self):
        self.ball, self.paddle, self.row = random.randrange(WIDTH), random.randrange(WIDTH), 0
        self.drift = random.choice([-1, 0, 1])
        return self.state()

    def state(self):
        return [self.ball / 3 - 1, self.drift, self.row / 3 - 1, self.paddle / 3 - 1]

    def step(self, action):
        self.paddle = min(max(self.paddle + action - 1, 0), WIDTH - 1)
        self.ball = min(max(self.ball + self.drift, 0), WIDTH - 1)
        self.row += 1
        if self.row < HEIGHT:
            return self.state(), 0.0, False
        return self.state(), 1.0 if self.ball == self.paddle else -1.0, True


q_net = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))
target_net = copy.deepcopy(q_net).requires_grad_(False)
optimizer = torch.optim.Adam(q_net.parameters(), lr=1e-7 if FAULT == "timid steps" else 1e-3)
memory = []


def choose(state, epsilon=0.0):
    if random.random() < epsilon:
        return random.randrange(3)
    with torch.no_grad():
        return q_net(torch.tensor(state)).argmax().item()


def learn():
    batch = random.sample(memory, 64)
    s, a, r, s2, done = (torch.tensor(column) for column in zip(*batch, strict=False))
    aim = r + 0.95 * target_net(s2).max(1).values * (1 - done)
    q = q_net(s).gather(1, a[:, None])
    loss = nn.functional.smooth_l1_loss(q if FAULT == "column of targets" else q.squeeze(1), aim)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


env = Catch()
for game in range(700):
    state, done = env.reset(), False
    while not done:
        action = choose(state, max(0.05, 1 - game / 350))
        before, (state, reward, done) = state, env.step(action)
        memory.append((before, action, reward, state, float(done)))
        if len(memory) >= 200 and len(memory) % 3 == 0:
            loss = learn()
        if len(memory) % 200 == 0:
            target_net.load_state_dict(q_net.state_dict())
    if game % 100 == 99:
        print("game", game + 1, "loss", loss)

caught = 0
for _ in range(300):
    state, done = env.reset(), False
    while not done:
        state, reward, done = env.step(choose(state))
    caught += reward > 0
print("score", caught / 300)
