"""The recipe: every knob of a training run, with where each value came from.

A value is taken from the first of these that gives it: what the user typed, a recipe file, the model's
default recipe, the field's own default. A value the user gave always wins, or the run stops.
"""

import ast
import inspect
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache, partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Literal, get_type_hints

from didact.catalog import canonical, constructor_arguments, find
from didact.data.facts import Interpolation
from didact.errors import RunError, UsageError, suggest
from didact.train.parse import check, parse

OptimizerName = Literal[
    "sgd", "adam", "adamw", "rmsprop", "adagrad", "adadelta", "adamax", "nadam", "radam", "asgd", "rprop"
]
ScheduleName = Literal["constant", "step", "plateau", "cosine", "one-cycle", "linear", "exponential"]
InitName = Literal["own", "normal", "xavier", "glorot", "he", "orthogonal"]


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
    classes: tuple[str, ...] = ()
    """Only the examples of these classes; by default all."""
    examples: int = 0
    """Train on only so many examples, in the class shares of the training split; 0 takes all."""
    image_size: int | None = None
    """Resize images to this many pixels a side; by default they keep their own size."""
    channels: Literal[1, 3] | None = None
    """Read images in grey (1) or in colour (3); by default as they are."""
    crop: float = 0.0
    """Share of an image's shorter side to read, from its middle; 0 reads all of it, squeezed to a square."""
    interpolation: Interpolation = "bilinear"
    """How images are resized."""
    standardise: bool = True
    """Subtract the training mean and divide by the training standard deviation."""
    mean: tuple[float, ...] = ()
    """Subtract this instead, one number a channel."""
    std: tuple[float, ...] = ()
    """Divide by this instead, one number a channel."""
    augment: tuple[str, ...] = ()
    """Random changes to training images, in order, such as flip, rotate:15, crop:0.6, jitter:0.2, any:2."""
    context: int = 128
    """Tokens a language model sees at once."""
    allow_bad: bool = False
    """Leave broken examples out instead of refusing the data."""

    init: InitName = "own"
    """First weights of linear layers and convolutions: the network's own, or drawn anew: he before ReLU."""
    weights: str | None = None
    """Weights to start from: a file, a run, an address, hub:OWNER/NAME, or imagenet, the published ones."""
    transfer: Literal["full", "low-rate", "frozen", "features"] = "low-rate"
    """What learns then: all, the trunk at a tenth of the rate, the head, the head on features kept once."""
    freeze: tuple[str, ...] = ()
    """Parts of the network that keep the weights they start with, such as conv1,layer1."""

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
    """Factor on the learning rate of a group of parameters: generator:0.5, trunk:0.1, layer1:0.01."""
    momentum: float | None = None
    """Of sgd and rmsprop; sgd takes 0.9 by default."""
    nesterov: bool = False
    """Look-ahead momentum, of sgd."""
    betas: tuple[float, float] | None = None
    """Decay of the two moments, of adam and its kin."""
    rho: float | None = None
    """Decay of the mean squared gradient, of rmsprop (0.99 by default, the notes: 0.9) and adadelta."""
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
    """Seconds between two saves of the training state; the end of training is saved too."""
    watch: bool = True
    """Let the doctor watch, which says why a run does not learn and changes nothing of it."""

    model_args: dict[str, Any] = field(default_factory=dict)
    """Constructor arguments of the model."""
    task_args: dict[str, Any] = field(default_factory=dict)
    """Knobs of the task."""
    origin: dict[str, str] = field(default_factory=dict)
    """Where each value came from."""

    def __post_init__(self) -> None:
        def settle(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        for name, declared in recipe_types().items():
            if name not in PARTS:
                settle(name, check(name, getattr(self, name), declared))
        settle("model", canonical(self.model))
        if self.model_args or self.task_args:  # an unknown name is refused by whoever takes the arguments
            for part, types in knob_types(self.model).items():
                if part in PARTS:
                    given = getattr(self, part)
                    settle(part, {k: check(k, v, types[k]) if k in types else v for k, v in given.items()})
        for name, (holds, words) in RULES.items():
            value = getattr(self, name)
            if value is not None and not holds(value):
                raise UsageError(f"{name}={value}: {words}")

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
            origin = {key: entry["from"] for key, entry in saved.items() if entry["from"] != "default"}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise RunError(f"{path}: not a recipe ({type(error).__name__}: {error})") from None
        hints = recipe_types()
        unknown = next((key for key in values if key not in hints), None)
        if unknown:
            raise RunError(f"{path}: unknown knob {unknown!r}; {suggest(unknown, hints)}")
        try:
            return cls(**values, origin=origin)
        except UsageError as error:
            raise RunError(f"{path}: {error}") from None


PARTS = ("model_args", "task_args")  # knobs of the model and of the task, each under its own name
TRUNK_RATE = 0.1  # of the learning rate, for the trunk of a network that was trained before
INFINITY = float("inf")
RULES: Mapping[str, tuple[Any, str]] = {
    "epochs": (lambda v: v >= 1, "at least 1 epoch is needed"),
    "batch_size": (lambda v: v >= 1, "at least 1 example is needed in a batch"),
    "accumulate": (lambda v: v >= 1, "at least 1 batch is needed for an update"),
    "lr": (lambda v: 0 < v < INFINITY, "a learning rate is positive, such as 0.001"),
    "momentum": (lambda v: 0 <= v < 1, "choose from 0 to less than 1"),
    "betas": (lambda v: all(0 <= b < 1 for b in v), "each from 0 to less than 1, such as 0.9,0.999"),
    "rho": (lambda v: 0 <= v < 1, "choose from 0 to less than 1"),
    "weight_decay": (lambda v: 0 <= v < INFINITY, "it must be finite and not negative"),
    "warmup": (lambda v: 0 <= v < INFINITY, "it must be finite and not negative"),
    "step_epochs": (lambda v: v >= 1, "at least 1 epoch lies between two drops"),
    "decay": (lambda v: 0 < v <= 1, "a factor above 0 and at most 1"),
    "plateau_patience": (lambda v: v >= 1, "at least 1 epoch"),
    "clip_norm": (lambda v: v > 0, "a positive norm; none does not clip"),
    "clip_value": (lambda v: v > 0, "a positive magnitude; none does not clip"),
    "ema": (lambda v: 0 <= v < 1, "choose from 0 (none) to less than 1, such as 0.999"),
    "patience": (lambda v: v >= 0, "0 never stops early; 3 stops after 3 epochs without gain"),
    "examples": (lambda v: v >= 0, "0 takes all of them"),
    "image_size": (lambda v: v >= 1, "at least 1 pixel"),
    "crop": (lambda v: 0 <= v <= 1, "a share of the shorter side, such as 0.875; 0 squeezes the whole image"),
    "std": (lambda v: all(each > 0 for each in v), "standard deviations are positive"),
    "context": (lambda v: v >= 1, "at least 1 token"),
    "workers": (lambda v: v >= 0, "0 decodes in the training process"),
    "threads": (lambda v: v >= 0, "0 leaves torch's choice"),
    "seed": (lambda v: 0 <= v < 2**63, "a whole number from 0 on"),
    "checkpoint_every": (lambda v: v > 0, "a positive number of seconds"),
    "lr_scale": (lambda v: all(0 < s < INFINITY for s in v.values()), "factors must be positive and finite"),
}

IDLE: Mapping[str, tuple[Any, str]] = {  # when a knob would change nothing, and what it needs
    "transfer": (lambda r: not r.weights, "weights to start from"),
    "fold": (lambda r: not r.folds, "folds, such as folds=5"),
    "split": (lambda r: r.folds, "folds=0, since folds split the data another way"),
    "step_epochs": (lambda r: r.schedule != "step", "schedule=step"),
    "plateau_patience": (lambda r: r.schedule != "plateau", "schedule=plateau"),
    "decay": (
        lambda r: r.schedule not in ("step", "plateau", "exponential"),
        "schedule=step, plateau or exponential",
    ),
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
    paper: bool = False,
    origin: str = "command line",
) -> Recipe:
    """Assemble a recipe from every place a value can come from.

    Args:
        model: A name of the catalogue; LeNet-5 by default.
        data: A name or a path; by default what the catalogue pairs the model with.
        given: Values as Python objects, by knob, model argument or task knob.
        settings: Values as text (``--set KEY=VALUE``), parsed by declared type.
        file: A saved recipe to start from.
        paper: Start from the recipe of the network's paper, at full size.
        origin: What to call the place that ``given`` and ``settings`` came from.

    Raises:
        UsageError: An unknown key (the nearest is suggested) or a value of the wrong type or range.
    """
    base = Recipe.load(file) if file else None
    name = canonical(model or (base.model if base else Recipe.model))
    values: dict[str, Any]
    if paper:
        from didact.train.papers import paper_of

        values = {"data": find(name).data, **paper_of(name).knobs}
        sources = dict.fromkeys(values, f"paper of {name}")
    elif base:
        if base.model != name:
            raise UsageError(f"{file} is a recipe of {base.model}; leave {name} out, or the file")
        values = {key: getattr(base, key) for key in recipe_types()}
        sources = dict.fromkeys(base.origin, f"file {file}")
    else:
        values = {"data": find(name).data, **find(name).recipe}
        sources = dict.fromkeys(values, f"default of {name}")
    values |= {"model": name} | {part: dict(values.get(part, {})) for part in PARTS}
    if model is not None:
        sources["model"] = origin
    typed: dict[str, tuple[str, Any]] = {} if data is None else {"data": ("recipe", data)}
    for key, value in (given or {}).items():
        typed[key.replace("-", "_")] = _known(name, key, partial(check, key, value))
    for key, text in (settings or {}).items():
        typed[key.replace("-", "_")] = _known(name, key, partial(parse, key, text))
    if "optimizer" in typed and typed["optimizer"][1] != values.get("optimizer"):
        for key in ("momentum", "nesterov", "betas", "rho"):  # the model's own belong to its own optimizer
            if sources.get(key) in (f"default of {name}", f"paper of {name}"):
                del values[key], sources[key]
    if typed.get("weights", ("", None))[1]:
        _start_from(str(typed["weights"][1]), name, values, sources)
    for key, (part, value) in typed.items():
        (values if part == "recipe" else values[part])[key] = value
        sources[key if part == "recipe" else part] = origin
    _transfer(values, sources, typed)
    recipe = Recipe(**values, origin=sources)
    for key, (idle, needs) in IDLE.items():
        if key in typed and idle(recipe):
            raise UsageError(f"{key}={values[key]} would change nothing: it needs {needs}")
    return recipe


def _start_from(source: str, model: str, values: dict[str, Any], sources: dict[str, str]) -> None:
    """Let weights decide how large the network is and how images are read; the model's defaults do not."""
    from didact.train.weights import find_weights

    decided = find_weights(source, model).knobs(model)
    values |= decided
    sources |= dict.fromkeys(decided, f"weights {source}")


def _transfer(values: dict[str, Any], sources: dict[str, str], typed: Mapping[str, Any]) -> None:
    """What follows from the kind of transfer, unless the user says otherwise."""
    low = {"trunk": TRUNK_RATE}
    if not values.get("weights"):
        if "weights" in typed and values.get("lr_scale") == low:  # a file's, without its weights
            values["lr_scale"] = {}
        return
    kind = values.get("transfer", Recipe.transfer)
    automatic = "lr_scale" not in typed and values.get("lr_scale", {}) in ({}, low)
    if automatic and {"weights", "transfer"} & typed.keys():
        values["lr_scale"] = low if kind == "low-rate" else {}
        sources["lr_scale"] = f"transfer {kind}"
    if kind == "features" and values.get("augment"):
        if "augment" in typed:
            raise UsageError(
                f"augment={','.join(values['augment'])}: features are computed once, of each image as it is; "
                "use transfer=frozen"
            )
        values["augment"] = ()
        sources["augment"] = "transfer features"


def _known(model: str, key: str, read: Callable[[Any], Any]) -> tuple[str, Any]:
    """Which part of the recipe a key belongs to, and its value read by the type declared there."""
    plain = key.replace("-", "_")
    parts = knob_types(model)
    for part, types in parts.items():
        if plain in types:
            return part, read(types[plain])
    if plain == "model":
        raise UsageError(f"the model is {model}, named first; it is no setting")
    raise UsageError(f"unknown setting {key!r}; {suggest(plain, chain.from_iterable(parts.values()))}")


def knob_types(model: str) -> dict[str, dict[str, Any]]:
    """The declared type of every knob by the part of the recipe it belongs to."""
    from didact.tasks.choose import TASKS

    tasks = [TASKS[name] for name in find(model).tasks]
    return {
        "recipe": {k: declared for k, declared in recipe_types().items() if k not in ("model", *PARTS)},
        "model_args": {k: parameter.annotation for k, parameter in constructor_arguments(model).items()},
        "task_args": {
            f.name: get_type_hints(t)[f.name] for t in tasks for f in fields(t) if f.name != "facts"
        },
    }


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
