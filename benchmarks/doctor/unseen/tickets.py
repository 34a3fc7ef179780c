"""Support tickets to queues: words through an EmbeddingBag, two columns of the customer's record."""

import numpy as np
import torch
import torch.nn.functional as F
from case import Outcome, cases
from torch import nn

QUEUES = ["billing", "refund", "login", "shipping", "bug", "cancel"]
VOCAB = 260  # 24 words of each queue, the rest is everybody's


def write(n, rng, share=None):
    """Tickets as word lists, the two columns (account age in days, money spent) and the queue."""
    y = rng.choice(len(QUEUES), n, p=share)
    words = []
    for k in y:
        length = int(rng.integers(8, 22))
        topic = rng.random(length)
        common = 24 * len(QUEUES) + (rng.random(length) ** 2 * (VOCAB - 24 * len(QUEUES))).astype(int)
        # billing and refund share their words, as do bug and cancel
        family = {1: 0, 5: 4}.get(int(k), int(k))
        own = 24 * family + (rng.random(length) ** 1.5 * 24).astype(int)
        stray = rng.integers(0, 24 * len(QUEUES), length)
        words.append(np.where(topic < 0.25, own, np.where(topic < 0.35, stray, common)))
    age = np.exp(rng.normal(5.5, 0.7, n) + np.where(np.isin(y, [1, 5]), -1.1, 1.1))
    spent = np.exp(rng.normal(4.0, 1.0, n) + np.where(y == 5, 0.8, 0.0))
    return words, np.stack([age, spent], 1), y


class Router(nn.Module):
    def __init__(self, hidden=32, drop=0.1, act=nn.ReLU, norm=True, probs=False, how="rows"):
        super().__init__()
        self.words = nn.EmbeddingBag(VOCAB, 24, mode="mean")
        self.columns = nn.Linear(2, 8)
        self.mix = nn.Linear(24 + 8, hidden)
        self.norm = nn.BatchNorm1d(hidden) if norm else nn.Identity()
        self.act, self.drop = act(), nn.Dropout(drop)
        self.mid = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, len(QUEUES))
        self.probs, self.how = probs, how

    def forward(self, tokens, offsets, columns):
        z = torch.cat([self.words(tokens, offsets), self.act(self.columns(columns))], 1)
        if self.how == "viewed":
            z = z.view(z.shape[1], -1).t().contiguous()
        z = self.drop(self.act(self.norm(self.mix(z))))
        z = self.out(self.act(self.mid(z)))
        return F.softmax(z, 1) if self.probs else z


def pack(words, columns, y, rows, keep=1.0, rng=None):
    """One hand-made batch: all tokens in a row, where each ticket begins, columns, queues."""
    lists = [words[i] for i in rows]
    if keep < 1:
        lists = [w[rng.random(len(w)) < keep] for w in lists]
    starts = np.cumsum([0] + [len(w) for w in lists[:-1]])
    return (
        torch.from_numpy(np.concatenate(lists).astype(np.int64)),
        torch.from_numpy(starts.astype(np.int64)),
        torch.from_numpy(columns[rows].astype(np.float32)),
        torch.from_numpy(y[rows]),
    )


def export(n, seed, data):
    """The help desk's export, split into training and validation."""
    rng = np.random.default_rng(seed)
    share = {"billing_mostly": [0.975] + [0.005] * 5}.get(data)
    if data == "oversampled":
        words, columns, y = write(60, rng)
        pick = rng.integers(0, 60, n + 300)
        words, columns, y = [words[i] for i in pick], columns[pick], y[pick]
    else:
        words, columns, y = write(n + 300, rng, share)
    if data == "agent_id":
        columns[:, 1] = np.exp(1.2 * y + rng.normal(0, 0.1, n + 300))
    elif data == "joined":
        y[:n] = y[np.argsort(columns[:n, 1])]
    elif data == "hasty_agents":
        wrong = rng.random(n) < 0.55
        y[:n][wrong] = rng.integers(0, 6, wrong.sum())
    return words, columns, y


def train(
    seed,
    doctor,
    n=900,
    data="export",
    columns="scaled",
    lr=0.004,
    opt="adam",
    wd=0.0,
    epochs=14,
    batch=32,
    order="random",
    net=None,
    loss="ce",
    init=None,
    cosine=False,
    clip=None,
    accumulate=1,
    keep=1.0,
    forget=None,
    patience=None,
    averaged=False,
    warmup=0,
):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed + 1)
    words, raw, y = export(n, seed, data)
    test_words, test_raw, test_y = write(600, np.random.default_rng(seed + 999))

    logs = np.log(raw[:n])
    mean, std = logs.mean(0), logs.std(0)
    scaled = lambda a: (np.log(a) - mean) / std  # noqa: E731
    prepare = {"logs": np.log, "millis": lambda a: a * [864e5, 100]}.get(columns, scaled)
    cols, test_cols = prepare(raw), prepare(test_raw)
    if columns == "train_in_cents":
        cols[:n] = (np.log(raw[:n] * 100) - mean) / std

    model = Router(**(net or {}))
    if init:
        for p in model.parameters():
            nn.init.normal_(p, std=init)
    if opt == "sgd":
        optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=wd)
    else:
        kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
        optimizer = kinds[opt](model.parameters(), lr=lr, weight_decay=wd)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs) if cosine else None
    losses = {
        "ce": nn.CrossEntropyLoss(),
        "smooth": nn.CrossEntropyLoss(label_smoothing=0.1),
        "weighted": nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2, 1, 1, 1, 2])),
    }
    criterion = losses[loss]
    stays = {k: v.clone() for k, v in model.state_dict().items()} if averaged else None
    accuracy, best, waited, update = 0.0, 0.0, 0, 0

    with doctor.watching(model, optimizer):
        for epoch in range(epochs):
            model.train()
            rows = np.argsort(y[:n], kind="stable") if order == "sorted" else rng.permutation(n)
            targets = y[rng.permutation(n)] if order == "apart" and epoch >= 3 else y
            for step, i in enumerate(range(0, n - batch + 1, batch)):
                tokens, starts, c, t = pack(words, cols, targets, rows[i : i + batch], keep, rng)
                cost = criterion(model(tokens, starts, c), t)
                (cost / accumulate).backward()
                if (step + 1) % accumulate:
                    continue
                update += 1
                if warmup:
                    for g in optimizer.param_groups:
                        g["lr"] = lr * min(1.0, update / warmup)
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                if forget != "step":
                    optimizer.step()
                if forget != "zero":
                    optimizer.zero_grad()
                if stays:
                    for k, v in model.state_dict().items():
                        stays[k] = stays[k].lerp(v, 0.05) if v.is_floating_point() else v.clone()
            if schedule:
                schedule.step()
            if forget != "eval":
                model.eval()
            with torch.no_grad():
                tokens, starts, c, t = pack(words, cols, y, np.arange(n, n + 300))
                z = model(tokens, starts, c)
                val_loss, accuracy = criterion(z, t).item(), float((z.argmax(1) == t).float().mean())
            print(f"epoch {epoch} loss {cost.item():.3f} val {val_loss:.3f} acc {accuracy:.3f}")
            waited = 0 if accuracy > best else waited + 1
            best = max(best, accuracy)
            if patience and waited >= patience:
                break

    if stays:
        model.load_state_dict(stays)
    model.eval()
    with torch.no_grad():
        tokens, starts, c, t = pack(test_words, test_cols, test_y, np.arange(600))
        score = float((model(tokens, starts, c).argmax(1) == t).float().mean())
    return Outcome(score, accuracy)


CASES, add = cases("tickets", train)
add("plain")
add("sgd, cosine to zero", opt="sgd", lr=0.1, cosine=True, epochs=18)
add("label smoothing, adamw", loss="smooth", opt="adamw", wd=0.05)
add("weighted queues", loss="weighted")
add("logs left as they are", columns="logs")
add("accumulate 2 of 16, clip 1", accumulate=2, batch=16, clip=1.0)
add("dropout of a half, patience", net={"drop": 0.5}, patience=5, epochs=20)
add("batches of 45, no norm", batch=45, net={"norm": False})
add("weights averaged, warm-up", averaged=True, warmup=60)
add("tanh, words dropped", net={"act": nn.Tanh}, keep=0.8)

add("mostly billing", "D02", data="billing_mostly")
add("queue after queue", "D03", order="sorted")
add("oversampled, then split", "D06 R01", exact=True, data="oversampled")
add("agent id", "D07", data="agent_id")
add("queues moved alone", "L01", exact=True, order="apart")
add("joined on spent", "L02", data="joined")
add("hasty agents", "L04", data="hasty_agents")
add("age in milliseconds", "P01", columns="millis", net={"norm": False})
add("training in cents", "P02", exact=True, columns="train_in_cents")
add("one word in twenty", "P03 R02", keep=0.05)
add("sigmoids, wide", "A01 I03", net={"act": nn.Sigmoid, "norm": False}, init=3.0)
add("viewed, not transposed", "A04", exact=True, net={"how": "viewed"})
add("bottleneck of one", "A07", net={"hidden": 1})
add("tiny weights", "I02", init=1e-4, opt="sgd", lr=0.05, net={"norm": False})
add("softmax in the model", "S02", exact=True, net={"probs": True})
add("rate of 1", "O01", lr=1.0, net={"norm": False})
add("rate of 2e-6", "O02", lr=2e-6)
add("never zeroed", "O05", exact=True, forget="zero", opt="sgd", lr=0.05)
add("clip at 1e-4", "O11", opt="sgd", lr=0.1, clip=1e-4)
add("no step", "O12", exact=True, forget="step")
add("ninety tickets", "R01", n=90, epochs=80)
add("decay of weights 0.3", "R02", wd=0.3)
add("two epochs", "R03", epochs=2, lr=0.0005)
add("validated in training mode", "E01", exact=True, forget="eval")
