"""Made-up hospital stays with numbers, categories and holes: will the patient come back (one in five)?

An MLP with embeddings, LayerNorm and residual blocks over a DataLoader that drops the last batch; AdamW with
one-cycle, early stopping with the best weights restored, and the doctor watches by a with statement.
"""

import copy
from typing import Any

import numpy as np
import torch
from case import Outcome, cases
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

NUMBERS, WARDS, CAUSES = 8, 6, 12
TEST_ROWS = 1500
Stays = tuple[Tensor, Tensor, Tensor]  # numbers, categories, came back
SCALES = np.array([15.0, 5.0, 0.3, 80.0, 1.0, 12.0, 400.0, 2.0])
CENTRES = np.array([60.0, 7.0, 1.1, 120.0, 3.0, 40.0, 900.0, 37.0])


def hospital(seed: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers (5 % are missing), categories (ward, cause) and whether the patient came back."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(count, NUMBERS))
    ward, cause = rng.integers(WARDS, size=count), rng.integers(CAUSES, size=count)
    of_ward = np.array([1.5, -1.5, 0.8, -0.8, 0.0, 0.5])[ward]
    of_cause = np.where(cause % 3 == 0, 1.8, -0.9)
    risk = 2 * z[:, 0] * np.sign(of_ward) + 1.5 * z[:, 1] + z[:, 2] * z[:, 3] + of_ward + 1.5 * of_cause
    risk += 0.4 * rng.normal(size=count)
    back = (risk > np.quantile(risk, 0.8)).astype(np.float32)
    numbers = CENTRES + SCALES * z
    numbers[rng.random(numbers.shape) < 0.05] = np.nan
    return numbers, np.stack([ward, cause], 1), back


class Block(nn.Module):
    def __init__(self, width: int, dropout: float, activation: type[nn.Module], norm: bool):
        super().__init__()
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.body = nn.Sequential(
            nn.Linear(width, width), activation(), nn.Dropout(dropout), nn.Linear(width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(self.norm(x))


class Readmission(nn.Module):
    def __init__(
        self, width: int, dropout: float, activation: type[nn.Module], norm: bool, blocks: int, mistake: str
    ):
        super().__init__()
        self.ward, self.cause = nn.Embedding(WARDS, 4), nn.Embedding(CAUSES, 6)
        self.enter = nn.Linear(NUMBERS + 10, width)
        stack = [Block(width, dropout, activation, norm) for _ in range(blocks)]
        self.blocks = nn.ModuleList(stack)
        self.head = nn.Linear(width, 1)
        self.mistake = mistake
        if mistake == "layer never called":
            self.gate = nn.Linear(width, width)

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        embedded = [numbers, self.ward(categories[:, 0]), self.cause(categories[:, 1])]
        x = self.enter(torch.cat(embedded, 1))
        for block in self.blocks:
            x = block(x)
        if self.mistake == "detached":
            x = x.detach()
        if self.mistake == "wrong axis flipped":
            x = x + x.flip(0)  # meant to flip the features, dim 1
        logit = self.head(x).squeeze(1)
        return logit.sigmoid() if self.mistake == "sigmoid" else logit


def train(
    seed: int,
    doctor: Any,
    *,
    rows: int = 2400,
    val_rows: int = 600,
    shuffle: bool = True,
    standardise: bool = True,
    width: int = 64,
    blocks: int = 2,
    dropout: float = 0.1,
    activation: type[nn.Module] = nn.ReLU,
    norm: bool = True,
    init_scale: float = 1.0,
    pos_weight: float = 4.0,
    optimizer_class: type = torch.optim.AdamW,
    options: dict[str, Any] | None = None,
    lr: float = 3e-3,
    weight_decay: float = 0.01,
    cycle: float = 1.0,
    clip: float = 0.0,
    batch: int = 64,
    epochs: int = 14,
    patience: int = 5,
    label_noise: float = 0.0,
    mistake: str = "",
    oddity: str = "",
) -> Outcome:
    torch.manual_seed(seed)
    raw, categories, back = hospital(seed, rows + val_rows + TEST_ROWS)
    if mistake == "bill of both stays":  # a column that is written after the patient came back
        seen = len(back) - TEST_ROWS
        raw[:seen, 6] = 740 + 800 * back[:seen] + np.random.default_rng(seed).normal(size=seen)
    if mistake == "sorted by outcome":
        first = np.argsort(back[:rows], kind="stable")
        for column in (raw, categories, back):
            column[:rows] = column[:rows][first]
    centre, scale = np.nanmean(raw[:rows], 0), np.nanstd(raw[:rows], 0)

    def prepare(numbers: np.ndarray) -> Tensor:
        if mistake != "holes left":
            numbers = np.where(np.isnan(numbers), centre, numbers)
        return torch.tensor((numbers - centre) / scale if standardise else numbers, dtype=torch.float32)

    everything = (prepare(raw), torch.tensor(categories), torch.tensor(back))
    train_set: Stays = tuple(column[:rows] for column in everything)
    val_set: Stays = tuple(column[rows:-TEST_ROWS] for column in everything)
    test_set: Stays = tuple(column[-TEST_ROWS:] for column in everything)
    if mistake == "oversampled, then split":
        pool = [torch.cat([a, b]) for a, b in zip(train_set, val_set, strict=True)]
        positive = pool[2].nonzero()[:, 0]
        drawn = torch.cat([torch.arange(len(pool[2])), positive.repeat(3)])
        drawn = drawn[torch.randperm(len(drawn))]
        train_set = tuple(column[drawn[:-val_rows]] for column in pool)
        val_set = tuple(column[drawn[-val_rows:]] for column in pool)
    if mistake == "scaled by another hospital":  # and so it is served
        val_set, test_set = ((s[0] * 4 + 3, *s[1:]) for s in (val_set, test_set))
    if mistake == "labels of other patients":
        train_set = (*train_set[:2], train_set[2][torch.randperm(rows)])
    if label_noise:
        flipped = (torch.rand(rows) < label_noise).float()
        train_set = (*train_set[:2], (train_set[2] - flipped).abs())
    loader = DataLoader(TensorDataset(*train_set), batch_size=batch, shuffle=shuffle, drop_last=True)

    model = Readmission(width, dropout, activation, norm, blocks, mistake)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(init_scale)
    if oddity == "frozen embeddings":
        model.ward.requires_grad_(False)
        model.cause.requires_grad_(False)
    chosen = [p for p in model.parameters() if p.requires_grad]
    if mistake == "head alone in the optimizer":
        chosen = list(model.head.parameters())
    optimizer = optimizer_class(chosen, lr=lr, weight_decay=weight_decay, **(options or {}))
    updates = max(2, int(epochs * len(loader) * cycle))
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=updates, cycle_momentum=False)
    loss_fn = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(pos_weight))

    best, best_weights, waited, believed = float("inf"), copy.deepcopy(model.state_dict()), 0, 0.0
    update = 0
    with doctor.watching(model, optimizer, loss_fn, loader):
        for epoch in range(epochs):
            if mistake != "never back to train mode" or epoch == 0:
                model.train()
            running = 0.0
            for numbers, codes, y in loader:
                if mistake == "outcomes shuffled alone" and epoch >= 2:
                    y = y[torch.randperm(len(y))]
                if oddity == "soft labels":
                    y = 0.05 + 0.9 * y
                if mistake != "no zero_grad":
                    optimizer.zero_grad()
                loss = loss_fn(model(numbers, codes), y)
                loss.backward()
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                if mistake != "no step":
                    optimizer.step()
                update += 1
                if update < updates:
                    scheduler.step()
                running += loss.item()
            if mistake != "validation in train mode":
                model.eval()
            with torch.set_grad_enabled(mistake == "graph kept in validation"):
                logits = model(*val_set[:2]).flatten()
                val_loss = loss_fn(logits, val_set[2])
            found = torch.nan_to_num(logits.detach())
            auc = roc_auc_score(val_set[2], found)
            balanced = balanced_accuracy_score(val_set[2], found > 0)
            doctor.on_epoch(
                {"loss": running / len(loader)}, {"loss": val_loss.item(), "auc": auc, "balanced": balanced}
            )
            waited += 1
            if val_loss.item() < best or oddity == "last weights":
                best, believed, waited = val_loss.item(), balanced, 0
                best_weights = copy.deepcopy(model.state_dict())
            if waited >= patience:
                break

    model.load_state_dict(best_weights)
    model.eval()
    with torch.no_grad():
        came_back = torch.nan_to_num(model(*test_set[:2]).flatten()) > 0
    return Outcome(balanced_accuracy_score(test_set[2], came_back), believed or balanced)


BY_HEART = {"rows": 100, "batch": 10, "dropout": 0.0, "patience": 99, "epochs": 30, "oddity": "last weights"}
SGD = torch.optim.SGD
CASES, add = cases("wards", train)
add("as it should be")
add("holes left", "D01", mistake="holes left")
SORTED = {"mistake": "sorted by outcome", "shuffle": False, "oddity": "last weights"}
add("sorted by outcome, not shuffled", "D03", **SORTED, cycle=4.0, lr=0.01)
FEW = {"rows": 170, "val_rows": 50, "batch": 16, "dropout": 0.0, "epochs": 25, "patience": 99}
add("oversampled, then split", "D06", mistake="oversampled, then split", **FEW)
add("bill of both stays", "D07", mistake="bill of both stays")
add("outcomes shuffled apart", "L01", mistake="outcomes shuffled alone", oddity="last weights", patience=99)
add("labels of other patients", "L02", mistake="labels of other patients")
add("one label in three wrong", "L04", label_noise=0.35)
add("raw numbers by SGD", "P01", standardise=False, optimizer_class=SGD, lr=0.03)
add("scaled by another hospital", "P02", mistake="scaled by another hospital")
add("rows mixed in the batch", "A04", exact=True, mistake="wrong axis flipped")
add("layer never called", "A08", exact=True, mistake="layer never called")
add("all weights zero", "I01", init_scale=0.0)
add("weights too small", "I02", init_scale=0.003, norm=False, optimizer_class=SGD, lr=0.1)
add("sigmoid before the logits loss", "S01", mistake="sigmoid")
add("lr 0.5", "O01", lr=0.5)
add("lr 1e-6", "O02", lr=1e-6)
add("cycle over after one epoch", "O04", cycle=0.04)
add("gradients never zeroed", "O05", exact=True, mistake="no zero_grad")
add("head alone in the optimizer", "O06", mistake="head alone in the optimizer")
add("detached before the head", "O10", mistake="detached")
add("clipped at 0.001", "O11", optimizer_class=SGD, options={"momentum": 0.9}, lr=0.1, clip=1e-3)
add("step forgotten", "O12", mistake="no step")
add("a hundred stays by heart", "R01", **BY_HEART)
add("weight decay 100", "R02", weight_decay=100.0)
add("validation in train mode", "E01", exact=True, mistake="validation in train mode", dropout=0.3)
add("never back to train mode", "E02", exact=True, mistake="never back to train mode", dropout=0.3)
add("graph kept in validation", "E03", exact=True, mistake="graph kept in validation")
add("SGD at 0.2 with momentum", optimizer_class=SGD, options={"momentum": 0.9}, lr=0.2)
add("frozen embeddings", oddity="frozen embeddings")
add("soft labels", oddity="soft labels")
add("labels of 5 % wrong", label_noise=0.05)
add("dropout 0.5, wide", dropout=0.5, width=128)
add("tanh without norm", activation=nn.Tanh, norm=False)
add("eighty validation rows, clipping at 1", val_rows=80, clip=1.0)
add("no weight for the rarer outcome", pos_weight=1.0)
