"""Labels that are wrong, and labels that give themselves away: L01 to L05."""

import torch
from fault import LABELLED, NUMBERS, fault
from torch import Tensor

from tasks import Task


@fault("L01", (*NUMBERS, "recall-gru"))
def inputs_shuffled_each_epoch(task: Task) -> None:
    """`shuffle(x)` at the end of an epoch, and y stays where it was."""
    task.own_data()

    def shuffle(_task: Task, _model: object, x: Tensor, _y: Tensor) -> None:
        x.copy_(x[torch.randperm(len(x))])

    task.after_epoch = shuffle


@fault("L02", (*NUMBERS, "recall-gru"))
def labels_of_other_rows(task: Task) -> None:
    """A join on the wrong key: every row has some other row's label."""
    task.train = (task.train[0], task.train[1][torch.randperm(len(task.train[1]))])


@fault("L02", ("digits-mlp", "wine-mlp", "cancer-bce", "diabetes", "rows-lstm"))
def labels_one_row_late(task: Task) -> None:
    """The header was skipped in one file and not in the other."""
    task.train = (task.train[0], task.train[1].roll(1, 0))


@fault("L03", ("markov-lm",))
def forgot_to_shift(task: Task) -> None:
    """The target of a token is that token."""
    task.train, task.val = (task.train[0], task.train[0]), (task.val[0], task.val[0])


@fault("L03", ("markov-lm",))
def shifted_backwards(task: Task) -> None:
    """The target of a token is the one before it, which the network can see."""
    back = lambda x: torch.cat([x[:, :1], x[:, :-1]], 1)  # noqa: E731
    task.train, task.val = (task.train[0], back(task.train[0])), (task.val[0], back(task.val[0]))


# An answer inside the input is a leaked feature just as well.
@fault("L03", ("recall-gru",), also=("D07",))
def answer_at_the_end(task: Task) -> None:
    """The answer was appended to the question, and never taken off."""
    for split in ("train", "val"):
        x, y = getattr(task, split)
        setattr(task, split, (torch.cat([x[:, :-1], y[:, None]], 1), y))


@fault("L04", LABELLED, "report", {"20 %": {"share": 0.2}, "40 %": {"share": 0.4}})
def noisy_labels(task: Task, share: float) -> None:
    """Tired annotators: a share of labels is any class."""
    classes = int(task.train[1].max()) + 1

    def spoil(y: Tensor) -> Tensor:
        wrong = torch.rand(len(y)) < share
        return torch.where(wrong, (y + torch.randint(1, classes, y.shape)) % classes, y)

    task.map_targets(spoil, "train val")


@fault("L05", LABELLED, "present")
def classes_from_one(task: Task) -> None:
    """Classes counted from 1, and one output more so that it does not crash."""
    classes = int(task.train[1].max()) + 2
    task.map_targets(lambda y: y + 1)
    task.set_outputs(classes)


@fault("L05", (*LABELLED, "recall-gru"), strengths={"all zero": {}})
def one_label_only(task: Task) -> None:
    """A mapping that knows none of the names: everything is class 0."""
    task.map_targets(torch.zeros_like, "train val")


@fault("L05", ("cancer-bce",))
def binary_as_one_and_two(task: Task) -> None:
    """Classes 1 and 2 for a loss that wants 0 and 1."""
    task.map_targets(lambda y: y + 1, "train val")
