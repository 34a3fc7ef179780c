"""Three interleaved spiral arms in the plane, one class each, told apart by a small tanh network.

All points are one batch: a plain loop with SGD and momentum, no DataLoader, and a look at a validation set
every 20 updates.
"""

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from case import Outcome, cases
from torch import Tensor, nn

ARMS = 3


def spiral(rng: np.random.Generator, rows: int, noise: float = 0.12) -> tuple[Tensor, Tensor]:
    """Points of three noisy arms and the number of each point's arm."""
    arm = rng.integers(ARMS, size=rows)
    radius = rng.uniform(0.1, 1.0, rows)
    angle = 4.0 * radius + arm * 2 * np.pi / ARMS + rng.normal(0, noise, rows)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1) * 1.7
    return torch.tensor(points, dtype=torch.float32), torch.tensor(arm)


class Net(nn.Module):
    """Fully connected layers with the same activation between them; `mistake` as in `train`."""

    def __init__(
        self,
        inputs: int = 2,
        hidden: tuple[int, ...] = (48, 48),
        activation: nn.Module | None = None,
        outputs: int = ARMS,
        bias: bool = True,
        mistake: str = "",
    ) -> None:
        super().__init__()
        widths = (inputs, *hidden)
        layers = [nn.Linear(a, b, bias=bias) for a, b in pairwise(widths)]
        self.layers = layers if mistake == "list of layers" else nn.ModuleList(layers)
        if mistake == "spare layer":
            self.spare = nn.Linear(hidden[-1], hidden[-1])
        self.head = nn.Linear(hidden[-1], outputs, bias=bias)
        self.activation = activation or nn.Tanh()
        self.mistake = mistake

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.activation(layer(x))
        if self.mistake == "detached body":
            x = x.detach()
        return self.head(x)


class Bare(nn.Module):
    """The same network from bare parameters, its answer in a dict."""

    def __init__(self, hidden: int = 48) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(2, hidden))
        self.first_bias = nn.Parameter(torch.randn(hidden))
        self.second = nn.Parameter(torch.randn(hidden, hidden) / hidden**0.5)
        self.third = nn.Parameter(torch.randn(hidden, ARMS) / hidden**0.5)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        first = torch.tanh(x @ self.first + self.first_bias)
        return {"logits": torch.tanh(first @ self.second) @ self.third}


def logits_of(answer: Tensor | dict[str, Tensor]) -> Tensor:
    return answer["logits"] if isinstance(answer, dict) else answer


def softmaxed_twice(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(F.softmax(logits, dim=1), labels)


def nll_of_raw_scores(logits: Tensor, labels: Tensor) -> Tensor:
    return F.nll_loss(logits, labels)


def clamped(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels).clamp(max=0.8)  # "so that it cannot explode"


def standardise(x: Tensor) -> Tensor:
    return (x - x.mean(0)) / x.std(0)


def train(
    seed,
    doctor,
    *,
    updates=700,
    rows=600,
    val_rows=300,
    batch=None,
    lr=0.1,
    momentum=0.9,
    nesterov=False,
    weight_decay=0.0,
    optimizer="sgd",
    gamma=1.0,
    warm_up=0,
    clip=None,
    accumulate=1,
    loss_fn=F.cross_entropy,
    net=Net,
    scale=(1.0, 1.0),
    label_noise=0.0,
    init=None,
    freeze=0,
    mistake="",
    **net_options,
) -> Outcome:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x, y = spiral(rng, rows)
    val_x, val_y = spiral(rng, val_rows)
    test_x, test_y = spiral(rng, 1000)

    units = torch.tensor(scale)
    x, val_x, test_x = x * units, val_x * units, test_x * units
    wrong = torch.as_tensor(rng.random(rows) < label_noise)
    y = torch.where(wrong, torch.as_tensor(rng.integers(ARMS, size=rows)), y)
    if mistake == "missing value":
        x[rows // 2, 1] = float("nan")
    if mistake == "missing arm":
        x, y = x[y != 2], y[y != 2]
    if mistake == "labels permuted":
        y = y[torch.randperm(len(y))]
    if mistake == "labels from one":  # the training file counts arms from 1, hence a fourth output
        y = y + 1
    if mistake == "only training scaled":
        x = standardise(x * 6 + 10)
        val_x, test_x = val_x * 6 + 10, test_x * 6 + 10
    if mistake == "answer among the inputs":  # a column that is known only after the fact
        x = torch.cat([x, y[:, None].float()], dim=1)
        val_x = torch.cat([val_x, val_y[:, None].float()], dim=1)
        test_x = torch.cat([test_x, torch.zeros(len(test_x), 1)], dim=1)

    if net is Net:
        net_options["mistake"] = mistake
    model = net(**net_options)
    if init is not None:
        for weights in model.parameters():
            init(weights)
    if freeze:
        for weights in list(model.parameters())[:freeze]:
            weights.requires_grad_(False)

    trained = [weights for weights in model.parameters() if weights.requires_grad]
    if optimizer == "sgd":
        opt = torch.optim.SGD(trained, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)
    else:
        opt = torch.optim.Adam(trained, lr=lr)
    if warm_up:
        scheduler = torch.optim.lr_scheduler.LambdaLR(opt, lambda step: min(1.0, step / warm_up))
    else:
        scheduler = torch.optim.lr_scheduler.ExponentialLR(opt, gamma)

    def accuracy(points: Tensor, labels: Tensor) -> float:
        return (logits_of(model(points)).argmax(1) == labels).float().mean().item()

    reported, history = 0.0, []
    with doctor.watching(model, opt):
        for update in range(updates):
            if mistake != "gradients kept":
                opt.zero_grad()
            for _ in range(accumulate):
                chosen = slice(None) if batch is None else torch.randint(len(x), (batch,))
                loss = loss_fn(logits_of(model(x[chosen])), y[chosen]) / accumulate
                loss.backward()
            if clip:
                nn.utils.clip_grad_norm_(trained, clip)
            if mistake != "no step":
                opt.step()
            scheduler.step()
            if mistake == "points reordered" and update >= 100:  # and the labels are not
                x = x[torch.randperm(len(x))]
            if update % 20 == 19:
                with torch.no_grad():
                    val_loss = F.cross_entropy(logits_of(model(val_x)), val_y)
                    reported = accuracy(val_x, val_y)
                history.append((update, loss.item(), val_loss.item(), reported))

    with torch.no_grad():
        return Outcome(accuracy(test_x, test_y), reported)


def constant(weights: Tensor) -> None:
    nn.init.constant_(weights, 0.1)


def tiny(weights: Tensor) -> None:
    nn.init.normal_(weights, std=1e-4)


def dying(weights: Tensor) -> None:
    if weights.dim() == 1:
        nn.init.constant_(weights, -3.0)


RELU, SIX_SIGMOIDS = nn.ReLU(), {"hidden": (32,) * 6, "activation": nn.Sigmoid()}

CASES, add = cases("moons", train)
add("as it should be")
add("a value is missing", "D01", mistake="missing value")
add("one arm left out", "D04", mistake="missing arm")
add("the answer is an input", "D07", inputs=3, mistake="answer among the inputs")
add("points reordered without labels", "L01", mistake="points reordered")
add("labels in another order", "L02", mistake="labels permuted")
add("labels counted from one", "L05", outputs=ARMS + 1, mistake="labels from one")
add("coordinates in millimetres", "P01 A01", scale=(1000.0, 1000.0))
add("only the training points scaled", "P02", mistake="only training scaled")
add("biases of -3", "A02", activation=RELU, init=dying)
add("no activation", "A03", activation=nn.Identity())
add("a spare layer", "A08", exact=True, mistake="spare layer")
add("all weights alike", "I01", init=constant)
add("weights of 1e-4", "I02", init=tiny, lr=0.02)
add("softmax twice", "S02", exact=True, loss_fn=softmaxed_twice)
add("nll of raw scores", "S03", loss_fn=nll_of_raw_scores)
add("loss clamped", "S07", loss_fn=clamped)
add("lr 30", "O01", lr=30.0)
add("lr 1e-5", "O02", lr=1e-5)
add("decay per update", "O04", gamma=0.9)
add("gradients kept", "O05", exact=True, mistake="gradients kept")
add("layers in a list", "O06", exact=True, mistake="list of layers")
add("six sigmoid layers", "O07", **SIX_SIGMOIDS)
add("detached body", "O10", exact=True, mistake="detached body")
add("clipped at 1e-3", "O11", clip=1e-3)
add("no step", "O12", mistake="no step")
add("twenty points", "R01 D04", rows=20)
add("weight decay 0.1", "R02", weight_decay=0.1)

add("lr 0.5, Nesterov", lr=0.5, nesterov=True)
add("Adam in batches of 64", optimizer="adam", lr=0.01, batch=64)
add("bare parameters, a dict out", net=Bare)
add("ReLU, wide", activation=RELU, hidden=(256, 64))
add("no bias", bias=False)
add("warm-up from 0", warm_up=150)
add("clipped at 1", clip=1.0)
add("label smoothing", loss_fn=nn.CrossEntropyLoss(label_smoothing=0.1))
add("5 % of labels wrong", label_noise=0.075)
add("first layer frozen", freeze=2, hidden=(128, 48))
add("four batches accumulated", batch=100, accumulate=4, updates=400)
