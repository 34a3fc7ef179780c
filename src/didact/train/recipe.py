"""The recipe: every knob of a training run, with where each value came from.

A value is taken from the first of these that gives it: what the user typed, a recipe file, the model's
default recipe, the field's own default. A value the user gave always wins, or the run stops.
"""

import ast
import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_type_hints

from didact.catalog import canonical, constructor_arguments, find
from didact.errors import RunError, UsageError, suggest
from didact.train.parse import check, parse

OptimizerName = Literal[
    "sgd", "adam", "adamw", "rmsprop", "adagrad", "adadelta", "adamax", "nadam", "radam", "asgd", "rprop"
]
ScheduleName = Literal["constant", "step", "plateau", "cosine", "one-cycle", "linear", "exponential"]


@dataclass(frozen=True)
class Recipe:
    """Every knob of a run; all have a default, so a recipe is complete once a model and data are named."""

    model: str = "lenet5"
    """Architecture, a name of the catalogue."""
    data: str = "digits"
    """Embedded data set, or a path."""
    target: str | None = None
    """Column to predict, for tables; by default the last one."""
    split: str | None = None
    """Per cent for train/val/test; by default 60/20/20, for text 80/10/10; the data's own are kept."""
    folds: int = 0
    """Cut the data in this many folds instead; 0 does not."""
    fold: int = 0
    """Which of the folds is the test split; the next one validates."""
    image_size: int | None = None
    """Resize images to this many pixels a side; by default they keep their own size."""
    standardise: bool = True
    """Subtract the training mean and divide by the training standard deviation."""
    augment: tuple[str, ...] = ()
    """Random changes to training images, in order: flip, shift:PIXELS, noise:STD."""
    context: int = 128
    """Tokens a language model sees at once."""
    allow_bad: bool = False
    """Leave broken examples out instead of refusing the data."""

    epochs: int = 30
    """Passes over the training split."""
    batch_size: int = 64
    """Examples in each batch."""
    accumulate: int = 1
    """Batches whose gradients are averaged before each update."""
    seed: int = 0
    """Decides the split, the initial weights, the order of the batches and every random draw."""

    optimizer: OptimizerName = "adam"
    """torch's optimizer of that name."""
    lr: float = 0.001
    """Learning rate, before the schedule."""
    lr_scale: dict[str, float] = field(default_factory=dict)
    """Factor on the learning rate of a group of parameters, such as generator:0.5."""
    momentum: float | None = None
    """Of sgd and rmsprop; sgd takes 0.9 by default."""
    nesterov: bool = False
    """Look-ahead momentum, of sgd."""
    betas: tuple[float, float] | None = None
    """Decay of the two moments, of adam and its kin."""
    weight_decay: float = 0.0
    """L2 pull on the weights; adamw applies it apart from the gradient."""
    schedule: ScheduleName = "constant"
    """How the learning rate changes over the run."""
    warmup: float = 0.0
    """Epochs over which the learning rate first rises from zero."""
    step_epochs: int = 10
    """Epochs between two drops, for the step schedule."""
    decay: float = 0.1
    """Factor of each drop (step, plateau), or of each epoch (exponential)."""
    plateau_patience: int = 5
    """Epochs without a better validation score before the plateau schedule drops the rate."""
    clip_norm: float | None = None
    """Shrink a group's gradient to at most this norm."""
    clip_value: float | None = None
    """Cut each gradient element to at most this magnitude."""
    ema: float = 0.0
    """Decay of a moving average of the weights, which is then evaluated and kept; 0 keeps none."""
    patience: int = 0
    """Stop after this many epochs without a better validation score; 0 never stops early."""
    keep: Literal["best", "last"] = "best"
    """Which weights the run keeps: those of the best validation score, or the last."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of the forward pass; master weights stay in fp32."""
    compile: bool = False
    """Compile the model with torch.compile."""
    channels_last: bool = True
    """Lay image tensors out channels-last, which convolutions prefer."""
    workers: int = 0
    """Processes that decode data too large for memory."""
    threads: int = 0
    """CPU threads of torch; 0 leaves torch's choice."""
    checkpoint_every: float = 60.0
    """Seconds between two saves of the training state within an epoch; every epoch's end is saved too."""

    model_args: dict[str, Any] = field(default_factory=dict)
    """Constructor arguments of the model."""
    task_args: dict[str, Any] = field(default_factory=dict)
    """Knobs of the task."""
    origin: dict[str, str] = field(default_factory=dict)
    """Where each value came from."""

    def __post_init__(self) -> None:
        for name, rule in RULES.items():
            value, (holds, words) = getattr(self, name), rule
            if value is not None and not holds(value):
                raise UsageError(f"{name}={value}: {words}")
        if self.model != canonical(self.model):
            object.__setattr__(self, "model", canonical(self.model))

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Each knob with its value and where it came from."""
        values = asdict(self)
        origin = values.pop("origin")
        return {key: {"value": value, "from": origin.get(key, "default")} for key, value in values.items()}

    @classmethod
    def load(cls, path: Path) -> "Recipe":
        """Read a saved recipe.

        Raises:
            RunError: The file is not a recipe.
        """
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            values = {key: entry["value"] for key, entry in saved.items()}
            origin = {key: entry["from"] for key, entry in saved.items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise RunError(f"{path}: not a recipe ({type(error).__name__}: {error})") from None
        hints = recipe_types()
        unknown = next((key for key in values if key not in hints), None)
        if unknown:
            raise RunError(f"{path}: unknown knob {unknown!r}; {suggest(unknown, hints)}")
        checked: dict[str, Any] = {
            key: value if isinstance(value, dict) else check(key, value, hints[key])
            for key, value in values.items()
        }
        return cls(**checked, origin=origin)


RULES: Mapping[str, tuple[Any, str]] = {
    "epochs": (lambda v: v >= 1, "at least 1 epoch is needed"),
    "batch_size": (lambda v: v >= 1, "at least 1 example is needed in a batch"),
    "accumulate": (lambda v: v >= 1, "at least 1 batch is needed for an update"),
    "lr": (lambda v: 0 < v < float("inf"), "a learning rate is positive, such as 0.001"),
    "momentum": (lambda v: 0 <= v < 1, "choose from 0 to less than 1"),
    "betas": (lambda v: all(0 <= b < 1 for b in v), "each from 0 to less than 1, such as 0.9,0.999"),
    "weight_decay": (lambda v: v >= 0, "it must not be negative"),
    "warmup": (lambda v: v >= 0, "it must not be negative"),
    "step_epochs": (lambda v: v >= 1, "at least 1 epoch lies between two drops"),
    "decay": (lambda v: 0 < v <= 1, "a factor above 0 and at most 1"),
    "plateau_patience": (lambda v: v >= 1, "at least 1 epoch"),
    "clip_norm": (lambda v: v > 0, "a positive norm; none does not clip"),
    "clip_value": (lambda v: v > 0, "a positive magnitude; none does not clip"),
    "ema": (lambda v: 0 <= v < 1, "choose from 0 (none) to less than 1, such as 0.999"),
    "patience": (lambda v: v >= 0, "0 never stops early; 3 stops after 3 epochs without gain"),
    "image_size": (lambda v: v >= 1, "at least 1 pixel"),
    "context": (lambda v: v >= 1, "at least 1 token"),
    "workers": (lambda v: v >= 0, "0 decodes in the training process"),
    "threads": (lambda v: v >= 0, "0 leaves torch's choice"),
    "seed": (lambda v: 0 <= v < 2**63, "a whole number from 0 on"),
    "checkpoint_every": (lambda v: v > 0, "a positive number of seconds"),
    "lr_scale": (lambda v: all(s > 0 for s in v.values()), "factors must be positive"),
}


@cache
def recipe_types() -> dict[str, Any]:
    """The declared type of every knob."""
    hints = get_type_hints(Recipe)
    return {f.name: hints[f.name] for f in fields(Recipe) if f.name != "origin"}


def make_recipe(
    model: str | None = None,
    data: str | None = None,
    *,
    given: Mapping[str, Any] | None = None,
    settings: Mapping[str, str] | None = None,
    file: Path | None = None,
    origin: str = "command line",
) -> Recipe:
    """Assemble a recipe from every place a value can come from.

    Args:
        model: A name of the catalogue; LeNet-5 by default.
        data: A name or a path; by default what the catalogue pairs the model with.
        given: Values as Python objects, by knob, model argument or task knob.
        settings: Values as text (``--set KEY=VALUE``), parsed by declared type.
        file: A saved recipe to start from.
        origin: What to call the place that ``given`` and ``settings`` came from.

    Raises:
        UsageError: An unknown key (the nearest is suggested) or a value of the wrong type or range.
    """
    base = Recipe.load(file) if file else None
    name = canonical(model or (base.model if base else Recipe.model))
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    if base and base.model == name:
        values = {key: getattr(base, key) for key in recipe_types()}
        sources = {key: f"file {file}" if came != "default" else came for key, came in base.origin.items()}
    else:
        values = {"data": find(name).data, **find(name).recipe}
        sources = dict.fromkeys(values, f"default of {name}")
    values["model"] = name
    for key, value in {"model": model, "data": data}.items():
        if value is not None:
            sources[key] = origin
    if data is not None:
        values["data"] = data
    typed = {
        key: _known(name, key, lambda t, k=key, v=value: check(k, v, t))
        for key, value in (given or {}).items()
    }
    typed |= {
        key: _known(name, key, lambda t, k=key, v=text: parse(k, v, t))
        for key, text in (settings or {}).items()
    }
    values["model_args"] = dict(values.get("model_args", {}))
    values["task_args"] = dict(values.get("task_args", {}))
    for key, (kind, value) in typed.items():
        plain = key.replace("-", "_")
        if kind == "recipe":
            values[plain] = value
        else:
            values[kind][plain] = value
        sources[plain if kind == "recipe" else kind] = origin
    return Recipe(**values, origin=sources)


def _known(model: str, key: str, read: Any) -> tuple[str, Any]:
    """Which part of the recipe a key belongs to, and its value read by the type declared there."""
    plain = key.replace("-", "_")
    hints = recipe_types()
    if plain in hints and plain not in ("model_args", "task_args", "model"):
        return "recipe", read(hints[plain])
    arguments = constructor_arguments(model)
    if plain in arguments:
        return "model_args", read(arguments[plain].annotation)
    knobs = task_knobs(model)
    if plain in knobs:
        return "task_args", read(knobs[plain])
    known = [*hints, *arguments, *knobs]
    raise UsageError(f"unknown setting {key!r}; {suggest(plain, known)}")


def task_knobs(model: str) -> dict[str, Any]:
    """The knobs of every task that a model can learn, with their declared types."""
    from didact.tasks.choose import TASKS

    knobs: dict[str, Any] = {}
    for name in find(model).tasks:
        hints = get_type_hints(TASKS[name])
        knobs |= {f.name: hints[f.name] for f in fields(TASKS[name]) if f.name != "facts"}
    return knobs


@cache
def knob_docs(model: str | None = None) -> dict[str, str]:
    """The sentence that documents each knob; of a named model also its arguments and its tasks' knobs."""
    try:
        tree = ast.parse(inspect.getsource(Recipe))
    except OSError:  # installed without its source
        return {}
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    docs = {}
    for knob, text in pairwise(body):
        if isinstance(knob, ast.AnnAssign) and isinstance(text, ast.Expr):
            docs[ast.unparse(knob.target)] = " ".join(ast.literal_eval(text.value).split())
    docs.pop("origin")
    if model is not None:
        from didact.tasks.choose import TASKS

        for described in [find(model).resolve(), *(TASKS[name] for name in find(model).tasks)]:
            docs |= {name: text for name, text in argument_docs(described).items() if name not in docs}
    return docs


def argument_docs(described: Any) -> dict[str, str]:
    """The sentence on each argument in a Google-style docstring (``Args:`` or ``Attributes:``)."""
    text = (inspect.getdoc(described) or "") + "\n"
    section = re.search(r"^(?:Args|Attributes):\n((?: .*\n|\n)+)", text, re.M)
    items = re.findall(r"^    (\w+): (.*(?:\n     +.*)*)", section[1] if section else "", re.M)
    return {name: " ".join(words.split()) for name, words in items}
