"""Regularisation, evaluation and modes: R01 to R04, E01 to E06."""

import time
from functools import partial

import torch
from fault import LABELLED, NUMBERS, ONE_LOSS, fault
from torch import Tensor, nn

import tasks
from tasks import Task, adam

DROPS = ("cancer-bce", "synthetic")
MODES = ("digits-cnn", "cancer-bce", "synthetic")  # networks that behave differently in training


@fault("R01", ("diabetes", "synthetic", "cancer-bce"), "overfit")
def far_too_long(task: Task) -> None:
    """A wide network, many epochs, nobody stops."""
    task.epochs = {"diabetes": 60, "synthetic": 30, "cancer-bce": 60}[task.name]
    task.set_width(256)
    task.optimizer = adam(3e-3)
    if task.name in DROPS:
        task.rebuild(drop=0.0)


# A tenth of the data: more of it (D04) mends it just as well.
@fault("R01", ("diabetes", "synthetic", "markov-lm", "rows-lstm", "digits-mlp"), "overfit", also=("D04",))
def little_data_long(task: Task) -> None:
    """A few rows learned by heart."""
    task.keep_rows(torch.arange(max(40, len(task.train[0]) // 12)))
    task.epochs *= 8
    task.optimizer = adam(5e-3)


@fault("R02", DROPS, strengths={"0.97": {"drop": 0.97}, "0.9": {"drop": 0.9}})
def drops_everything(task: Task, drop: float) -> None:
    """The probability to keep, given as the one to drop."""
    task.rebuild(drop=drop)


@fault("R02", ("digits-mlp", "wine-mlp", "diabetes", "digits-vae"))
def drops_everything_module(task: Task) -> None:
    """The same before the last layer, as a module."""

    def insert(model: nn.Module) -> nn.Module:
        if isinstance(model, nn.Sequential):
            return nn.Sequential(*list(model)[:-1], nn.Dropout(0.95), model[-1])
        model.decoder = nn.Sequential(model.decoder[0], nn.ReLU(), nn.Dropout(0.95), model.decoder[2])
        return model

    task.wrap(insert)


@fault("R02", NUMBERS, strengths={"1": {"decay": 1.0}, "0.3": {"decay": 0.3}})
def decays_away(task: Task, decay: float) -> None:
    """A weight decay a thousand times too strong."""
    task.optimizer = partial(task.optimizer, weight_decay=decay)


# Not the recall task: it waits on a plateau first, and there nothing tells too early from never.
@fault("R03", (*NUMBERS, "markov-lm"), strengths={"a tenth": {"part": 10}, "a fifth": {"part": 5}})
def stops_early(task: Task, part: int) -> None:
    """A few epochs, to see whether it runs; and that was it."""
    task.epochs = max(1, task.epochs // part)


@fault("R04", ("digits-cnn",), "present", {"2": {"batch": 2, "epochs": 2}, "4": {"batch": 4, "epochs": 4}})
def norm_of_few(task: Task, batch: int, epochs: int) -> None:
    """BatchNorm over two or four examples, because memory was short."""
    task.batch, task.epochs = batch, epochs


@fault("E01", MODES, "present")
def validates_in_train_mode(task: Task) -> None:
    """model.eval() was forgotten."""
    task.eval_mode = False


@fault("E01", ("cancer-bce", "synthetic", "digits-mlp"), "seen")
def validates_with_much_dropout(task: Task) -> None:
    """The same with half of the units dropped."""
    task.eval_mode = False
    if task.name == "digits-mlp":
        task.wrap(lambda model: nn.Sequential(*model[:4], nn.Dropout(0.7), model[4]))
    else:
        task.rebuild(drop=0.7)


@fault("E02", MODES, "present", {"after the first": {"mode": "once"}, "always": {"mode": "never"}})
def trains_in_eval_mode(task: Task, mode: str) -> None:
    """model.eval() for the validation, and never model.train() again."""
    task.train_mode = mode
    if mode == "never":
        task.wrap(lambda model: model.eval())


@fault("E03", ONE_LOSS, "present", hint=True)
def validates_with_graph(task: Task) -> None:
    """No no_grad around the validation."""
    task.no_grad = False


@fault("E03", ("digits-mlp", "digits-cnn", "rows-lstm", "cancer-bce"), "present", hint=True)
def keeps_graphs(task: Task) -> None:
    """`history.append(loss)`: every step's graph stays in memory."""
    task.keep_graph = True


def largest_score(out: Tensor, y: Tensor) -> float:
    return (out.max(1)[0] == y).float().mean().item()


def stale_order(measure: object, out: Tensor, y: Tensor) -> float:
    return measure(out, y[torch.randperm(len(y), generator=torch.Generator().manual_seed(5))])


@fault("E04", LABELLED, "seen", {"values": {"values": True}, "another order": {}}, styles=("classic",))
def metric_of_something_else(task: Task, values: bool = False) -> None:
    """The values of max, not its indices; or labels in another order than the predictions."""
    task.metric = largest_score if values else partial(stale_order, tasks.class_metric)


@fault("E04", ("cancer-bce",), "seen", styles=("classic",))
def metric_broadcasts(task: Task) -> None:
    """(B, 1) == (B,) compares all with all."""
    task.metric = lambda out, y: ((out[:, None] > 0).float() == y).float().mean().item()


@fault("E05", ("digits-cnn",), "seen", {"0.001": {"momentum": 0.001}, "0": {"momentum": 0.0}})
def statistics_never_follow(task: Task, momentum: float) -> None:
    """BatchNorm's momentum by another library's convention."""
    task.rebuild(momentum=momentum)


@fault("E06", ("wine-mlp", "iris-mlp", "cancer-bce", "digits-mlp"), "present", hint=True)
def slow_loader(task: Task) -> None:
    """Eight milliseconds of file reading for a step of half of one."""
    task.epochs = max(5, task.epochs // 3)
    task.before_batch = lambda: time.sleep(0.008)
