"""Every task by its name in the catalogue, and which one fits a model and a data set."""

from didact.data.facts import Facts
from didact.entry import Entry
from didact.errors import UsageError
from didact.tasks.adversarial import Adversarial
from didact.tasks.classify import Classify
from didact.tasks.language import Language
from didact.tasks.regress import Regress
from didact.tasks.task import Task

TASKS: dict[str, type[Task]] = {task.name: task for task in (Classify, Regress, Language, Adversarial)}
LEARNS = {"class": "classify", "number": "regress", "next": "language", "none": "adversarial"}


def task_for(model: str, entry: Entry, facts: Facts) -> type[Task]:
    """The task that this model learns on this data.

    Raises:
        UsageError: The model does not take such inputs, or cannot learn such a target.
    """
    if facts.inputs not in entry.inputs:
        raise UsageError(
            f"{model} takes {' or '.join(entry.inputs)} inputs, but {facts.name} holds {facts.inputs}; "
            "didact models lists what takes what"
        )
    name = LEARNS[facts.target]
    if name not in entry.tasks:
        raise UsageError(
            f"{model} learns to {' or '.join(entry.tasks)}, but {facts.name} asks to {name}; "
            f"didact models --task {name} lists the models that can"
        )
    return TASKS[name]
