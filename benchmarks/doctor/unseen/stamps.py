"""Restoring worn postage stamps: a convolutional VAE from the scan to the clean print."""

import numpy as np
import torch
from case import Outcome, cases
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

SIDE = 12


def prints(rng: np.random.Generator, n: int, designs=6) -> tuple[np.ndarray, np.ndarray]:
    """Clean stamps (n, 12, 12) in 0 to 1 and the number of their design."""
    kind = rng.integers(0, designs, n)
    yy, xx = np.mgrid[0:SIDE, 0:SIDE][:, None]
    cx, cy = rng.uniform(4.7, 6.3, (2, n, 1, 1))
    size, ink = rng.uniform(2.8, 3.8, (n, 1, 1)), rng.uniform(0.6, 1.0, (n, 1, 1))
    u, v = np.abs(xx - cx), np.abs(yy - cy)
    r = np.sqrt(u**2 + v**2)
    shapes = [
        r - size,
        np.maximum(u, v) - size * 0.85,
        np.abs(r - size) - 0.8,
        np.minimum(u, v) - 0.8,
        np.abs(u - v) - 0.9,
        np.maximum(v - 1.2, u - size * 1.3),
    ]
    depth = np.choose(kind[:, None, None], shapes)
    picture = ink / (1 + np.exp(3 * depth))
    return picture.astype(np.float32), kind


def worn(rng: np.random.Generator, clean: np.ndarray) -> np.ndarray:
    scan = 0.8 * clean + 0.12 * rng.random((len(clean), 1, 1)) + 0.12 * rng.normal(size=clean.shape)
    return np.clip(scan, 0, 1).astype(np.float32)


class Restorer(nn.Module):
    def __init__(
        self,
        latent=16,
        width=8,
        act=nn.ReLU,
        bn=True,
        last=None,
        mixed=False,
        cut=False,
        skip=False,
        sampled=True,
    ):
        super().__init__()
        norm = nn.BatchNorm2d if bn else lambda c: nn.Identity()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, width, 3, 2, 1),
            norm(width),
            act(),
            nn.Conv2d(width, 2 * width, 3, 2, 1),
            norm(2 * width),
            act(),
        )
        self.mu, self.logvar = nn.Linear(18 * width, latent), nn.Linear(18 * width, latent)
        self.wide = nn.Linear(latent, 18 * width)
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1),
            norm(width),
            act(),
            nn.ConvTranspose2d(width, 1, 4, 2, 1),
            last() if last else nn.Identity(),
        )
        self.act, self.sampled, self.mixed, self.cut = act(), sampled, mixed, cut
        self.attic = nn.Sequential(nn.Linear(latent, latent), act()) if skip else None

    def forward(self, x):
        h = self.encoder(x)
        if self.mixed:
            h = h.permute(1, 2, 3, 0).reshape(len(x), -1)
        h = h.flatten(1)
        mu, logvar = self.mu(h), self.logvar(h)
        z = mu
        if self.training and self.sampled:
            z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        if self.cut:
            z = torch.from_numpy(z.detach().numpy())
        h = self.act(self.wide(z))
        return self.decoder(h.view(len(x), -1, 3, 3)), mu, logvar


def divergence(mu, logvar):
    return -0.5 * (1 + logvar - mu**2 - logvar.exp()).mean()


def train(
    seed,
    doctor,
    n=512,
    epochs=12,
    batch=32,
    lr=6e-3,
    optim="adam",
    wd=0.0,
    eps=1e-8,
    beta=0.002,
    loss_fn=None,
    kl_sign=1,
    warm_kl=0,
    shuffle=True,
    edit=None,
    edit_train=None,
    unique=None,
    fit_designs=6,
    scale=1.0,
    target_scale=1.0,
    val_scale=1.0,
    center=False,
    flip="",
    shuffle_x=False,
    init=None,
    flat_target=False,
    sched=None,
    per_batch=False,
    zero=True,
    every=1,
    clip=None,
    eval_mode=True,
    no_wear=False,
    val_rows=200,
    frozen=False,
    **net,
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    clean, kind = prints(rng, n + val_rows)
    scans = clean.copy() if no_wear else worn(rng, clean)
    if unique:
        again = np.arange(n + val_rows) % unique
        scans, clean, kind = scans[again], clean[again], kind[again]
    if edit:
        scans, clean, kind = edit(scans, clean, kind, rng)
    fit, val = (scans[:n], clean[:n], kind[:n]), (scans[n:], clean[n:], kind[n:])
    chosen = fit[2] < fit_designs
    fit = tuple(a[chosen] for a in fit)
    if edit_train:
        fit = edit_train(*fit, rng)

    def tensor(a, factor=1.0):
        a = torch.from_numpy(np.ascontiguousarray(a, dtype=np.float32)).unsqueeze(1) * factor
        return (a - 0.35) / 0.3 if center else a

    x, y = tensor(fit[0], scale), torch.from_numpy(fit[1].copy()).unsqueeze(1) * target_scale
    vx, vy = tensor(val[0], scale * val_scale), torch.from_numpy(val[1].copy()).unsqueeze(1) * target_scale
    if flat_target:
        y, vy = y.squeeze(1), vy.squeeze(1)
    loader = DataLoader(TensorDataset(x, y), batch, shuffle=shuffle, drop_last=len(x) > batch)

    model = Restorer(**net)
    if init:
        init(model)
    if frozen:
        model.encoder[0].requires_grad_(False)
    weights = [p for p in model.parameters() if p.requires_grad]
    if optim == "rmsprop":
        optimizer = torch.optim.RMSprop(weights, lr=lr, weight_decay=wd)
    else:
        maker = torch.optim.AdamW if optim == "adamw" else torch.optim.Adam
        optimizer = maker(weights, lr=lr, weight_decay=wd, eps=eps)
    schedule = sched(optimizer) if sched else None
    loss_fn = loss_fn or nn.BCEWithLogitsLoss()
    squash = torch.sigmoid if isinstance(loss_fn, nn.BCEWithLogitsLoss) else nn.Identity()

    def shares(picture, truth):
        error = ((squash(picture).reshape(truth.shape) - truth) ** 2).mean()
        return 1 - (error / ((truth - truth.mean(0)) ** 2).mean()).item()

    reported = 0.0
    doctor.on_start(model, optimizer, loss_fn, loader)
    for epoch in range(epochs):
        model.train()
        weight = beta * min(1.0, (epoch + 1) / warm_kl) if warm_kl else beta
        if shuffle_x:
            x.copy_(x[torch.randperm(len(x))])
        total = 0.0
        for i, (scan, target) in enumerate(loader):
            if flip == "scan":
                scan = scan.roll((int(rng.integers(-3, 4)), int(rng.integers(-3, 4))), (-2, -1))
            elif flip == "both":
                turned = torch.rand(len(scan), 1, 1, 1) < 0.5
                scan = torch.where(turned, scan.flip(-1), scan)
                target = torch.where(turned, target.flip(-1), target)
            if zero and i % every == 0:
                optimizer.zero_grad()
            picture, mu, logvar = model(scan)
            loss = loss_fn(picture, target) + kl_sign * weight * divergence(mu, logvar)
            (loss / every).backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            if (i + 1) % every == 0:
                optimizer.step()
            if schedule and per_batch:
                schedule.step()
            doctor.on_step(loss, (scan, target))
            total += loss.item()
        if schedule and not per_batch:
            schedule.step()
        if eval_mode:
            model.eval()
        with torch.no_grad():
            picture, mu, logvar = model(vx)
            val_loss = (loss_fn(picture, vy) + kl_sign * weight * divergence(mu, logvar)).item()
        reported = shares(picture, vy)
        doctor.on_epoch({"loss": total / len(loader)}, {"loss": val_loss, "r2": reported})
    model.eval()
    fresh = np.random.default_rng(seed + 1000)
    truth, _ = prints(fresh, 600)
    with torch.no_grad():
        picture = squash(model(tensor(worn(fresh, truth), scale))[0]) / target_scale
    truth = torch.from_numpy(truth).unsqueeze(1)
    score = 1 - (((picture - truth) ** 2).mean() / ((truth - truth.mean(0)) ** 2).mean()).item()
    return Outcome(max(0.0, score) if np.isfinite(score) else 0.0, reported)


def layers(what):
    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    return lambda model: [what(m) for m in model.modules() if isinstance(m, kinds)]


def by_design(scan, clean, kind, rng):
    order = np.argsort(kind, kind="stable")
    return scan[order], clean[order], kind[order]


def wrong_print(share):
    def edit(scan, clean, kind, rng):
        hit = rng.random(len(scan)) < share
        return scan, np.where(hit[:, None, None], clean[rng.permutation(len(clean))], clean), kind

    return edit


def other_folder(scan, clean, kind, rng):
    return scan, clean[rng.permutation(len(clean))], kind


CASES, add = cases("stamps", train)
add("plain")
add("rmsprop", optim="rmsprop", lr=3e-3)
add("squared error", loss_fn=nn.MSELoss(), last=nn.Sigmoid, beta=0.0005)
add(
    "adamw one cycle",
    optim="adamw",
    wd=1e-2,
    per_batch=True,
    sched=lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 1.5e-2, total_steps=12 * 16),
)
add("clipped", clip=0.5)
add("accumulated", batch=16, every=2)
add("plain autoencoder", sampled=False, beta=0.0)
add("centred scans", center=True, act=nn.LeakyReLU)
add("flipped together", flip="both")
add("frozen first filters", frozen=True)
add("warmed KL", warm_kl=8, batch=27)

add("album order", "D03", shuffle=False, edit_train=by_design)
add("two designs", "D04", fit_designs=2)
add("doubles", "D06", unique=50, n=300, epochs=24, beta=0.0)
add("shuffled in place", "L01 L02", shuffle_x=True)
add("other folder order", "L02 L01", edit=other_folder)
add("no wear in training", "L03 P02 D04", no_wear=True)
add("30 % wrong prints", "L04", edit_train=wrong_print(0.3))
add("divided twice", "P02", exact=True, val_scale=1 / 255)
add("only the scan moved", "P03", flip="scan")
add("print 0 to 255", "P04 S04", target_scale=255.0, loss_fn=nn.MSELoss())
add("print 0 to 255, sigmoid", "S04 P04", target_scale=255.0, loss_fn=nn.MSELoss(), last=nn.Sigmoid)
add("negative biases", "A02", init=layers(lambda m: nn.init.constant_(m.bias, -6.0)))
add("batch moved last", "A04", exact=True, mixed=True)
add("code of one", "A07", latent=1)
add("unused refiner", "A08", exact=True, skip=True)
add("huge weights", "I03 O08", bn=False, init=layers(lambda m: nn.init.normal_(m.weight, std=3.0)))
add("paper bias", "I04", init=lambda m: nn.init.constant_(m.decoder[-2].bias, -40.0))
add("no channel", "S05", flat_target=True, loss_fn=nn.MSELoss(), last=nn.Sigmoid)
add("KL upside down", "S07 O08", kl_sign=-1, beta=0.05)
add("rate x100", "O01", lr=0.3)
add("rate / 1000", "O02", lr=3e-6)
add("eps 1", "O03 O02", eps=1.0)
add("decay per batch", "O04", per_batch=True, sched=lambda o: torch.optim.lr_scheduler.StepLR(o, 5, 0.3))
add("never zeroed", "O05", exact=True, zero=False)
add("through numpy", "O10", exact=True, cut=True)
add("pairs", "R04", exact=True, batch=2, epochs=1)
add("never eval", "E01", exact=True, eval_mode=False)
add("beta 1", "G03", beta=1.0)
