"""Node classification on a made-up citation graph: five fields, words that say little about the field.

A two-layer graph convolution over a dense normalised adjacency, trained on the full batch with masks.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from case import Outcome, cases
from torch import Tensor, nn

PAPERS, FIELDS, WORDS = 600, 5, 40


class Graph(NamedTuple):
    words: Tensor
    field: Tensor
    links: Tensor  # (PAPERS, PAPERS), symmetric, no loops
    train: Tensor  # boolean masks
    val: Tensor
    test: Tensor


def make_graph(seed: int, n_train: int, n_val: int) -> Graph:
    rng = np.random.default_rng(seed)
    field = rng.integers(FIELDS, size=PAPERS)
    chance = np.where(field[:, None] == field[None], 0.029, 0.005)
    upper = np.triu(rng.random((PAPERS, PAPERS)) < chance, 1)
    words = 0.45 * rng.standard_normal((FIELDS, WORDS))[field] + rng.standard_normal((PAPERS, WORDS))
    order = rng.permutation(PAPERS)
    masks = np.zeros((3, PAPERS), dtype=bool)
    for mask, chosen in zip(masks, np.split(order, [n_train, n_train + n_val]), strict=True):
        mask[chosen] = True
    links = torch.tensor(upper | upper.T, dtype=torch.float32)
    return Graph(
        torch.tensor(words, dtype=torch.float32), torch.tensor(field), links, *map(torch.tensor, masks)
    )


def normalise(links: Tensor, loops: bool) -> Tensor:
    a = links + torch.eye(len(links)) if loops else links
    scale = a.sum(dim=1).pow(-0.5)
    return scale[:, None] * a * scale[None]


class GraphConv(nn.Module):
    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else 0.0
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        return adjacency @ (x @ self.weight) + self.bias


class GCN(nn.Module):
    def __init__(
        self, width: int, depth: int, outputs: int, dropout: float, activation: Callable[[Tensor], Tensor],
        last: Callable[[Tensor], Tensor], bias: bool, residual: bool, spare: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        sizes = [WORDS, *[width] * (depth - 1), outputs]
        self.convs = nn.ModuleList(GraphConv(a, b, bias) for a, b in pairwise(sizes))
        self.dropout = nn.Dropout(dropout)
        self.activation, self.last = activation, last
        self.residual = nn.Linear(WORDS, outputs) if residual else None
        if spare:
            self.attention = nn.Linear(width, 1)  # was meant to weigh the neighbours

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        h = x
        for conv in self.convs[:-1]:
            h = self.activation(conv(self.dropout(h), adjacency))
        out = self.convs[-1](self.dropout(h), adjacency)
        if self.residual is not None:
            out = out + self.residual(x)
        return self.last(out)


def accuracy(out: Tensor, field: Tensor) -> float:
    return (out.argmax(dim=1) == field).float().mean().item()


def train(
    seed: int, doctor: Any, *, epochs: int = 150, n_train: int = 120, n_val: int = 180, width: int = 32,
    depth: int = 2, outputs: int = FIELDS, dropout: float = 0.5, bias: bool = True, residual: bool = False,
    activation: Callable[[Tensor], Tensor] = F.relu, last: Callable[[Tensor], Tensor] = lambda out: out,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy, init_std: float | None = None,
    make_optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam, lr: float = 1e-2,
    weight_decay: float = 5e-4, schedule: Callable[[int], float] = lambda epoch: 1.0,
    clip: float | None = None, noisy: float = 0.0, mistake: str = "",
) -> Outcome:  # fmt: skip
    torch.manual_seed(seed)
    graph = make_graph(seed, n_train, n_val)
    x, adjacency = graph.words, normalise(graph.links, loops=True)
    y, train_mask, val_mask = graph.field.clone(), graph.train, graph.val

    if noisy:
        wrong = train_mask & (torch.rand(PAPERS) < noisy)
        y[wrong] = torch.randint(FIELDS, (int(wrong.sum()),))
    if mistake == "labels from another order":
        y = y[torch.randperm(PAPERS)]
    if mistake == "two fields unlabelled":
        train_mask = train_mask & (y >= 2)
    if mistake == "validated on the training nodes":
        val_mask = train_mask
    if mistake == "year of publication as it is":
        x = torch.cat([2000 + 10 * torch.randn(PAPERS, 1), x[:, 1:]], dim=1)
    if mistake == "paper without citations":  # and no loops: its degree is zero
        links = graph.links.clone()
        links[3], links[:, 3] = 0, 0
        adjacency = normalise(links, loops=False)

    model = GCN(width, depth, outputs, dropout, activation, last, bias, residual, mistake == "spare layer")
    if init_std is not None:
        for conv in model.convs:
            nn.init.normal_(conv.weight, std=init_std)
    trained = model.convs[0].parameters() if mistake == "only the first layer" else model.parameters()
    optimizer = make_optimizer(trained, lr=lr, weight_decay=weight_decay)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)

    history = []
    with doctor.watching(model, optimizer):
        for _ in range(epochs):
            if mistake != "left in eval":
                model.train()
            if mistake != "never zeroed":
                optimizer.zero_grad()
            seen = x[torch.randperm(PAPERS)] if mistake == "words shuffled each epoch" else x
            if mistake == "words scaled in training only":
                seen = 0.03 * (x - 10)
            out = model(seen, adjacency)
            if mistake == "logits detached":
                out = out.detach().requires_grad_()
            train_loss = loss(out[train_mask], y[train_mask])
            train_loss.backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            if mistake != "no step":
                optimizer.step()
            scheduler.step()

            if mistake != "validated in train mode":
                model.eval()
            if mistake == "validation keeps graphs":
                out = model(x, adjacency)
                history.append((loss(out[val_mask], y[val_mask]), accuracy(out[val_mask], y[val_mask])))
            else:
                with torch.no_grad():
                    out = model(x, adjacency)
                history.append((train_loss.item(), accuracy(out[val_mask], y[val_mask])))

    model.eval()
    with torch.no_grad():
        out = model(x, adjacency)
    score = accuracy(out[graph.test], graph.field[graph.test])
    return Outcome(score, history[-1][1])


CASES, add = cases("citations", train)

add("as it should be")

add("softmax in the model", "S02", exact=True, last=partial(torch.softmax, dim=1))
add("log-softmax over the nodes", "S03", exact=True, last=partial(torch.log_softmax, dim=0), loss=F.nll_loss)
add("nll of raw scores", "S03 S07", exact=True, loss=F.nll_loss)
add("field regressed", "S06 S05", loss=lambda out, y: F.mse_loss(out, y[:, None].float()))
add("loss clamped at 1", "S07", loss=lambda out, y: F.cross_entropy(out, y).clamp(max=1.0))
add("fields counted from one", "L05", outputs=6, loss=lambda out, y: F.cross_entropy(out, y + 1))
add("labels from another order", "L02", mistake="labels from another order")
add("words shuffled each epoch", "L01", mistake="words shuffled each epoch")
add("most labels wrong", "L04", noisy=0.7)
add("two fields unlabelled", "D04", mistake="two fields unlabelled")
add("validated on the training nodes", "D06", mistake="validated on the training nodes", n_train=20)
add("year of publication as it is", "P01", mistake="year of publication as it is")
add("words scaled in training only", "P02", mistake="words scaled in training only")
add("paper without citations", "D01 O08", mistake="paper without citations")
add("ten sigmoid layers", "O07 A01", depth=10, activation=torch.sigmoid)
add("weights all zero", "I01", init_std=0.0)
add("weights from N(0, 20)", "I03", init_std=20.0)
add("lr 5", "O01", lr=5.0)
add("lr 1e-6", "O02", lr=1e-6)
add("lr 1e-5", "O02", lr=1e-5)
add("lr halved each epoch", "O04", schedule=lambda epoch: 0.5**epoch)
add("never zeroed", "O05", exact=True, mistake="never zeroed")
add("only the first layer", "O06", exact=True, mistake="only the first layer")
add("logits detached", "O10", mistake="logits detached")
add("no step", "O12", mistake="no step")
add("weight decay 0.5", "R02", weight_decay=0.5)
add("a layer never called", "A08", exact=True, mistake="spare layer")
add("validated in train mode", "E01", exact=True, mistake="validated in train mode")
add("left in eval", "E02", exact=True, mistake="left in eval")
add("validation keeps graphs", "E03", exact=True, mistake="validation keeps graphs")

add("sgd, lr 0.5", make_optimizer=partial(torch.optim.SGD, momentum=0.9), lr=0.5)
add("no dropout", dropout=0.0, weight_decay=5e-3)
add("warm-up from zero", schedule=lambda epoch: min(epoch / 30, 1.0))
add("label smoothing", loss=partial(F.cross_entropy, label_smoothing=0.1))
add("clipped at 1.0", clip=1.0)
add("tanh, no bias", activation=torch.tanh, bias=False)
add("words past the convolutions", residual=True)
add("one label in twenty wrong", noisy=0.06)
add("wide, lr high", width=128, lr=3e-2)
