"""Losses that do not fit the output: S01 to S07."""

from functools import partial

import torch
from fault import LABELLED, fault
from torch import Tensor, nn
from torch.nn import functional as F

import tasks
from tasks import Task

CLASSIFIERS = (*LABELLED, "recall-gru")


@fault("S01", ("cancer-bce",), "present", {"module": {"last": nn.Sigmoid()}, "call": {"last": torch.sigmoid}})
def sigmoid_twice(task: Task, last: object) -> None:
    """A sigmoid in front of a loss that has its own."""
    task.rebuild(last=last)


@fault("S01", ("ring-gan",), "present")
def critic_sigmoid_twice(task: Task) -> None:
    """The same in a GAN's critic."""
    task.wrap(lambda models: setattr(models[1], "last", torch.sigmoid))


@fault("S02", (*CLASSIFIERS, "markov-lm"), "present")
def softmax_twice(task: Task) -> None:
    """Probabilities for a loss that wants scores."""
    task.rebuild(last=nn.Softmax(dim=-1))


@fault("S03", CLASSIFIERS, "present")
def softmax_over_the_batch(task: Task) -> None:
    """log_softmax over the examples instead of the classes."""
    task.rebuild(last=partial(F.log_softmax, dim=0))
    task.set_loss(nn.NLLLoss(), F.nll_loss)


@fault("S03", ("markov-lm",), "present")
def softmax_over_time(task: Task) -> None:
    """log_softmax over the tokens of a sentence."""
    task.rebuild(last=partial(F.log_softmax, dim=1))
    task.set_loss(lambda out, y: F.nll_loss(out.flatten(0, 1), y.flatten()))


# The loss goes to minus infinity: a negative loss is the same slip seen from S07.
@fault("S03", CLASSIFIERS, also=("S07",))
def nll_of_scores(task: Task) -> None:
    """NLLLoss, and the log_softmax was left out."""
    task.set_loss(nn.NLLLoss(), F.nll_loss)


# A mean of minus a probability is a negative loss (S07).
@fault("S03", CLASSIFIERS, "present", also=("S07",))
def nll_of_probabilities(task: Task) -> None:
    """NLLLoss of softmax: the logarithm was left out."""
    task.rebuild(last=nn.Softmax(dim=-1))
    task.set_loss(nn.NLLLoss(), F.nll_loss)


@fault(
    "S04",
    ("diabetes",),
    "present",
    {"relu": {"last": nn.ReLU()}, "sigmoid": {"last": nn.Sigmoid()}, "tanh": {"last": nn.Tanh()}},
)
def output_cut(task: Task, last: nn.Module) -> None:
    """An activation after the last layer of a regression."""
    task.rebuild(last=last)


@fault("S04", ("digits-vae",), "present")
def sigmoid_for_standardised(task: Task) -> None:
    """A decoder that ends in a sigmoid, and standardised pixels."""
    mean, std = task.train[0].mean(), task.train[0].std()
    task.map_inputs(lambda x: (x - mean) / std)
    task.map_targets(lambda x: (x - mean) / std)


@fault("S05", ("diabetes",), "present")
def column_against_row(task: Task) -> None:
    """(B, 1) against (B,): every prediction against every target."""
    task.predict = lambda model, x: model(x)


@fault("S05", ("cancer-bce",), "present")
def column_against_row_by_hand(task: Task) -> None:
    """The same in a hand-written binary cross-entropy."""
    task.predict = lambda model, x: model(x)
    task.set_loss(tasks.hand_binary)


def as_number(out: Tensor, y: Tensor) -> Tensor:
    return F.mse_loss(out.squeeze(-1), y.float())


@fault("S06", LABELLED)
def class_as_number(task: Task) -> None:
    """Squared error of the class number: as if class 3 lay between 2 and 4."""
    task.set_outputs(1)
    task.set_loss(as_number)
    measure = lambda out, y: tasks.balanced(out.squeeze(-1).round(), y)  # noqa: E731
    task.metric = measure
    task.truth = partial(tasks.score_outputs, measure)


@fault("S06", ("cancer-bce", "diabetes"))
def cross_entropy_of_floats(task: Task) -> None:
    """CrossEntropyLoss of B numbers reads a batch as the classes of one example."""
    task.set_loss(nn.CrossEntropyLoss(), F.cross_entropy)


def changed(task: Task, change: object) -> None:
    """Put something after each loss."""
    task.set_loss(*(lambda out, y, f=f: change(f(out, y)) for f in task.losses))


@fault("S07", (*CLASSIFIERS, "cancer-bce"), strengths={"at 1": {"top": 1.0}, "at 0.5": {"top": 0.5}})
def clamped(task: Task, top: float) -> None:
    """A loss clipped so that it cannot explode, and has no gradient."""
    changed(task, lambda loss: loss.clamp(max=top))


# Summing is a learning rate B times as high: O01's fix mends it as well.
@fault("S07", ("digits-mlp", "wine-mlp", "diabetes"), also=("O01",))
def summed(task: Task) -> None:
    """reduction="sum"."""
    kinds = {"classes": (nn.CrossEntropyLoss, F.cross_entropy), "values": (nn.MSELoss, F.mse_loss)}
    module, function = kinds[task.kind]
    task.set_loss(module(reduction="sum"), partial(function, reduction="sum"))


@fault("S07", (*CLASSIFIERS, "cancer-bce", "diabetes", "markov-lm", "digits-vae"))
def no_minus(task: Task) -> None:
    """The minus sign of the log-likelihood was lost."""
    changed(task, lambda loss: -loss)
