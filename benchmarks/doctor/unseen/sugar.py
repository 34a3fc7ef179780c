"""The course of diabetes after a year from ten measurements: regression with an MLP in two parts.

Body and head have an optimizer each (Adam and SGD) that both step each update; batches are dicts from a
DataLoader with a collate function, and the mean squared error and R2 are written by hand.
"""

from itertools import pairwise

import numpy as np
import torch
from case import Outcome, cases
from sklearn.datasets import load_diabetes
from torch import Tensor, nn
from torch.utils.data import DataLoader


class Body(nn.Module):
    """From measurements to features; `mistake` as in `train`."""

    def __init__(
        self,
        inputs: int = 10,
        hidden: int = 32,
        depth: int = 1,
        activation: nn.Module | None = None,
        dropout: float = 0.0,
        mistake: str = "",
    ) -> None:
        super().__init__()
        activation = activation or nn.ReLU()
        widths = [inputs] + [hidden] * depth
        self.layers = nn.Sequential()
        for a, b in pairwise(widths):
            self.layers.extend([nn.Linear(a, b), activation])
        self.dropout = nn.Dropout(dropout)
        self.mistake = mistake

    def forward(self, x: Tensor) -> Tensor:
        features = self.dropout(self.layers(x))
        return features.detach() if self.mistake == "detached features" else features


def squared(guess: Tensor, target: Tensor) -> Tensor:
    return (guess - target).pow(2).mean()


def absolute(guess: Tensor, target: Tensor) -> Tensor:
    return (guess - target).abs().mean()


def huber(guess: Tensor, target: Tensor) -> Tensor:
    error = (guess - target).abs()
    return torch.where(error < 1, error.pow(2) / 2, error - 0.5).mean()


def clamped(guess: Tensor, target: Tensor) -> Tensor:
    return squared(guess, target).clamp(max=0.25)  # against outliers, as the user thinks


def unsquared(guess: Tensor, target: Tensor) -> Tensor:
    return (guess - target).mean()  # the square is missing, so lower is always better


def root_per_row(guess: Tensor, target: Tensor) -> Tensor:
    error = (guess - target).abs()
    outside = error * (error > 0.02)  # small errors cost nothing, but the root has no finite slope at 0
    return torch.sqrt(outside).mean()


def r2(guess: Tensor, target: Tensor) -> float:
    return 1 - (squared(guess, target) / target.var(unbiased=False)).item()


def collate(rows: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    x, y = zip(*rows, strict=True)
    return {"inputs": torch.stack(x), "target": torch.stack(y)}


def train(
    seed,
    doctor,
    *,
    rows=240,
    val_rows=80,
    epochs=30,
    batch=12,
    body_lr=1e-3,
    head_lr=0.02,
    momentum=0.0,
    weight_decay=0.0,
    l1=0.0,
    grad_noise=0.0,
    clip=None,
    accumulate=1,
    schedule=None,
    loss_fn=squared,
    last=None,
    target_noise=0.0,
    target_scale=None,
    init=None,
    validate_every=20,
    mistake="",
    **body_options,
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x, y = load_diabetes(return_X_y=True, scaled=False)
    order = rng.permutation(len(y))
    x, y = x[order], y[order][:, None]
    test_x, test_y, x, y = x[:122], y[:122], x[122:], y[122:]
    if mistake == "split by target":  # the file lies sorted by target: mild cases train, severe ones validate
        by_target = np.argsort(y[:, 0])
        x, y = x[by_target], y[by_target]
    if mistake == "split after copying":  # 40 patients, each of them 8 times
        x, y = np.tile(x[:40], (8, 1)), np.tile(y[:40], (8, 1))
        order = rng.permutation(len(y))
        x, y = x[order], y[order]
    pieces = [x[:rows], x[-val_rows:], test_x]
    targets = [y[:rows], y[-val_rows:], test_y]

    middle, spread = pieces[0].mean(0), pieces[0].std(0)
    if mistake == "raw inputs":
        middle, spread = 0.0, 1.0
    pieces = [(piece - middle) / spread for piece in pieces]
    if mistake == "validation in another unit":
        pieces[1:] = [piece * 4 + 1 for piece in pieces[1:]]
    y_middle, y_spread = target_scale or (targets[0].mean(), targets[0].std())
    targets = [(target - y_middle) / y_spread for target in targets]
    if mistake == "next visit among the inputs":  # known in the study, unknown for a new patient
        leaks = [targets[0], targets[1], np.zeros_like(test_y)]
        pieces = [np.hstack([a, b]) for a, b in zip(pieces, leaks, strict=True)]
    if mistake == "missing value":
        pieces[0][7, 3] = np.nan
    x, val_x, test_x = (torch.tensor(piece, dtype=torch.float32) for piece in pieces)
    y, val_y, test_y = (torch.tensor(target, dtype=torch.float32) for target in targets)
    y = y + target_noise * torch.randn_like(y)
    if mistake == "target without its column":  # (B, 1) minus (B,) is (B, B)
        y = y[:, 0]
    data = list(zip(x, y, strict=True))
    loader = DataLoader(data, batch_size=batch, shuffle=True, collate_fn=collate)

    body = Body(inputs=x.shape[1], mistake=mistake, **body_options)
    width = body_options.get("hidden", 32)
    model = nn.ModuleDict({"body": body, "head": nn.Sequential(nn.Linear(width, 1), last or nn.Identity())})
    if init is not None:
        for weights in model.parameters():
            init(weights)
    body_opt = torch.optim.Adam(body.parameters(), lr=body_lr, weight_decay=weight_decay)
    head_opt = torch.optim.SGD(
        model["head"].parameters(), lr=head_lr, momentum=momentum, weight_decay=weight_decay
    )
    optimizers = (body_opt,) if mistake == "one optimizer" else (body_opt, head_opt)
    schedulers = [torch.optim.lr_scheduler.LambdaLR(opt, schedule) for opt in optimizers if schedule]

    def guess(rows: Tensor) -> Tensor:
        return model["head"](model["body"](rows))

    history: list[dict[str, float]] = []
    updates = 0
    with doctor.watching(model, optimizers):
        for epoch in range(epochs):
            if mistake == "inputs reordered" and epoch >= 3:
                loader.dataset[:] = zip(x[torch.randperm(len(x))], y, strict=True)
            for number, patients in enumerate(loader):
                model.train()
                loss = loss_fn(guess(patients["inputs"]), patients["target"])
                if l1:
                    loss = loss + l1 * sum(weights.abs().sum() for weights in body.parameters())
                (loss / accumulate).backward()
                if number % accumulate != accumulate - 1:
                    continue
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                for weights in model.parameters():
                    if grad_noise and weights.grad is not None:
                        weights.grad += grad_noise * torch.randn_like(weights)
                for opt in optimizers:
                    opt.step()
                    if mistake != "gradients kept":
                        opt.zero_grad()
                for scheduler in schedulers:
                    scheduler.step()
                updates += 1
                if updates % validate_every == 0:  # also in the middle of an epoch
                    model.eval()
                    with torch.no_grad():
                        answer = guess(val_x)
                        history.append({"loss": squared(answer, val_y).item(), "r2": r2(answer, val_y)})

    model.eval()
    with torch.no_grad():
        score = r2(guess(test_x), test_y)
    reported = history[-1]["r2"] if history else 0.0
    return Outcome(*(float(np.clip(np.nan_to_num(value), 0, 1)) for value in (score, reported)))


def zero(weights: Tensor) -> None:
    nn.init.zeros_(weights)


def huge(weights: Tensor) -> None:
    nn.init.normal_(weights, std=3.0)


def dying(weights: Tensor) -> None:
    if weights.shape == (32,):  # the biases of the body
        nn.init.constant_(weights, -6.0)


CASES, add = cases("sugar", train)
add("as it should be")
add("a value is missing", "D01", mistake="missing value")
add("mild cases only in training", "D04", mistake="split by target")
add("six rows of validation", "D05", exact=True, val_rows=6)
add("split after copying", "D06", mistake="split after copying")
add("the next visit is an input", "D07", mistake="next visit among the inputs")
add("inputs reordered without targets", "L01", mistake="inputs reordered")
add("raw inputs", "P01", mistake="raw inputs")
add("validation in another unit", "P02", mistake="validation in another unit")
add("raw targets, clipped", "P04 O11", target_scale=(0.0, 1.0), clip=1.0)
add("biases of -6", "A02", init=dying)
add("all weights zero", "I01", init=zero)
add("weights of 3", "I03", init=huge, depth=2)
add("ReLU at the end", "S04", last=nn.ReLU())
add("sigmoid at the end", "S04", last=nn.Sigmoid())
add("target without its column", "S05", mistake="target without its column")
add("loss clamped", "S07", loss_fn=clamped)
add("the square forgotten", "S07", loss_fn=unsquared)
add("both lr 100 times higher", "O01", body_lr=0.2, head_lr=2.0)
add("both lr 1000 times lower", "O02", body_lr=2e-6, head_lr=2e-5)
add("decay per update", "O04", schedule=lambda step: 0.7**step)
add("gradients kept", "O05", exact=True, mistake="gradients kept")
add("the head's optimizer forgotten", "O06", exact=True, mistake="one optimizer")
add("ten sigmoid layers", "O07", depth=10, activation=nn.Sigmoid())
add("root of zero", "O08", loss_fn=root_per_row)
add("features detached", "O10", exact=True, mistake="detached features")
add("forty rows and a wide network", "R01", rows=40, batch=4, hidden=256, body_lr=5e-3)
add("weight decay 3", "R02", weight_decay=3.0)
add("eight epochs at a low lr", "R03 O02", epochs=8, body_lr=1e-4, head_lr=1e-3)

add("tanh, two layers", activation=nn.Tanh(), depth=2)
add("absolute error", loss_fn=absolute)
add("Huber loss, momentum", loss_fn=huber, momentum=0.9, head_lr=0.005)
add("four batches accumulated", batch=3, accumulate=4)
add("clipped at 1", clip=1.0)
add("l1 penalty", l1=2e-3)
add("noise on the gradients", grad_noise=0.02)
add("dropout 0.5", dropout=0.5)
add("warm-up from 0", schedule=lambda step: min(1.0, step / 75))
add("raw targets that work", target_scale=(0.0, 1.0))
add("noise on the targets", target_noise=0.2)
