"""A small Vision Transformer on the 8 x 8 digits, in patches of 4 x 4: class token, learned positions.

The loop is a recipe's: AdamW, warm-up then cosine each update, a DataLoader, the doctor as a context manager.
"""

import copy
import math

import numpy as np
import torch
from case import Outcome, cases
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

Rows = tuple[Tensor, Tensor]


class VisionTransformer(nn.Module):
    def __init__(
        self, patch: int = 4, width: int = 32, depth: int = 2, dropout: float = 0.1, mistake: str = ""
    ) -> None:
        super().__init__()
        self.patch, self.mistake = patch, mistake
        self.embed = nn.Linear(patch * patch, width)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(0.02 * torch.randn(1, (8 // patch) ** 2 + 1, width))
        blocks = [
            nn.TransformerEncoderLayer(
                width, 4, 2 * width, dropout, batch_first=mistake != "batch_first left out", norm_first=True
            )
            for _ in range(depth)
        ]
        self.blocks = blocks if mistake == "blocks in a list" else nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width)
        if mistake == "a layer left over":
            self.mix = nn.Linear(width, width)
        self.head = nn.Linear(width, 10)

    def forward(self, images: Tensor) -> Tensor:
        tokens = images.unfold(1, self.patch, self.patch).unfold(2, self.patch, self.patch)
        tokens = self.embed(tokens.reshape(len(images), -1, self.patch * self.patch))
        tokens = torch.cat([self.token.expand(len(images), -1, -1), tokens], dim=1)
        if self.mistake != "no positions":
            tokens = tokens + self.positions
        for block in self.blocks:
            tokens = block(tokens)
            if self.mistake == "detached between blocks":  # meant to save memory
                tokens = tokens.detach()
        logits = self.head(self.norm(tokens[:, 0]))
        if self.mistake == "softmax in the model":
            return logits.softmax(dim=1)
        if self.mistake == "softmax over the batch":
            return logits.softmax(dim=0).log()  # goes with NLLLoss; the axis is the mistake
        return logits


def load(seed: int, rows: int, mistake: str) -> tuple[Rows, Rows, Rows]:
    """Training, validation and test rows, pixels from -1 to 1."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(x))
    x, y = x[order].reshape(-1, 8, 8) / 8 - 1, y[order]
    test, pool = np.arange(500), np.arange(500, len(x))
    train, val = pool[:rows], pool[1000:]
    if mistake == "split of sorted rows":  # the last digits are all in the validation rows
        pool = pool[np.argsort(y[pool], kind="stable")]
        train, val = pool[:1000], pool[1000:]
    if mistake == "split after oversampling":
        pool = np.random.default_rng(seed).permutation(np.repeat(pool[:100], 13))
        train, val = pool[:1000], pool[1000:]
    parts = [(torch.tensor(x[i], dtype=torch.float32), torch.tensor(y[i])) for i in (train, val, test)]
    return parts[0], parts[1], parts[2]


def flip(images: Tensor) -> Tensor:
    """Augmentation that is fine for photographs: a 6 becomes a 9."""
    turns = torch.randint(4, (len(images),))
    return torch.stack([image.rot90(int(k)) for image, k in zip(images, turns, strict=True)])


def warm_then_cosine(updates: int, warm: float) -> object:
    def factor(step: int) -> float:
        if step < warm * updates:
            return (step + 1) / (warm * updates + 1)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm * updates) / ((1 - warm) * updates))))

    return factor


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return (model(images).argmax(dim=1) == labels).float().mean().item()


def train(
    seed: int,
    doctor: object,
    *,
    lr: float = 4e-3,
    warm: float = 0.1,
    epochs: int = 8,
    batch: int = 32,
    rows: int = 1000,
    val_rows: int = 297,
    dropout: float = 0.1,
    patch: int = 4,
    depth: int = 2,
    decay: float = 0.05,
    clip: float = 0.0,
    accumulate: int = 1,
    noise: float = 0.0,
    shuffle: bool = True,
    ema: float = 0.0,
    frozen: str = "none",
    loss_fn: nn.Module | None = None,
    mistake: str = "",
) -> Outcome:
    torch.manual_seed(seed)
    (x, y), (x_val, y_val), (x_test, y_test) = load(seed, rows, mistake)
    x_val, y_val = x_val[:val_rows], y_val[:val_rows]
    if noise:
        y = torch.where(torch.rand(len(y)) < noise, torch.randint(10, y.shape), y)
    if mistake == "white on black, validated black on white":  # and so are the rows that it is used on
        x_val, x_test = -x_val, -x_test
    if mistake == "rows in the order of the labels":
        x, y = x[y.argsort()], y.sort().values
    data = TensorDataset(x, y)
    loader = DataLoader(data, batch, shuffle=shuffle)

    model = VisionTransformer(patch, dropout=dropout, depth=depth, mistake=mistake)
    if mistake == "all weights zero":
        for weight in model.parameters():
            if weight.ndim == 2:
                nn.init.zeros_(weight)
    if mistake == "weights from a wide normal":  # std=1 where the paper's code has std=0.02
        for weight in model.parameters():
            if weight.ndim == 2:
                nn.init.normal_(weight, std=1.0)
    for name, weight in model.named_parameters():
        weight.requires_grad_(not name.startswith(frozen))
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=decay)
    if mistake == "head replaced after the optimizer":
        model.head = nn.Linear(32, 10)
    updates = (
        epochs if mistake == "schedule in epochs, stepped in batches" else epochs * len(loader) // accumulate
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, warm_then_cosine(updates, warm))
    loss_fn = loss_fn or nn.CrossEntropyLoss()
    average = copy.deepcopy(model) if ema else None

    reported = 0.0
    with doctor.watching(model, optimizer, loss_fn, loader):
        model.train()
        for epoch in range(epochs):
            if mistake != "train() only once":
                model.train()
            if mistake == "images reordered, labels not" and epoch > 1:
                data.tensors = (data.tensors[0][torch.randperm(len(x))], y)
            for step, (images, labels) in enumerate(loader):
                if mistake == "turned by quarters":
                    images = flip(images)
                loss = loss_fn(model(images), labels) / accumulate
                if mistake == "loss clamped":  # meant to stop explosions
                    loss = loss.clamp(max=1.0)
                loss.backward()
                if (step + 1) % accumulate:
                    continue
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
                scheduler.step()
                if mistake != "zero_grad forgotten":
                    optimizer.zero_grad()
                if average:
                    with torch.no_grad():
                        for slow, fast in zip(average.parameters(), model.parameters(), strict=True):
                            slow.lerp_(fast, 1 - ema)
            judged = average or model
            if mistake != "eval() forgotten":
                judged.eval()
            reported = accuracy(judged, x_val, y_val)

    judged.eval()
    return Outcome(accuracy(judged, x_test, y_test), reported)


CASES, add = cases("patches", train)
add("as it should be")
add("batch_first left out", "A04", mistake="batch_first left out")
add("no positions", "A06", mistake="no positions", patch=2, depth=1, lr=8e-3, epochs=14)
add("a layer left over", "A08", exact=True, mistake="a layer left over")
add("blocks in a list", "O06", exact=True, mistake="blocks in a list")
add("head replaced after the optimizer", "O06", exact=True, mistake="head replaced after the optimizer")
add("detached between blocks", "O10", exact=True, mistake="detached between blocks")
add("softmax in the model", "S02", exact=True, mistake="softmax in the model")
add("softmax over the batch", "S03", exact=True, mistake="softmax over the batch", loss_fn=nn.NLLLoss())
add("loss clamped", "S07", mistake="loss clamped")
add("lr 0.1", "O01", lr=0.1)
add("lr 1", "O01", lr=1.0)
add("lr 1e-6", "O02", lr=1e-6)
add("schedule in epochs, stepped in batches", "O04", mistake="schedule in epochs, stepped in batches")
add("zero_grad forgotten", "O05", exact=True, mistake="zero_grad forgotten")
add("an update every 40 batches of 32", "O12", accumulate=40)  # an epoch has 32: it is never reached
add("eval() forgotten", "E01", exact=True, mistake="eval() forgotten", dropout=0.3)
add("train() only once", "E02", exact=True, mistake="train() only once")
add("rows in the order of the labels", "D03", mistake="rows in the order of the labels", shuffle=False)
add("split of sorted rows", "D04", mistake="split of sorted rows")
add("split after oversampling", "D06", mistake="split after oversampling")
add("images reordered, labels not", "L01", mistake="images reordered, labels not")
add("white on black, validated black on white", "P02", mistake="white on black, validated black on white")
add("turned by quarters", "P03", mistake="turned by quarters")
add("all weights zero", "I01", mistake="all weights zero")
add("weights from a wide normal", "I03", mistake="weights from a wide normal")

add("label smoothing 0.1", loss_fn=nn.CrossEntropyLoss(label_smoothing=0.1))
add("patches of 2 x 2, one layer", patch=2, depth=1, lr=8e-3, epochs=14)
add("lr 1e-2", lr=1e-2)
add("warm-up for half of the run", warm=0.5)
add("two batches an update, clipped at 1", accumulate=2, batch=16, clip=1.0)
add("random patch embedding, frozen", frozen="embed")
add("an average of the weights is judged", ema=0.95)
add("dropout 0.3, decay 0.5", dropout=0.3, decay=0.5)
add("5 % of the labels wrong, 40 validation rows", noise=0.05, val_rows=40)
add("batches of 8", batch=8, epochs=4, lr=2e-3)
