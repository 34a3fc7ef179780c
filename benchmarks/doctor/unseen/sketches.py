"""Small drawings, 1x10x10: a denoising autoencoder with a code of twelve numbers, Adam, DataLoader."""

import copy

import numpy as np
import torch
from case import Outcome, cases
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def drawings(n, rng, kinds=(0, 1, 2)):
    """Strokes, boxes and blobs with soft edges, values 0 to 1."""
    i, j = np.mgrid[0:10, 0:10]
    images = np.zeros((n, 1, 10, 10), "float32")
    for k in range(n):
        kind, (a, b) = kinds[rng.integers(len(kinds))], rng.uniform(2.5, 6.5, 2)
        if kind == 0:
            t = rng.uniform(0, np.pi)
            far = np.abs((i - a) * np.cos(t) + (j - b) * np.sin(t)) - 0.8
        elif kind == 1:
            far = np.maximum(np.abs(i - a) - rng.uniform(1, 3), np.abs(j - b) - rng.uniform(1, 3))
        else:
            far = np.hypot(i - a, j - b) - rng.uniform(1.2, 3)
        images[k, 0] = rng.uniform(0.7, 1) / (1 + np.exp(2.5 * far))
    return torch.from_numpy(images)


def smudge(x, rng, strength=0.15):
    return (x + strength * torch.from_numpy(rng.normal(size=x.shape).astype("float32"))).clamp(0, 1)


class Autoencoder(nn.Module):
    def __init__(
        self,
        width=96,
        code=12,
        act=nn.ReLU,
        depth=0,
        norm=0.0,
        p=0.0,
        last=nn.Identity,
        fold="rows",
        cut=False,
    ):
        super().__init__()
        self.fold, self.cut = fold, cut

        def block(a, b):
            layers = [nn.Linear(a, b)] + ([nn.BatchNorm1d(b, momentum=norm)] if norm else [])
            return layers + [act()] + ([nn.Dropout(p)] if p else [])

        deep = [layer for _ in range(depth) for layer in block(width, width)]
        self.encoder = nn.Sequential(*block(100, width), *deep, nn.Linear(width, code))
        deep = [layer for _ in range(depth) for layer in block(width, width)]
        self.decoder = nn.Sequential(*block(code, width), *deep, nn.Linear(width, 100), last())

    def forward(self, x):
        if self.fold == "pixels":
            x = x.permute(1, 2, 3, 0)
        z = self.encoder(x.reshape(x.shape[-1] if self.fold == "pixels" else len(x), 100))
        if self.cut:
            z = z.detach()
        return self.decoder(z)


def scaled(x, how):
    if how == "counts":
        return x * 500 + 4000
    if how == "paper":
        return 1 - x
    if how == "standard":
        return (x - 0.2) / 0.3
    if how == "stretched":
        low = x.amin((1, 2, 3), keepdim=True)
        return (x - low) / (x.amax((1, 2, 3), keepdim=True) - low)
    return x


def load(seed, rows=1200, kinds=(0, 1, 2), split="first", wrong=0.0, blank=0):
    rng = np.random.default_rng(seed)
    clean = drawings(rows, rng, kinds)
    val_clean = drawings(300, rng)
    noisy, val_noisy = smudge(clean, rng), smudge(val_clean, rng)
    if split == "after":
        pick = torch.from_numpy(rng.permutation(1500) % rows)
        noisy, clean = noisy[pick], clean[pick]
        noisy, val_noisy, clean, val_clean = noisy[:1200], noisy[1200:], clean[:1200], clean[1200:]
    if blank:
        noisy[:blank], clean[:blank] = 0, 0
    if wrong:
        hit = torch.from_numpy(rng.random(rows) < wrong)
        clean = torch.where(hit[:, None, None, None], clean[torch.from_numpy(rng.permutation(rows))], clean)
    return noisy, clean, val_noisy, val_clean


def explained(made, clean):
    spread = (clean - clean.mean(0)).pow(2).mean()
    return float((1 - (made - clean).pow(2).mean() / spread).clamp(0, 1))


def train(
    seed,
    doctor,
    *,
    lr=0.003,
    epochs=18,
    batch=40,
    opt="adam",
    decay=0.0,
    sched="none",
    per_batch=False,
    loss="mse",
    floor=0.0,
    wide_target=False,
    target_mul=1.0,
    target_add=0.0,
    prep="unit",
    val_prep=None,
    mirror="none",
    init_std=0.0,
    step=True,
    trained="all",
    clip=0.0,
    accumulate=1,
    warm=0,
    keep_best=False,
    data=None,
    **net,
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed + 1)
    noisy, clean, val_noisy, val_clean = load(seed, **(data or {}))
    noisy, val_noisy = scaled(noisy, prep), scaled(val_noisy, val_prep or prep)
    loader = DataLoader(TensorDataset(noisy, clean), batch_size=batch, shuffle=True, drop_last=True)

    model = Autoencoder(**net)
    if init_std:
        for m in model.modules():
            if isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, std=init_std)
    params = list(model.encoder.parameters() if trained == "encoder" else model.parameters())
    if opt == "sgd":
        optimizer = torch.optim.SGD(params, lr=lr, momentum=0.9, weight_decay=decay)
    else:
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "rmsprop": torch.optim.RMSprop}[opt]
        optimizer = kind(params, lr=lr, weight_decay=decay)
    scheduler = {
        "none": lambda: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda e: min(1, (e + 1) / (warm + 1))),
        "cosine": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs),
        "step": lambda: torch.optim.lr_scheduler.StepLR(optimizer, 6, 0.5),
    }[sched]()
    loss_fn = {
        "mse": nn.MSELoss,
        "bce": nn.BCEWithLogitsLoss,
        "huber": nn.SmoothL1Loss,
        "ce": nn.CrossEntropyLoss,
    }[loss]()

    def target(y):
        y = y * target_mul + target_add
        return y.flatten(2) if wide_target else y.flatten(1)

    def picture(out):
        if loss == "bce" and not isinstance(model.decoder[-1], nn.Sigmoid):
            out = out.sigmoid()
        return ((out - target_add) / target_mul).view(-1, 1, 10, 10)

    lowest, best, reported = float("inf"), None, 0.0
    with doctor.watching(model, optimizer):
        for _epoch in range(epochs):
            model.train()
            for i, (x, y) in enumerate(loader):
                if mirror != "none" and rng.random() < 0.5:
                    x, y = x.flip(3), y.flip(3) if mirror == "both" else y
                value = loss_fn(model(x), target(y))
                value = value.clamp(min=floor) if floor else value
                (value / accumulate).backward()
                if (i + 1) % accumulate:
                    continue
                if clip:
                    nn.utils.clip_grad_norm_(params, clip)
                if step:
                    optimizer.step()
                optimizer.zero_grad()
                if per_batch:
                    scheduler.step()
            if not per_batch:
                scheduler.step()
            model.eval()
            with torch.no_grad():
                out = model(val_noisy)
                val_loss = loss_fn(out, target(val_clean)).item()
                reported = explained(picture(out), val_clean)
            if keep_best and val_loss < lowest:
                lowest, best = val_loss, copy.deepcopy(model.state_dict())

    if best is not None:
        model.load_state_dict(best)
    model.eval()
    fresh = np.random.default_rng(seed + 1000)
    clean = drawings(500, fresh)
    same = prep in ("counts", "standard") and val_prep is None
    with torch.no_grad():
        score = explained(picture(model(scaled(smudge(clean, fresh), prep if same else "unit"))), clean)
    return Outcome(score, reported)


CASES, add = cases("sketches", train)
add("plain")
add("cosine adamw", opt="adamw", sched="cosine", lr=0.005, decay=0.01)
add("rmsprop", opt="rmsprop", lr=0.002)
add("momentum", opt="sgd", lr=1.5)
add("logits", loss="bce")
add("huber, gelu", loss="huber", act=nn.GELU)
add("normalised layers", norm=0.1, batch=48)
add("standardised, clipped", prep="standard", clip=0.5)
add("accumulated", batch=20, accumulate=2)
add("warm-up, best kept", warm=3, keep_best=True)
add("mirrored pairs", mirror="both")
add("sigmoid out, mse", last=nn.Sigmoid, act=nn.Tanh)

add("rate x30", "O01", lr=0.1)
add("rate /100", "O02", lr=3e-5)
add("blank rows stretched", "D01 O08", prep="stretched", data={"blank": 12})
add("strokes only", "D04", data={"kinds": (0,)})
add("split after copying", "D06", data={"rows": 80, "split": "after"}, epochs=25)
add("pairs 50 wrong", "L04", data={"wrong": 0.5})
add("counts", "P01", prep="counts")
add("paper", "P02", prep="paper", val_prep="unit")
add("mirrored input", "P03 L04", mirror="input")
add("targets x3000", "P04", target_mul=3000.0)
add("pixels", "A04", fold="pixels")
add("code of two", "A07", code=2)
add("std 1", "I03", init_std=1.0)
add("sigmoid and logits", "S01", loss="bce", last=nn.Sigmoid)
add("sigmoid, standard target", "S04", last=nn.Sigmoid, target_mul=3.3, target_add=-0.7)
add("wide target", "S05", wide_target=True)
add("cross entropy", "S06", loss="ce")
add("floor", "S07", floor=0.05)
add("per batch", "O04", sched="step", per_batch=True)
add("encoder only", "O06", trained="encoder")
add("deep sigmoid", "O07", act=nn.Sigmoid, depth=3)
add("cut", "O10", cut=True)
add("no step", "O12", step=False)
add("50 rows", "R01 D04", data={"rows": 50}, batch=10, epochs=100)
add("dropped 80", "R02", p=0.8)
add("two passes", "R03", epochs=2, lr=0.001)
add("norm of three", "R04", norm=0.1, batch=3, epochs=2)
add("slow averages", "E05", norm=0.0005)
