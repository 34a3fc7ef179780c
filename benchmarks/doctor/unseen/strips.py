"""A variational autoencoder on strips of 8x8 handwritten digits."""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from case import Outcome, cases
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

UNITS = {"unit": (1.0, 0.0), "signed": (2.0, -1.0), "byte": (255.0, 0.0), "dim": (16 / 255, 0.0)}
ACTS = {"relu": nn.ReLU, "gelu": nn.GELU}


def pixels(raw: np.ndarray, unit: str) -> Tensor:
    gain, shift = UNITS[unit]
    return torch.tensor(raw / 16 * gain + shift, dtype=torch.float32)


def explained(out: Tensor, picture: Tensor) -> float:
    spread = ((picture - picture.mean(0)) ** 2).mean()
    value = 1 - float(((out - picture) ** 2).mean() / spread)
    return max(0.0, value) if np.isfinite(value) else 0.0


class Vae(nn.Module):
    def __init__(
        self,
        hidden: int,
        latent: int,
        act: str,
        norm: bool,
        drop: float,
        last: str,
        sampling: bool,
        cut: bool,
    ) -> None:
        super().__init__()
        self.latent, self.sampling, self.cut = latent, sampling, cut

        def block(a: int, b: int) -> list[nn.Module]:
            layers: list[nn.Module] = [nn.Linear(a, b)]
            layers += [nn.BatchNorm1d(b)] if norm else []
            layers += [ACTS[act]()]
            return layers + ([nn.Dropout(drop)] if drop else [])

        self.encoder = nn.Sequential(*block(64, hidden), nn.Linear(hidden, 2 * latent))
        end = [nn.Sigmoid()] if last == "sigmoid" else []
        self.decoder = nn.Sequential(*block(latent, hidden), nn.Linear(hidden, 64), *end)

    def forward(self, view: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, logvar = self.encoder(view.flatten(1)).chunk(2, dim=1)
        z = mean
        if self.training and self.sampling:
            z = mean + torch.randn_like(mean) * torch.exp(0.5 * logvar)
        if self.cut:
            z = z.detach()
        return self.decoder(z), mean, logvar


def start(model: Vae, how: str) -> None:
    lines = [m for m in model.modules() if isinstance(m, nn.Linear)]
    for m in lines:
        if how == "zeros":
            nn.init.zeros_(m.weight)
            nn.init.zeros_(m.bias)
        elif how.startswith("normal"):
            nn.init.normal_(m.weight, std=float(how.split()[1]))
        elif how.startswith("bias") and m.out_features not in (64, 2 * model.latent):
            nn.init.constant_(m.bias, float(how.split()[1]))


def train(
    seed,
    doctor,
    *,
    rows=1100,
    epochs=25,
    batch=64,
    lr=5e-3,
    opt="adam",
    decay=0.0,
    beta=0.1,
    warm=0,
    free=0.0,
    loss="bce",
    cap=0.0,
    hidden=96,
    latent=12,
    act="relu",
    norm=False,
    drop=0.0,
    last="linear",
    sampling=True,
    cut=False,
    init="",
    unit="unit",
    train_unit="",
    order="shuffle",
    digits=10,
    holes=0,
    copies=1,
    val_rows=300,
    noise=0.0,
    fresh=0.0,
    turn=False,
    join="",
    sched="",
    clip=0.0,
    accumulate=1,
    zero=True,
    part="",
    val_mode="eval",
    patience=0,
    average=0.0,
    metric="pixels",
):
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    raw, digit = load_digits(return_X_y=True)
    raw = raw.reshape(-1, 8, 8)
    mix = rng.permutation(len(raw))
    raw, digit = raw[mix], digit[mix]
    test, raw, digit = raw[:397], raw[397:], digit[397:]
    if copies > 1:
        few = np.tile(np.arange(rows // copies), copies)
        few = rng.permutation(np.concatenate([few, few[:val_rows]]))
        fit, held = few[:-val_rows], few[-val_rows:]
    else:
        fit, held = np.arange(rows), np.arange(len(raw) - val_rows, len(raw))
    fit = fit[digit[fit] < digits]
    if order != "shuffle":
        fit = fit[np.argsort(digit[fit], kind="stable")]
    picture = pixels(raw[fit], train_unit or unit)
    view = picture + noise * torch.randn_like(picture)
    if join == "by file":
        view = view[torch.tensor(np.argsort(raw[fit].sum((1, 2))))]
    if holes:
        view.view(len(view), -1)[rng.choice(len(view), holes, replace=False), 30] = float("nan")
    loader = DataLoader(TensorDataset(view, picture), batch, shuffle=order == "shuffle")
    held_out = pixels(raw[held], unit)

    model = Vae(hidden, latent, act, norm, drop, last, sampling, cut)
    start(model, init)
    params = {"": model, "decoder": model.decoder, "encoder": model.encoder}[part].parameters()
    optimizer = {
        "adam": lambda: torch.optim.Adam(params, lr=lr, weight_decay=decay),
        "adamw": lambda: torch.optim.AdamW(params, lr=lr, weight_decay=decay),
        "sgd": lambda: torch.optim.SGD(params, lr=lr, momentum=0.9),
    }[opt]()
    scheduler = {
        "": lambda: None,
        "cosine": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs),
        "once": lambda: torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, epochs * len(loader)),
    }[sched]()
    mean_model = copy.deepcopy(model) if average else None
    weight = beta

    def elbo(out: tuple[Tensor, Tensor, Tensor], picture: Tensor) -> Tensor:
        shown, mean, logvar = out
        target = picture.flatten(1)
        if loss == "bce":
            rebuilt = F.binary_cross_entropy_with_logits(shown, target, reduction="none").sum(-1).mean()
        elif loss == "pixel bce":
            rebuilt = F.binary_cross_entropy_with_logits(shown, target)
        else:
            rebuilt = 5 * ((shown - target) ** 2).sum(-1).mean()
        kl = -0.5 * (1 + logvar - mean**2 - logvar.exp())
        value = rebuilt + weight * kl.mean(0).clamp(min=free).sum()
        return value.clamp(max=cap) if cap else value

    gain, shift = UNITS[unit]

    def show(net: Vae, z_or_view: Tensor, draw: bool = False) -> Tensor:
        shown = net.decoder(z_or_view) if draw else net(z_or_view)[0]
        shown = shown.sigmoid() if "bce" in loss else shown
        return (shown - shift) / gain

    doctor.on_start(model, optimizer, elbo, loader)
    best, wait = float("inf"), 0
    for epoch in range(epochs):
        weight = beta * min(1.0, (epoch + 1) / warm) if warm else beta
        model.train()
        seen = 0.0
        for i, (x, y) in enumerate(loader):
            if zero and i % accumulate == 0:
                optimizer.zero_grad()
            if fresh:
                x = x + fresh * torch.randn_like(x)
            if turn:
                k = int(rng.integers(4))
                x = torch.rot90(x, k, (1, 2)) if k < 3 else x.flip(2)
            value = elbo(model(x), y)
            (value / accumulate).backward()
            if (i + 1) % accumulate == 0:
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
            if sched == "once":
                scheduler.step()
            if mean_model:
                with torch.no_grad():
                    for a, p in zip(mean_model.parameters(), model.parameters(), strict=False):
                        a.lerp_(p, 1 - average)
            doctor.on_step(value, (x, y))
            seen += value.item() / len(loader)
        if sched == "cosine":
            scheduler.step()
        model.train(val_mode == "train")
        with torch.no_grad():
            val_loss = elbo(model(held_out), held_out).item()
            shown, truth = show(model, held_out), (held_out.flatten(1) - shift) / gain
        fitted = explained(shown, shown if metric == "self" else truth)
        doctor.on_epoch({"loss": seen}, {"loss": val_loss, "explained": fitted})
        best, wait = (val_loss, 0) if val_loss < best - 0.02 else (best, wait + 1)
        if patience and wait >= patience:
            break

    net = mean_model or model
    net.eval()
    clean = pixels(test, "unit").flatten(1)
    with torch.no_grad():
        rebuilt = explained(show(net, pixels(test, unit)), clean)
        drawn = show(net, torch.randn(400, latent), draw=True)
        real, fake = torch.cov(clean.t()), torch.cov(drawn.t())
        alike = max(0.0, 1 - float((real - fake).norm() / real.norm()))
    alike = alike if np.isfinite(alike) else 0.0
    return Outcome(0.85 * rebuilt + 0.15 * alike, fitted)


CASES, add = cases("strips", train)
add("plain")
add("sgd with momentum", opt="sgd", lr=0.03, clip=5.0)
add("kl warm-up", warm=8)
add("no sampling, no kl", sampling=False, beta=0.0)
add("denoising", fresh=0.15)
add("squares of signed pixels", loss="mse", unit="signed", beta=0.5)
add("gelu, cosine", act="gelu", sched="cosine", lr=8e-3)
add("one cycle, clipping", sched="once", clip=5.0, lr=1e-2)
add("accumulation, batch 37", batch=37, accumulate=2)
add("batchnorm, adamw", norm=True, opt="adamw", decay=0.01)
add("average of weights", average=0.95)
add("free bits, early stopping", free=0.05, patience=4, epochs=32)

add("weight of kl 30", "G03", beta=30.0)
add("kl per picture, loss per pixel", "G03 S07", loss="pixel bce", beta=1.0)
add("rate x100", "O01 O08", lr=0.5)
add("rate x12", "O01", lr=0.06)
add("rate /500", "O02 R03", lr=1e-5)
add("holes in scans", "D01", holes=12)
add("sorted by digit", "D03", order="sorted")
add("first three digits", "D04", digits=3)
add("copies before split", "D06 R01", copies=20)
add("views joined by file", "L02 L01", noise=0.1, join="by file")
add("train scaled by 255", "P02", train_unit="dim")
add("turned views", "P03", turn=True)
add("byte targets", "P04 P01", loss="mse", unit="byte")
add("biases of -10", "A02", init="bias -10")
add("latent of 1", "A07", latent=1)
add("zeros", "I01", exact=True, init="zeros")
add("init of 2", "I03 O08", init="normal 2")
add("sigmoid twice", "S01", exact=True, last="sigmoid")
add("sigmoid on signed pixels", "S04", loss="mse", unit="signed", last="sigmoid")
add("loss capped", "S07", cap=30.0)
add("never zeroed", "O05", exact=True, zero=False)
add("decoder only", "O06", exact=True, part="decoder")
add("code detached", "O10", exact=True, cut=True)
add("forty pictures", "R01", rows=40, epochs=150, batch=20, beta=0.0)
add("dropout of 0.85", "R02", drop=0.85)
add("five epochs", "R03", epochs=5)
add("validated in train mode", "E01", exact=True, norm=True, val_mode="train")
add("metric of itself", "E04", metric="self")
