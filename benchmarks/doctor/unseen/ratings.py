"""How many stars a user gives to an item, from made-up ratings of 1 to 5.

Matrix factorisation with biases, plus a small network on the two embeddings, is trained as a regression by
Adam with weight decay and F.mse_loss, on batches cut from a permutation, in a ``with doctor.watching`` block.
"""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from case import Outcome, cases
from torch import Tensor, nn

USERS, ITEMS = 240, 160
Table = tuple[Tensor, Tensor, Tensor]  # users, items, ratings


def ratings(rows: int, seed: int) -> Table:
    """Who rated what, and how: biases and four tastes, rounded to whole stars."""
    rng = np.random.default_rng(seed)
    tastes, traits = rng.normal(0, 0.75, (USERS, 4)), rng.normal(0, 0.75, (ITEMS, 4))
    lenient, good = rng.normal(0, 0.45, USERS), rng.normal(0, 0.45, ITEMS)
    pairs = rng.choice(USERS * ITEMS, rows, replace=False)
    users, items = pairs // ITEMS, pairs % ITEMS
    stars = 3.2 + lenient[users] + good[items] + (tastes[users] * traits[items]).sum(axis=1)
    stars = np.round(stars + rng.normal(0, 0.25, rows)).clip(1, 5)
    return torch.tensor(users), torch.tensor(items), torch.tensor(stars, dtype=torch.float32)


class Recommender(nn.Module):
    def __init__(self, dim: int, dropout: float, scale: float, act: type[nn.Module]) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(USERS, dim), nn.Embedding(ITEMS, dim)
        self.user_bias, self.item_bias = nn.Embedding(USERS, 1), nn.Embedding(ITEMS, 1)
        self.middle = nn.Parameter(torch.tensor(3.0))
        self.drop = nn.Dropout(dropout)
        self.mlp = nn.Sequential(nn.Linear(2 * dim, 32), act(), nn.Linear(32, 1))
        for embedding in (self.user, self.item, self.user_bias, self.item_bias):
            nn.init.normal_(embedding.weight, std=scale)

    def forward(self, users: Tensor, items: Tensor, mistake: str = "") -> Tensor:
        user, item = self.drop(self.user(users)), self.drop(self.item(items))
        if mistake == "embeddings read as .data":
            user, item = user.data, item.data
        biases = self.user_bias(users) + self.item_bias(items)
        if mistake == "item's bias left out":
            biases = self.user_bias(users)
        stars = (user * item).sum(dim=1) + self.mlp(torch.cat([user, item], dim=1)).squeeze(1)
        return self.middle + biases.squeeze(1) + stars


class Bounded(Recommender):
    """Squeezes the stars into a range."""

    low, high = 0.5, 5.5

    def forward(self, users: Tensor, items: Tensor, mistake: str = "") -> Tensor:
        stars = super().forward(users, items, mistake) - 3
        return self.low + (self.high - self.low) * torch.sigmoid(stars)


class ToOne(Bounded):
    low, high = 0.0, 1.0


class ToThree(Bounded):
    low, high = 1.0, 3.0


def r_squared(predicted: Tensor, actual: Tensor) -> float:
    return (1 - F.mse_loss(predicted, actual) / actual.var(unbiased=False)).item()


def clamped(predicted: Tensor, actual: Tensor) -> Tensor:
    """Nobody needs an error below one star."""
    return F.mse_loss(predicted, actual).clamp(min=1.0)


def negative(predicted: Tensor, actual: Tensor) -> Tensor:
    return -F.mse_loss(predicted, actual)


def weighted(predicted: Tensor, actual: Tensor) -> Tensor:
    """The rare ratings of 1 and 5 count twice."""
    return ((1 + ((actual - 3).abs() == 2)) * (predicted - actual) ** 2).mean()


def train(
    seed,
    doctor,
    *,
    network=Recommender,
    optim=torch.optim.Adam,
    optim_args=None,
    lr=1e-2,
    weight_decay=3e-5,
    clip=None,
    warm_up=1,
    accumulate=1,
    epochs=10,
    batch_size=128,
    rows=9000,
    dim=8,
    dropout=0.1,
    scale=0.1,
    act=nn.ReLU,
    loss=F.mse_loss,
    l1=0.0,
    wrong_stars=0.0,
    mistake="",
) -> Outcome:
    torch.manual_seed(seed)
    users, items, stars = ratings(rows + 4500, seed)
    test = users[rows + 1500 :], items[rows + 1500 :], stars[rows + 1500 :]
    users, items, stars = users[: rows + 1500], items[: rows + 1500], stars[: rows + 1500]

    if mistake == "exported twice, then split":
        again = torch.randperm(2 * len(users)) % len(users)
        users, items, stars = users[again], items[again], stars[again]
    if mistake == "stars joined on the wrong key":
        stars = stars[torch.randperm(len(stars))]
    if mistake == "stars cast to bool":
        stars = stars.bool().float()
    cut = int(len(users) * rows / (rows + 1500))
    val = users[cut:], items[cut:], stars[cut:]
    users, items, stars = users[:cut], items[:cut], stars[:cut].clone()
    if wrong_stars:
        wrong = torch.rand(cut) < wrong_stars
        stars[wrong] = torch.randint(1, 6, (int(wrong.sum()),)).float()

    model = network(dim, dropout, scale, act)
    if mistake == "all weights zero":
        for weight in model.parameters():
            nn.init.zeros_(weight)
    trained = list(model.parameters())
    if mistake == "only the network in the optimizer":
        trained = list(model.mlp.parameters())
    optimizer = optim(trained, lr=lr, weight_decay=weight_decay, **(optim_args or {}))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / warm_up))
    if mistake == "model copied after the optimizer was built":
        model = copy.deepcopy(model)

    history, val_r2 = [], 0.0
    with doctor.watching(model, optimizer):
        for _ in range(epochs):
            model.train()
            order = torch.randperm(cut)
            if mistake == "sorted by stars":
                order = stars.argsort()
            if mistake == "stars in another order":
                stars = stars[torch.randperm(cut)]
            for number, batch in enumerate(order.split(batch_size)):
                predicted = model(users[batch], items[batch], mistake)
                value = loss(predicted, stars[batch])
                if l1:
                    value = value + l1 * (model.user.weight.abs().mean() + model.item.weight.abs().mean())
                (value / accumulate).backward()
                history.append(value if mistake == "history of loss tensors" else value.item())
                if (number + 1) % accumulate:
                    continue
                if clip is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                if mistake != "step forgotten":
                    optimizer.step()
                scheduler.step()
                if mistake != "gradients never zeroed":
                    optimizer.zero_grad()

            if mistake != "eval forgotten":
                model.eval()
            with torch.set_grad_enabled(mistake == "validation keeps its graph"):
                val_r2 = r_squared(model(*val[:2], mistake), val[2])

    final = network(dim, dropout, scale, act)
    final.load_state_dict(model.state_dict())
    with torch.no_grad():
        score = r_squared(final.eval()(*test[:2], mistake), test[2])
    return Outcome(max(0.0, score), val_r2)


CASES, add = cases("ratings", train)
add("as it should be")

add("learning rate 0.5", "O01", lr=0.5)
add("learning rate 1e-5", "O02", lr=1e-5)
add("eps of 1", "O03 O02", optim_args={"eps": 1.0})
add("gradients never zeroed", "O05", exact=True, mistake="gradients never zeroed")
add("only the network in the optimizer", "O06", mistake="only the network in the optimizer")
add("copied after the optimizer was built", "O06 O12", mistake="model copied after the optimizer was built")
add("embeddings read as .data", "O10", mistake="embeddings read as .data")
add("step forgotten", "O12", mistake="step forgotten")
add("stars in another order", "L01 L02", mistake="stars in another order")
add("stars joined on the wrong key", "L02 L01", mistake="stars joined on the wrong key")
add("stars cast to bool", "L05", mistake="stars cast to bool")
add("sigmoid at the output", "S04", network=ToOne)
add("range of 1 to 3", "S04", network=ToThree)
add("binary cross-entropy", "S06 S07", loss=F.binary_cross_entropy_with_logits)
add("loss clamped at 1", "S07", loss=clamped)
add("loss with a minus", "S07", loss=negative)
add("item's bias left out", "A08", exact=True, mistake="item's bias left out")
add("all weights zero", "I01", mistake="all weights zero")
add("embeddings of size 3", "I03", scale=3.0)
add(
    "no weight decay, 64 wide, few ratings",
    "R01",
    dim=64,
    rows=3000,
    dropout=0.0,
    weight_decay=0.0,
    epochs=25,
)
add("weight decay 0.1", "R02", weight_decay=0.1)
add("dropout 0.9", "R02", dropout=0.9)
add("stopped after 3 epochs", "R03", epochs=3, lr=2e-3)
add("sorted by stars", "D03", mistake="sorted by stars")
add(
    "exported twice, then split",
    "D06",
    mistake="exported twice, then split",
    rows=5000,
    weight_decay=0.0,
    dim=32,
    epochs=14,
)
add("eval forgotten", "E01", exact=True, mistake="eval forgotten", dropout=0.3)
add("validation keeps its graph", "E03", exact=True, mistake="validation keeps its graph")
add("history of loss tensors", "E03", exact=True, mistake="history of loss tensors")

add("batches of 512 at 0.03", batch_size=512, lr=0.03)
add("batches of 64", batch_size=64, epochs=8)
add("four batches a step", accumulate=4, batch_size=32)
add("range of 0.5 to 5.5", network=Bounded)
add("clipped at 1, warm-up of 100", clip=1.0, warm_up=100)
add("absolute error, tanh", loss=F.l1_loss, act=nn.Tanh)
add("rare stars count twice", loss=weighted)
add("l1 on the embeddings", l1=0.05, optim=torch.optim.AdamW)
add("5 % of the stars wrong", wrong_stars=0.05)
