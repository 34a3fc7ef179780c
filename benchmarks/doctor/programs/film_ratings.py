"""Stars that people give to films, by matrix factorisation with biases.

factors as the library draws them: I03 R01
sigmoid of the stars: S04 !
"""

import sys

import torch
from torch import nn

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
torch.set_num_threads(1)
torch.manual_seed(0)
PEOPLE, FILMS, RATINGS = 300, 120, 12000

taste, style = torch.randn(PEOPLE, 3), torch.randn(FILMS, 3)
kind, quality = 0.3 * torch.randn(PEOPLE), 0.5 * torch.randn(FILMS)
chosen = torch.randperm(PEOPLE * FILMS)[:RATINGS]
person, film = chosen // FILMS, chosen % FILMS
stars = 3.2 + kind[person] + quality[film] + 0.6 * (taste[person] * style[film]).sum(1)
stars = (stars + 0.2 * torch.randn(RATINGS)).mul(2).round().div(2).clamp(0.5, 5)
train, test = torch.arange(RATINGS).split([10000, 2000])


class Factors(nn.Module):
    def __init__(self, rank=8):
        super().__init__()
        self.person, self.film = nn.Embedding(PEOPLE, rank), nn.Embedding(FILMS, rank)
        self.person_bias, self.film_bias = nn.Embedding(PEOPLE, 1), nn.Embedding(FILMS, 1)
        self.mean = nn.Parameter(stars[train].mean())
        if FAULT != "factors as the library draws them":
            nn.init.normal_(self.person.weight, std=0.1)
            nn.init.normal_(self.film.weight, std=0.1)
        nn.init.zeros_(self.person_bias.weight)
        nn.init.zeros_(self.film_bias.weight)

    def forward(self, person, film):
        match = (self.person(person) * self.film(film)).sum(1)
        score = self.mean + self.person_bias(person)[:, 0] + self.film_bias(film)[:, 0] + match
        return score.sigmoid() if FAULT == "sigmoid of the stars" else score


model = Factors()
groups = [
    {"params": [model.person.weight, model.film.weight], "weight_decay": 0.03},
    {"params": [model.person_bias.weight, model.film_bias.weight, model.mean]},
]
optimizer = torch.optim.AdamW(groups, lr=0.02, weight_decay=0.0)
for epoch in range(10):
    total = 0.0
    for rows in train[torch.randperm(len(train))].split(250):
        error = model(person[rows], film[rows]) - stars[rows]
        loss = error.square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += error.detach().square().sum().item()
    print(f"epoch {epoch} root mean square {(total / len(train)) ** 0.5}")

with torch.no_grad():
    left = (model(person[test], film[test]) - stars[test]).square().mean()
print("score", max(0.0, 1 - (left / stars[test].var()).item()))
