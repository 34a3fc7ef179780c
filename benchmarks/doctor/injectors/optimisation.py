"""Steps that go wrong: O01 to O12."""

import copy
from functools import partial
from typing import Any

import networks
import torch
from fault import NUMBERS, ONE_LOSS, fault
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import lr_scheduler

from injectors.architecture import deep_mlp, weighted
from tasks import Task, sgd

SGD = ("digits-mlp", "wine-mlp", "diabetes")


def scale_lr(task: Task, factor: float) -> None:
    """Another learning rate."""
    make = task.optimizer
    task.optimizer = partial(make, lr=make.keywords["lr"] * factor)


@fault(
    "O01", ONE_LOSS, strengths={"x30": {"factor": 30.0}, "x100": {"factor": 100.0}, "x1000": {"factor": 1e3}}
)
def lr_too_high(task: Task, factor: float) -> None:
    """A learning rate for another optimizer."""
    scale_lr(task, factor)


@fault("O02", (*ONE_LOSS, "ring-gan"), strengths={"/100": {"factor": 0.01}, "/1000": {"factor": 1e-3}})
def lr_too_low(task: Task, factor: float) -> None:
    """Too many zeros after the point."""
    scale_lr(task, factor)
    if task.critic_optimizer:
        task.critic_optimizer = partial(task.critic_optimizer, lr=4e-3 * factor)


# With momentum 0.999 a step grows a thousandfold: a learning rate that is too high (O01).
@fault("O03", SGD, strengths={"0.999": {"momentum": 0.999}}, also=("O01",))
def heavy_momentum(task: Task, momentum: float) -> None:
    """One nine too many."""
    task.optimizer = partial(task.optimizer, momentum=momentum)


@fault(
    "O03",
    ("digits-cnn", "iris-mlp", "cancer-bce", "rows-lstm", "recall-gru", "markov-lm", "digits-vae"),
    "present",
    # An eps of 1 makes every step a hundred times smaller: a higher learning rate (O02) mends it as well.
    {"eps 1": {"eps": 1.0, "also": ("O02",)}, "betas": {"betas": (0.999, 0.9)}},
    hint=True,
)
def odd_adam(task: Task, **options: Any) -> None:
    """An eps raised out of caution, or betas the wrong way round."""
    task.optimizer = partial(task.optimizer, **options)


@fault("O04", (*NUMBERS, "recall-gru", "markov-lm"))
def decays_each_batch(task: Task) -> None:
    """A schedule counted in epochs, stepped each batch."""
    task.schedule = lambda optimizer, epochs, steps: lr_scheduler.StepLR(optimizer, 1, 0.7)
    task.schedule_each = "batch"


@fault("O04", (*NUMBERS, "markov-lm"))
def rises_each_epoch(task: Task) -> None:
    """A gamma above 1."""
    gamma = 1e4 ** (1 / task.epochs)
    task.schedule = lambda optimizer, epochs, steps: lr_scheduler.ExponentialLR(optimizer, gamma)


@fault("O04", ("digits-mlp", "wine-mlp", "cancer-bce", "diabetes", "rows-lstm", "synthetic"))
def dies_early(task: Task) -> None:
    """Milestones meant as epochs and counted in batches."""
    milestones = [1, 2, 3, 4]
    task.schedule = lambda optimizer, *_: lr_scheduler.MultiStepLR(optimizer, milestones, 0.1)
    task.schedule_each = "batch"


@fault("O05", (*ONE_LOSS, "ring-gan"), "present")
def gradients_kept(task: Task) -> None:
    """zero_grad was forgotten."""
    task.zero_grad = False


def last_layer(model: nn.Module) -> list[nn.Parameter]:
    return list(list(weighted(model))[-1].parameters())


@fault("O06", NUMBERS, "present")
def head_alone(task: Task) -> None:
    """Only the last layer was given to the optimizer, and the rest was not frozen."""
    task.trained = last_layer


@fault("O06", (*NUMBERS, "recall-gru"), "present")
def head_replaced_later(task: Task) -> None:
    """A new last layer, after the optimizer was made."""

    def replace(model: nn.Module) -> None:
        name, old = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear)][-1]
        parent = model.get_submodule(name.rpartition(".")[0])
        setattr(parent, name.rpartition(".")[2], nn.Linear(old.in_features, old.out_features))

    task.edits.append(replace)


@fault("O06", (*ONE_LOSS, "ring-gan"), "present")
def optimizer_of_a_copy(task: Task) -> None:
    """The optimizer moves the weights of another copy of the network."""
    if task.kind == "points":
        task.trained = lambda critic: list(copy.deepcopy(critic).parameters())
    else:
        task.trained = lambda model: list(copy.deepcopy(model).parameters())


class ListNet(nn.Module):
    """Hidden layers in a Python list, which no optimizer finds."""

    def __init__(self, first: int, last: int):
        super().__init__()
        self.layers = [nn.Linear(first, 32), nn.Linear(32, 32), nn.Linear(32, 32)]
        self.output = nn.Linear(32, last)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = F.relu(layer(x))
        return self.output(x)


@fault("O06", ("digits-mlp", "wine-mlp", "cancer-bce", "synthetic", "diabetes"), "present")
def layers_in_a_list(task: Task) -> None:
    """A list where an nn.ModuleList belongs."""
    from injectors.architecture import SIZES

    task.network = partial(ListNet, *SIZES[task.name])


@fault(
    "O07",
    ("digits-mlp", "wine-mlp", "cancer-bce", "synthetic"),
    strengths={"10": {"depth": 10}, "20": {"depth": 20}},
)
def deep_sigmoids(task: Task, depth: int) -> None:
    """Many sigmoids, one after another."""
    deep_mlp(task, depth, nn.Sigmoid)


@fault("O08", ("digits-mlp", "digits-cnn", "cancer-bce", "wine-mlp", "diabetes"))
def log_of_a_relu(task: Task) -> None:
    """A logarithm of what may be 0, in the middle of forward."""
    task.set_act(partial(networks.Apply, lambda x: torch.log(F.relu(x))))


class WildNet(networks.RowNet):
    """A ReLU recurrence whose matrix stretches."""

    def __init__(self) -> None:
        super().__init__(cell=partial(nn.RNN, nonlinearity="relu"))
        nn.init.eye_(self.rnn.weight_hh_l0)
        self.rnn.weight_hh_l0.data.mul_(8.0)


@fault("O08", ("rows-lstm",), also=("I03",))  # a recurrent matrix that is too large is an initialisation
def stretching_recurrence(task: Task) -> None:
    """Each row of the digit multiplies the state by eight."""
    task.network = partial(WildNet)


class Cube(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + x**3


@fault("O08", ("digits-mlp", "wine-mlp", "cancer-bce", "diabetes", "synthetic"))
def cubes(task: Task) -> None:
    """An activation that grows with the cube, four layers deep."""
    deep_mlp(task, 4, Cube)


@fault("O09", ("recall-gru",), strengths={"30": {"lag": 30}, "60": {"lag": 60}})
def plain_recurrence(task: Task, lag: int) -> None:
    """A tanh RNN, and the answer far back."""
    longer = lambda x: torch.cat([x, torch.randint(8, (len(x), lag))], 1)  # noqa: E731
    task.map_inputs(longer)
    task.rebuild(cell=nn.RNN)


class CutNet(networks.DigitNet):
    """Features under no_grad."""

    def features(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return super().features(x)


class CutRows(networks.RowNet):
    """The state detached on its way to the head."""

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.rnn(x)
        return self.head(states[:, -1].detach())


class CutVae(networks.Vae):
    """Decodes a detached code."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = self.act(self.encoder(x))
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        z = (mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)) if self.training else mean
        return torch.sigmoid(self.decoder(z.detach())), mean, log_variance


@fault("O10", ("digits-cnn", "rows-lstm", "digits-vae"), "present")
def cut_inside(task: Task) -> None:
    """A detach or a no_grad in the middle of forward."""
    task.network = partial({"digits-cnn": CutNet, "rows-lstm": CutRows, "digits-vae": CutVae}[task.name])


@fault("O10", ("digits-mlp", "iris-mlp", "wine-mlp", "cancer-bce", "diabetes"), "present")
def through_data(task: Task) -> None:
    """`.data` between two layers."""
    task.set_act(partial(networks.Apply, lambda x: F.relu(x.data)))


@fault("O10", (*NUMBERS, "recall-gru", "markov-lm"), "present")
def loss_made_anew(task: Task) -> None:
    """`torch.tensor(loss.item(), requires_grad=True)`: backward has nowhere to go."""
    task.set_loss(
        *(lambda out, y, f=f: torch.tensor(f(out, y).item(), requires_grad=True) for f in task.losses)
    )


@fault("O10", ("ring-gan",), "present")
def generator_cut(task: Task) -> None:
    """The fakes are detached in the generator's step too."""
    task.cut_fake = True


@fault("O11", (*SGD, "iris-mlp", "synthetic"), strengths={"1e-3": {"top": 1e-3}, "1e-2": {"top": 1e-2}})
def clipped_to_nothing(task: Task, top: float) -> None:
    """A bound on the norm that every gradient hits, under SGD."""
    if task.name not in SGD:
        task.optimizer = sgd(0.05)
    task.clip = top


@fault("O12", (*ONE_LOSS, "ring-gan"), "present")
def never_steps(task: Task) -> None:
    """optimizer.step() was forgotten."""
    task.takes_step = False
