"""Road signs: grey pictures of 12 x 12 with one of six shapes on a noisy ground, shifted and lit at random.

A small residual CNN with batch norm, index batches cut by hand, augmentation (shift, noise) on the batch, SGD
with momentum and a step schedule, log_softmax with NLL. The doctor watches through `with`.
"""

import torch
import torch.nn.functional as F
from case import Outcome, cases
from torch import Tensor, nn

KINDS = 6  # ring, square, cross, slash, triangle, two bars
SIDE = 12


def shape(kind: int) -> Tensor:
    """A picture of 7 x 7, one where the shape is."""
    down, across = torch.meshgrid(torch.arange(7), torch.arange(7), indexing="ij")
    far = torch.maximum((down - 3).abs(), (across - 3).abs())
    return [
        ((down - 3).abs() + (across - 3).abs()) == 3,
        far == 3,
        (down == 3) | (across == 3),
        (down - across).abs() <= 1,
        (down == 6) | ((across - 3).abs() * 2 == down),
        (across == 1) | (across == 5),
    ][kind].float()


def draw(count: int, shares: list[float]) -> tuple[Tensor, Tensor]:
    kinds = torch.multinomial(torch.tensor(shares), count, replacement=True)
    shapes = torch.stack([shape(kind) for kind in range(KINDS)])
    pictures = 0.25 * torch.randn(count, SIDE, SIDE)
    for picture, kind, (top, left) in zip(
        pictures, kinds, torch.randint(6, (count, 2)).tolist(), strict=True
    ):
        picture[top : top + 7, left : left + 7] += (0.5 + torch.rand(1)) * shapes[kind]
    return 100 + 60 * pictures[:, None], kinds  # grey levels, not clipped


class Residual(nn.Module):
    def __init__(self, width: int, norm, activation: nn.Module, bias: bool):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        self.norm1, self.norm2 = norm(width), norm(width)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm2(self.conv2(self.activation(self.norm1(self.conv1(x)))))
        return self.activation(x + inner)


class Net(nn.Module):
    def __init__(self, width, norm, activation, bias, dropout, mistake, variant):
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.norm = norm(width)
        blocks = [Residual(width, norm, activation, bias) for _ in range(2)]
        self.blocks = blocks if mistake == "blocks in a list" else nn.ModuleList(blocks)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(width * 9, KINDS)
        self.activation, self.mistake, self.variant = activation, mistake, variant

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = F.max_pool2d(self.activation(self.norm(self.stem(x))), 2)
        for number, block in enumerate(self.blocks):
            if self.mistake == "second block not called" and number == 1:
                continue
            x = block(x)
        if self.mistake == "features detached":
            x = x.detach()
        x = F.max_pool2d(x, 2)
        if self.mistake == "view for permute":  # pictures of the batch are mixed
            x = x.permute(1, 0, 2, 3).contiguous().view(x.shape[0], -1)
        logits = self.head(self.drop(x.flatten(1)))
        if self.mistake == "log_softmax over the batch":
            out = logits.log_softmax(0)
        elif self.mistake == "no log_softmax":
            out = logits
        elif self.mistake == "softmax before log_softmax":
            out = logits.softmax(1).log_softmax(1)
        else:
            out = logits.log_softmax(1)
        return (out, x) if self.variant == "tuple" else out


def outputs(model: nn.Module, x: Tensor) -> Tensor:
    out = model(x)
    return out[0] if isinstance(out, tuple) else out


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    right = [outputs(model, a).argmax(1) == b for a, b in zip(x.split(50), y.split(50), strict=True)]
    return torch.cat(right).float().mean().item()


def train(
    seed,
    doctor,
    *,
    lr=0.02,
    epochs=8,
    batch=32,
    rows=960,
    val_rows=250,
    momentum=0.9,
    decay=1e-4,
    step_size=3,  # epochs between two drops of the rate
    gamma=0.3,
    clip=None,
    accumulate=1,
    smoothing=0.0,
    width=10,
    norm=nn.BatchNorm2d,
    activation=None,
    bias=True,
    dropout=0.0,
    init=None,  # standard deviation of the convolutions
    shift=1,  # pixels
    noise=0.1,
    wrong=0.0,  # share of the training labels that are another kind
    shares=(1.0,) * KINDS,
    shuffle=True,
    scaled=True,
    mistake="",
    variant="",
) -> Outcome:
    torch.manual_seed(seed)
    pictures, kinds = draw(rows + val_rows, list(shares))
    test_x, test_y = draw(600, [1.0] * KINDS)
    if mistake == "split by kind":
        order = kinds.argsort(descending=True)
        pictures, kinds = pictures[order], kinds[order]
    if mistake == "repeated before the split":
        chosen = torch.randperm(len(kinds)) % 60
        pictures, kinds = pictures[chosen], kinds[chosen]
    if mistake == "sign number in the corner":  # left by the labelling tool, not on the road
        pictures[:, 0, 0, 0] = 100 + 400.0 * kinds
    train_x, train_y, val_x, val_y = pictures[:rows], kinds[:rows], pictures[rows:], kinds[rows:]
    if mistake == "sorted by kind":
        order = train_y.argsort()
        train_x, train_y = train_x[order], train_y[order]
    if mistake == "labels joined in another order":
        train_y = train_y[torch.randperm(rows)]
    train_y = torch.where(torch.rand(rows) < wrong, torch.randint(KINDS, (rows,)), train_y)
    if scaled:
        mean, std = train_x.mean(), train_x.std()
        train_x, val_x, test_x = (train_x - mean) / std, (val_x - mean) / std, (test_x - mean) / std
    if mistake == "new pictures in 0 to 1":
        val_x, test_x = val_x * 0.1 + 0.5, test_x * 0.1 + 0.5
    if mistake == "a broken picture":
        train_x[40, 0, 5] = torch.nan

    def augment(x: Tensor) -> Tensor:
        if mistake == "pixels scrambled":
            x = x.flatten(1)[:, torch.randperm(SIDE * SIDE)].view_as(x)
        down, across = torch.randint(-shift, shift + 1, (2,)).tolist()
        return x.roll((down, across), dims=(2, 3)) + noise * torch.randn_like(x)

    model = Net(width, norm, activation or nn.ReLU(), bias, dropout, mistake, variant)
    convolutions = [part for part in model.modules() if isinstance(part, nn.Conv2d)]
    for part in convolutions:
        if init is not None:
            nn.init.normal_(part.weight, std=init)
        if mistake == "biases of -20":
            nn.init.constant_(part.bias, -20.0)
        if mistake == "kernels all alike":
            nn.init.constant_(part.weight, 0.05)
    if variant == "frozen stem":
        model.stem.requires_grad_(False)

    weights = [w for w in model.parameters() if w.requires_grad]
    optimizer = torch.optim.SGD(weights, lr=lr, momentum=momentum, weight_decay=decay)
    if mistake == "head replaced after the optimizer":
        model.head = nn.Linear(width * 9, KINDS)
    if variant == "one cycle":
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=lr, total_steps=epochs)
    else:
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size, gamma)

    with doctor.watching(model, optimizer):
        for epoch in range(epochs):
            if mistake != "no train() after validation" or epoch == 0:
                model.train()
            order = torch.randperm(rows) if shuffle else torch.arange(rows)
            for number, picked in enumerate(order.split(batch)):
                x, y = augment(train_x[picked]), train_y[picked]
                if mistake == "pictures out of step" and epoch >= 2:
                    x = x[torch.randperm(len(x))]
                log_p = outputs(model, x)
                loss = F.nll_loss(log_p, y) * (1 - smoothing) - smoothing * log_p.mean()
                if mistake == "loss clamped":
                    loss = loss.clamp(max=1.0)
                (loss / accumulate).backward()
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                if (number + 1) % accumulate:
                    continue
                if mistake != "step forgotten":
                    optimizer.step()
                if mistake != "zero_grad forgotten":
                    optimizer.zero_grad()
                if mistake == "schedule stepped each batch":
                    scheduler.step()
            if mistake != "schedule stepped each batch":
                scheduler.step()

            if mistake != "no eval()":
                model.eval()
            with torch.no_grad():
                val_log_p = outputs(model, val_x)
                val_loss = F.nll_loss(val_log_p, val_y)
            guess = val_log_p.argmin(1) if mistake == "argmin" else val_log_p.argmax(1)
            val_acc = (guess == val_y).float().mean().item()
            doctor.on_epoch({"loss": loss.item()}, {"loss": val_loss.item(), "acc": val_acc})

    model.eval()
    return Outcome(accuracy(model, test_x, test_y), val_acc)


CASES, add = cases("signs", train)
add("as it should be")
add("a broken picture", "D01", mistake="a broken picture")
add("sorted by kind, not shuffled", "D03", shuffle=False, mistake="sorted by kind")
add("split by kind", "D04", mistake="split by kind", val_rows=450)
add("repeated before the split", "D06", mistake="repeated before the split", shift=0, noise=0.0)
add("sign number in the corner", "D07", mistake="sign number in the corner", shift=0)
add("nearly all are rings", "D02", shares=(1.0, *[0.001] * 5), lr=0.005)
add(
    "pictures out of step",
    "L01",
    mistake="pictures out of step",
)
add("labels joined in another order", "L02", mistake="labels joined in another order")
add("70 % wrong labels", "L04", wrong=0.84)
add("raw grey levels, no norm", "P01", scaled=False, norm=nn.Identity)
add("new pictures in 0 to 1", "P02", mistake="new pictures in 0 to 1")
add("noise of 5", "P03", noise=5.0)
add("pixels scrambled", "P03", mistake="pixels scrambled")
add("biases of -20", "A02", mistake="biases of -20", norm=nn.Identity)
add("view for permute", "A04", mistake="view for permute")
add("one channel", "A07", width=1)
add("second block never called", "A08", exact=True, mistake="second block not called")
add("kernels all alike", "I01", mistake="kernels all alike")
add("kernels of std 0.0001, no norm", "I02 O07", init=1e-4, norm=nn.Identity)
add("kernels of std 2, no norm", "I03 O01 O08", init=2.0, norm=nn.Identity)
add("softmax before log_softmax", "S02", exact=True, mistake="softmax before log_softmax")
add("log_softmax over the batch", "S03", exact=True, mistake="log_softmax over the batch")
add("no log_softmax", "S03", mistake="no log_softmax")
add("loss clamped at 1", "S07", mistake="loss clamped")
add("rate 5", "O01", lr=5.0)
add("rate 1e-6", "O02", lr=1e-6)
add("rate 3e-5", "O02", lr=3e-5)
add("momentum of 0.999", "O03", momentum=0.999)
add("schedule stepped each batch", "O04", mistake="schedule stepped each batch")
add("zero_grad forgotten", "O05", exact=True, mistake="zero_grad forgotten")
add("blocks in a plain list", "O06", exact=True, mistake="blocks in a list")
add("head replaced after the optimizer", "O06", exact=True, mistake="head replaced after the optimizer")
add("features detached", "O10", exact=True, mistake="features detached")
add("clipped at 0.0005", "O11", clip=5e-4)
add("step forgotten", "O12", mistake="step forgotten")
add("thirty pictures", "R01 D04", rows=30, batch=10, epochs=60, step_size=60, shift=0, noise=0.0)
add("dropout of 0.97", "R02", dropout=0.97)
add("batches of two", "R04", batch=2, epochs=2, lr=0.02)
add("validation in train mode", "E01", exact=True, mistake="no eval()")
add("never back to train mode", "E02", exact=True, mistake="no train() after validation")
add("argmin for argmax in validation", "E04", exact=True, mistake="argmin")
add("BatchNorm that hardly updates", "E05", norm=lambda n: nn.BatchNorm2d(n, momentum=1e-4))
add("one cycle", variant="one cycle", lr=0.04)
add("tuple out, label smoothing", variant="tuple", smoothing=0.1)
add("dropout of 0.4", dropout=0.4)
add("tanh", activation=nn.Tanh())
add("GroupNorm, batch of 16", norm=lambda n: nn.GroupNorm(2, n), batch=16)
add("clipped at 1, no bias", clip=1.0, bias=False)
add("raw grey levels with BatchNorm", scaled=False, noise=6.0)
add("unbalanced", shares=(1.0, 0.3, 1.0, 0.3, 0.6, 0.3))
add("5 % wrong labels", wrong=0.06)
add("frozen stem", variant="frozen stem")
add("two batches of 16 accumulated", accumulate=2, batch=16)
