"""REINFORCE teaches a walker in a small grid to reach the goal around pits; the score is how often it does.

returns as column: S05 !
entropy overdone: R02
log odds clipped: S07
"""

import sys

import torch
from torch.distributions import Categorical

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)

SIDE, LIMIT, WALKERS, GAMMA = 4, 20, 64, 0.95
GOAL, PITS = 15, torch.tensor([5, 11])
MOVES = torch.tensor([[-1, 0], [1, 0], [0, -1], [0, 1]])


def play(policy, n, greedy=False):
    """N walkers side by side; returns log-probabilities, rewards, who is still walking, entropies."""
    cell, alive = torch.zeros(n, dtype=torch.long), torch.ones(n, dtype=torch.bool)
    steps, reached = [], torch.zeros(n, dtype=torch.bool)
    for _ in range(LIMIT):
        choice = Categorical(logits=policy(torch.nn.functional.one_hot(cell, SIDE * SIDE).float()))
        action = choice.probs.argmax(1) if greedy else choice.sample()
        place = (torch.stack([cell // SIDE, cell % SIDE], 1) + MOVES[action]).clamp(0, SIDE - 1)
        cell = torch.where(alive, place[:, 0] * SIDE + place[:, 1], cell)
        won, lost = alive & (cell == GOAL), alive & torch.isin(cell, PITS)
        reward = won.float() - 0.2 * lost.float()
        steps.append((choice.log_prob(action), reward, alive.float(), choice.entropy()))
        reached |= won
        alive = alive & ~won & ~lost
    return [torch.stack(column) for column in zip(*steps, strict=False)], reached


def returns(rewards):
    total, out = torch.zeros(rewards.shape[1]), []
    for r in rewards.flip(0):
        total = r + GAMMA * total
        out.append(total)
    return torch.stack(out[::-1])


policy = torch.nn.Sequential(torch.nn.Linear(SIDE * SIDE, 32), torch.nn.Tanh(), torch.nn.Linear(32, 4))
optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
bonus = 5.0 if FAULT == "entropy overdone" else 0.01
for update in range(70):
    (logp, reward, mask, entropy), reached = play(policy, WALKERS)
    gain = returns(reward)
    alive = mask.bool()
    advantage = gain[alive] - gain[alive].mean()
    if FAULT == "returns as column":
        advantage = advantage[:, None]
    logp = logp[alive]
    if FAULT == "log odds clipped":
        logp = logp.clamp(min=-0.5)
    loss = -(logp * advantage).mean() - bonus * entropy[alive].mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if update % 10 == 9:
        print("update", update + 1, "loss", loss.item(), "reached", reached.float().mean().item())

with torch.no_grad():
    _, reached = play(policy, 500)
print("score", reached.float().mean().item())
