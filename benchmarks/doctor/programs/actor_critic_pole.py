"""PPO with a clipped objective on a small pole-balancing task; the score is the share of time it stays up.

wrong softmax axis: S03 !
tight clipping: O11
huge pace: O01
"""

import math
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
N, STEPS, GAMMA, LAM = 32, 64, 0.97, 0.9


def fresh(n):
    return (torch.rand(n, 2) - 0.5) * 0.2


def push(state, action):
    """The pole falls by itself; an action kicks it left or right. Returns its state and whether it fell."""
    angle, speed = state.T
    speed = speed + 0.05 * (9.8 * angle.sin() + 6.0 * (2.0 * action - 1)) + 0.02 * torch.randn_like(speed)
    angle = angle + 0.05 * speed
    return torch.stack([angle, speed], 1), angle.abs() > math.pi / 8


actor = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 2))
critic = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 1))
both = [*actor.parameters(), *critic.parameters()]
opt = torch.optim.SGD(both, lr=100.0 if FAULT == "huge pace" else 0.1, momentum=0.9)
limit = 1e-3 if FAULT == "tight clipping" else 1.0
axis = 0 if FAULT == "wrong softmax axis" else -1

state = fresh(N)
for rnd in range(14):
    S, A, D = [], [], []
    with torch.no_grad():
        for _ in range(STEPS):
            action = torch.distributions.Categorical(logits=actor(state)).sample()
            after, fell = push(state, action)
            S.append(state), A.append(action), D.append(fell.float())
            state = torch.where(fell[:, None], fresh(N), after)
        values = [critic(s).squeeze(1) for s in (*S, state)]
        advantage, gain = [], torch.zeros(N)
        for t in reversed(range(STEPS)):
            delta = 1 - D[t] + GAMMA * values[t + 1] * (1 - D[t]) - values[t]
            gain = delta + GAMMA * LAM * (1 - D[t]) * gain
            advantage.insert(0, gain)
        adv = torch.cat(advantage)
        target = adv + torch.cat(values[:-1])
        adv = (adv - adv.mean()) / adv.std()
        s, a = torch.cat(S), torch.cat(A)
        before = F.log_softmax(actor(s), axis).gather(1, a[:, None]).squeeze(1)
    for _ in range(4):
        for rows in torch.randperm(len(s)).split(512):
            logp = F.log_softmax(actor(s[rows]), axis).gather(1, a[rows, None]).squeeze(1)
            ratio = (logp - before[rows]).exp()
            gained = torch.min(ratio * adv[rows], ratio.clamp(0.8, 1.2) * adv[rows]).mean()
            loss = 0.5 * F.mse_loss(critic(s[rows]).squeeze(1), target[rows]) / 25 - gained
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(both, limit)
            opt.step()
    if rnd % 2 == 1:
        print(f"round {rnd + 1}: loss {loss.item()} falls per step {torch.stack(D).mean().item()}")

state, up, alive = fresh(200), 0.0, torch.ones(200, dtype=torch.bool)
with torch.no_grad():
    for _ in range(200):
        state, fell = push(state, actor(state).argmax(1))
        alive &= ~fell
        up += alive.float().mean().item() / 200
print("score", up)
