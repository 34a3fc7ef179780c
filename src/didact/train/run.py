"""A run: a directory of plain files, and the object over it.

recipe.json        every knob, with where its value came from
facts.json         what the model knows of the data
data.json          the data card: sizes, classes, examples
environment.json   versions, machine, command
metrics.jsonl      a line a point of the training curve, a line an epoch
state.safetensors  everything needed to continue
model.safetensors  the kept weights; architecture and facts travel in its metadata
results.json       final scores, what there is to see, cost
diagnosis.json     what the doctor says
healed.json        what was changed, where the run heals another one
report.html        all of it on one page
"""

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from didact.catalog import build, constructor_arguments, find
from didact.data.encode import encode
from didact.data.facts import Facts
from didact.data.open import Data, open_data, open_for
from didact.errors import RunError, UsageError
from didact.nn.fuse import fuse
from didact.nn.initialise import initialise
from didact.tasks.choose import TASKS, task_for
from didact.tasks.exhibits import Exhibit, exhibit_from_dict
from didact.tasks.task import Numbers, Task, device_of
from didact.train.files import load_tensors, read_json, save_tensors, write_json
from didact.train.recipe import Recipe
from didact.train.record import read_metrics
from didact.version import VERSION


class Run:
    """A trained, or half-trained, model with everything that belongs to it.

    Example:
        >>> run = didact.load("runs/lenet5-digits-1")
        >>> run.scores["test"]["accuracy"]
    """

    def __init__(self, directory: str | Path):
        self.directory = Path(directory)
        if not (self.directory / "recipe.json").is_file():
            what = "no such directory" if not self.directory.exists() else "not a run (it has no recipe.json)"
            raise RunError(f"{self.directory}: {what}; didact train makes one")
        self.recipe = Recipe.load(self.directory / "recipe.json")

    @cached_property
    def facts(self) -> Facts:
        """What the model knows of the data."""
        path = self.directory / "facts.json"
        try:
            return Facts.from_dict(read_json(path))
        except (TypeError, KeyError, AttributeError) as error:
            raise RunError(f"{path}: not the facts of a data set ({error})") from None

    @cached_property
    def task(self) -> Task:
        """The task, with the recipe's knobs."""
        return make_task(self.recipe, self.facts)

    @cached_property
    def model(self) -> nn.Module:
        """The kept weights in their architecture, in evaluation mode."""
        path = self.directory / "model.safetensors"
        if not path.exists():
            raise RunError(
                f"{self.directory} has no weights yet; didact train --resume {self.directory} goes on"
            )
        return load_model(path)

    @cached_property
    def ready(self) -> nn.Module:
        """The model as it answers: norms folded into the convolutions before them, images channels-last.

        It gives the answers of ``model`` but for rounding, in less time.
        """
        if self.facts.inputs != "image":
            return self.model
        example = torch.zeros(2, *self.facts.input_shape, device=device_of(self.model))
        return fuse(self.model, example).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def finished(self) -> bool:
        """Whether the run was trained to its end and scored."""
        return (self.directory / "results.json").exists()

    @property
    def results(self) -> dict[str, Any]:
        """Everything in ``results.json``.

        Raises:
            RunError: The run is not finished.
        """
        self.check_finished()
        return read_json(self.directory / "results.json")

    def check_finished(self) -> None:
        """Do nothing for a finished run.

        Raises:
            RunError: The run is not finished.
        """
        if not self.finished:
            raise RunError(
                f"{self.directory} is not finished; didact train --resume {self.directory} goes on"
            )

    @property
    def diagnosis(self) -> dict[str, Any]:
        """What the doctor says: ``verdict``, ``findings``, the worst first. Empty where it did not watch."""
        path = self.directory / "diagnosis.json"
        return read_json(path) if path.exists() else {}

    @property
    def scores(self) -> dict[str, Numbers]:
        """The final numbers on ``val`` and ``test``."""
        return {name: self.results[name] for name in ("val", "test")}

    @property
    def exhibits(self) -> list[Exhibit]:
        """What there is to see of the test split."""
        return [exhibit_from_dict(values) for values in self.results["exhibits"]]

    @property
    def history(self) -> list[dict[str, Any]]:
        """A record for each epoch: ``train``, ``val``, ``lr``, ``seconds``."""
        return [record for record in read_metrics(self.directory / "metrics.jsonl") if "val" in record]

    @property
    def curve(self) -> list[dict[str, Any]]:
        """The points of the raw training curve."""
        return [record for record in read_metrics(self.directory / "metrics.jsonl") if "val" not in record]

    @property
    def report(self) -> Path:
        """The page that shows the run."""
        return self.directory / "report.html"

    def data(self) -> Data:
        """Open the data of this run again, split as it was.

        Raises:
            RunError: The data has changed since.
        """
        data = open_recipe_data(self.recipe)
        if data.facts.fingerprint != self.facts.fingerprint:
            raise RunError(
                f"{self.recipe.data}: the data is not what {self.directory} was trained on "
                "(its fingerprint differs); train anew, or restore the data"
            )
        return data

    def evaluate(self, split: str = "val", *, data: str | Path | None = None, again: bool = False) -> Numbers:
        """Score the kept weights.

        Args:
            split: ``train``, ``val`` or ``test`` of the run's own data.
            data: Another labelled data set instead, encoded by the facts of this run.
            again: Look at the test split once more. It was scored at the end of training; every choice made
                after a second look makes its number too good.

        Raises:
            UsageError: The test split is asked for a second time without ``again``.
            RunError: The test split is asked for before training has ended.
            DataError: The other data is broken, or of another kind.
        """
        if data is not None:
            return self.task.score(self.ready, open_for(self.facts, data))
        if split == "test":
            results = self.results
            if not again:
                raise UsageError(
                    f"the test split of {self.directory} was scored when training ended "
                    f"({self.headline()}); a second look spoils it, and needs --again"
                )
            write_json(self.directory / "results.json", results | {"test_looks": results["test_looks"] + 1})
        return self.task.score(self.ready, self.data()[split])

    def predict(self, items: Sequence[Any]) -> list[dict[str, Any]]:
        """Answer raw examples: image paths or arrays, table rows as dicts, or texts.

        Example:
            >>> run.predict(["seven.png"])[0]["class"]

        Raises:
            UsageError: One example alone, which is not a list of one.
            DataError: An example that cannot be read.
        """
        if isinstance(items, str | Path | Mapping):
            raise UsageError(f"predict takes a list of examples: write [{items!r}]")
        if not len(items):
            return []
        if self.facts.inputs == "tokens":
            return [answer for text in items for answer in self._predict(encode(self.facts, [text])[None])]
        return self._predict(encode(self.facts, items))

    @torch.inference_mode()
    def _predict(self, inputs: torch.Tensor) -> list[dict[str, Any]]:
        model = self.ready
        return self.task.decode(model(inputs.to(device_of(model))).float().cpu())

    def headline(self) -> str:
        """The test score that counts, in words: ``accuracy 0.9889``."""
        return f"{self.task.metric} {self.scores['test'][self.task.metric]:.4f}"

    def to_dict(self) -> dict[str, Any]:
        """The run in plain values: directory, recipe, scores and cost."""
        recipe = {key: entry["value"] for key, entry in self.recipe.to_dict().items()}
        return {
            "directory": str(self.directory),
            "recipe": recipe,
            "scores": self.scores,
            "cost": self.results["cost"],
        }

    def __repr__(self) -> str:
        return f"Run({str(self.directory)!r})"

    def __str__(self) -> str:
        lines = [f"{self.recipe.model} on {self.recipe.data}: {self.directory}"]
        if self.finished:
            for split, numbers in self.scores.items():
                lines.append(
                    f"{split:>5}  " + "  ".join(f"{name} {value:.4f}" for name, value in numbers.items())
                )
        else:
            lines.append(f"not finished: {len(self.history)} of {self.recipe.epochs} epochs")
        return "\n".join(lines)


def load(directory: str | Path) -> Run:
    """Open a run.

    Raises:
        RunError: The directory is no run, or is damaged.
    """
    return Run(directory)


def open_recipe_data(recipe: Recipe) -> Data:
    """Open the data that a recipe names, split and encoded as it says."""
    return open_data(
        recipe.data,
        split=recipe.split,
        folds=recipe.folds,
        fold=recipe.fold,
        seed=recipe.seed,
        classes=recipe.classes,
        examples=recipe.examples,
        image_size=recipe.image_size,
        channels=recipe.channels,
        crop=recipe.crop,
        interpolation=recipe.interpolation,
        standardise=recipe.standardise,
        mean=recipe.mean,
        std=recipe.std,
        target=recipe.target,
        context=recipe.context,
        allow_bad=recipe.allow_bad,
    )


def make_task(recipe: Recipe, facts: Facts) -> Task:
    """The task of a recipe on this data.

    Raises:
        UsageError: The model does not learn such data, or a knob says nothing to it.
    """
    task = task_for(recipe.model, find(recipe.model), facts)
    for knob in ("image_size", "channels", "crop", "augment"):
        if getattr(recipe, knob) and facts.inputs != "image":
            raise UsageError(f"{knob} changes images; {facts.name} holds {facts.inputs} examples")
    for knob in recipe.task_args:
        if knob not in task.__dataclass_fields__:
            owners = [name for name, cls in TASKS.items() if knob in cls.__dataclass_fields__]
            raise UsageError(
                f"{knob}: this run's task is {task.name}, but {knob} belongs to {' and '.join(owners)}"
            )
    return task(facts, **recipe.task_args)


def build_for(recipe: Recipe, facts: Facts) -> tuple[nn.Module, dict[str, Any]]:
    """Build the recipe's model for the data, with its first weights; also the arguments to build it again.

    Raises:
        UsageError: A size that the user gave contradicts the data.
    """
    known = constructor_arguments(recipe.model)
    sizes = {name: size for name, size in facts.model_sizes().items() if name in known}
    for name, given in recipe.model_args.items():
        if name in sizes and given != sizes[name]:
            raise UsageError(f"{name}={given}: the data {facts.name} needs {sizes[name]}; leave {name} out")
    arguments = sizes | recipe.model_args
    network = build(recipe.model, **arguments)
    initialise(network, recipe.init)
    return network, arguments


def save_model(
    path: Path, weights: dict[str, torch.Tensor], recipe: Recipe, arguments: dict[str, Any], facts: Facts
) -> None:
    """Write weights with all that is needed to use them: architecture, sizes and facts."""
    metadata = {"model": recipe.model, "arguments": arguments, "facts": facts.to_dict()}
    save_tensors(path, weights, metadata)


def load_model(path: Path) -> nn.Module:
    """Build the architecture that a weights file names and load its weights strictly.

    Raises:
        RunError: Not a weights file of didact, or the shapes differ from the architecture's.
    """
    weights, metadata = load_tensors(path)
    if "model" not in metadata:
        raise RunError(f"{path}: its metadata names no model; didact writes such files")
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in metadata["arguments"].items()}
    model = build(metadata["model"], **arguments)
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    for name in expected.keys() | weights.keys():
        have = tuple(weights[name].shape) if name in weights else "nothing"
        want = tuple(expected[name]) if name in expected else "nothing"
        if have != want:
            raise RunError(f"{path}: {name} has shape {have}, but {metadata['model']} wants {want}")
    model.load_state_dict(weights)
    return model.eval()


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, machine and command, for whoever wants to repeat the run."""
    import numpy

    return {
        "didact": VERSION,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": str(device),
        "accelerator": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "command": " ".join(["didact", *sys.argv[1:]]) if Path(sys.argv[0]).name == "didact" else "python",
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
