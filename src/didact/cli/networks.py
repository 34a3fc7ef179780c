"""The network that a command names, and what it is called with: of the catalogue, of a file, or of a run."""

# B batch, C channels, H height, W width, T time

import ast
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from didact.catalog import CATALOG, build, canonical, constructor_arguments
from didact.errors import DidactError, UsageError, suggest

if TYPE_CHECKING:
    from torch import Tensor, nn

SIDES = {"inception-v3": 299, "xception": 299, "alexnet-one-tower": 227, "alexnet-two-group": 227}
SIDE = 224  # pixels of the images that networks of 1000 classes were published for
TOKENS = 35  # of a text, where nothing says how long
SHAPE = re.compile(r"\d+(x\d+)*(:\w+)?")


@dataclass(frozen=True)
class Network:
    """A network and one example of what it takes.

    Attributes:
        name: What it was called.
        make: Builds it, with other arguments than its own where they are given.
        model: The network.
        shape: Of one example, without the batch.
        dtype: Of its numbers, by torch's name.
        types: Types of the arguments that ``make`` takes, by name.
    """

    name: str
    make: "Callable[..., nn.Module]"
    model: "nn.Module"
    shape: tuple[int, ...]
    dtype: str
    types: Mapping[str, Any]

    def example(self, batch: int = 1) -> "Tensor":
        """A batch of zeros."""
        import torch

        return torch.zeros(batch, *self.shape, dtype=getattr(torch, self.dtype))


def open_network(name: str, shape: str | None, settings: Sequence[str] = ()) -> Network:
    """Build what a command names.

    Args:
        name: A name of the catalogue; ``file.py:factory``, whose file is run; or the directory of a run.
        shape: ``3x224x224``, ``35:int64``; without, the catalogue or the run says it.
        settings: Arguments of the constructor or the factory, ``KEY=VALUE``.

    Raises:
        UsageError: It names nothing, or does not say what the network takes.
    """
    typed = read_shape(shape) if shape else None
    file, colon, factory = name.rpartition(":")
    if colon and file.endswith(".py"):
        return _of_file(Path(file), factory, typed, settings)
    if name.endswith(".py"):
        raise UsageError(f"{name}: say what builds the network in it, as {name}:FUNCTION")
    if Path(name).is_dir() or (Path(name).name != name):
        return _of_run(name, typed, settings)
    return _of_catalogue(canonical(name), typed, settings)


def read_shape(text: str) -> tuple[tuple[int, ...], str]:
    """``3x224x224`` as sizes, with torch's name of the numbers behind a colon where they are not float32."""
    if not SHAPE.fullmatch(text):
        raise UsageError(f"--input {text}: write the sizes of one example, such as 3x224x224 or 35:int64")
    sizes, _, dtype = text.partition(":")
    numbers = tuple(map(int, sizes.split("x")))
    if not prod(numbers):
        raise UsageError(f"--input {text}: every size is at least 1")
    if dtype:
        import torch

        if not isinstance(getattr(torch, dtype, None), torch.dtype):
            raise UsageError(f"--input {text}: {dtype} is no type of torch; int64 for tokens, float32 else")
    return numbers, dtype


def read_settings(settings: Sequence[str], types: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by name, read by their types; what has no type is read as Python, else as text."""
    values = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting}: write KEY=VALUE, such as --set width=0.5")
        values[key.strip()] = read_value(key.strip(), text, types)
    return values


def read_value(key: str, text: str, types: Mapping[str, Any]) -> Any:
    """One value of an argument."""
    from didact.train.parse import parse

    if key not in types:
        raise UsageError(f"unknown argument {key!r}; {suggest(key, types) if types else 'there is none'}")
    if types[key] is not inspect.Parameter.empty and not isinstance(types[key], str):
        return parse(key, text, types[key])
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


# Of the catalogue


def _of_catalogue(name: str, typed: tuple[tuple[int, ...], str] | None, settings: Sequence[str]) -> Network:
    known = constructor_arguments(name)
    types = {key: parameter.annotation for key, parameter in known.items()}
    chosen = read_settings(settings, types)
    facts = None
    if any(p.default is p.empty and key not in chosen for key, p in known.items()):
        from didact.data.open import open_data

        facts = open_data(CATALOG[name].data).facts
        sizes = facts.model_sizes()
        if typed:  # a wider input than that of the data
            sizes["in_features"] = prod(typed[0])
        chosen = {k: sizes[k] for k, p in known.items() if p.default is p.empty and k in sizes} | chosen

    def make(**arguments: Any) -> "nn.Module":
        return build(name, **{**chosen, **arguments})

    model = make()
    dtype = "int64" if "tokens" in CATALOG[name].inputs else "float32"
    shape, other = typed or (_usual_shape(name, model, facts), "")
    return Network(name, make, model, shape, other or dtype, types)


def _usual_shape(name: str, model: Any, facts: Any) -> tuple[int, ...]:
    """What the catalogue's network was made for."""
    entry = CATALOG[name]
    if entry.inputs == ("tokens",):
        return (TOKENS,)
    if entry.inputs == ("sample",):
        return (model.noise_dim,)
    if entry.inputs == ("image",):
        defaults = {key: p.default for key, p in constructor_arguments(name).items()}
        published = SIDES.get(name, SIDE) if defaults.get("num_classes") == 1000 else None
        side = getattr(model, "image_size", None) or published or entry.recipe["image_size"]
        return (model.in_channels, side, side)
    return (prod(facts.input_shape),) if facts else (model.in_features,)


# Of a run


def _of_run(name: str, typed: tuple[tuple[int, ...], str] | None, settings: Sequence[str]) -> Network:
    from didact.train.run import load

    run = load(name)
    if settings:
        raise UsageError(f"{name} is built already; --set is for networks of the catalogue and of files")

    def make(**arguments: Any) -> "nn.Module":
        raise UsageError(f"{name} is built already; build its model by name to change arguments")

    usual = run.facts.input_shape
    if run.facts.inputs == "sample":
        usual = _usual_shape(run.recipe.model, run.model, run.facts)
    dtype = "int64" if run.facts.inputs == "tokens" else "float32"
    shape, other = typed or (usual, "")
    return Network(name, make, run.model, shape, other or dtype, {})


# Of a file


def _of_file(
    path: Path, factory: str, typed: tuple[tuple[int, ...], str] | None, settings: Sequence[str]
) -> Network:
    from torch import nn

    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    names = _run_file(path)
    if factory not in names:
        made_here = [key for key, value in names.items() if callable(value) and not key.startswith("_")]
        raise UsageError(f"{path} has no {factory!r}; {suggest(factory, made_here)}")
    if typed is None:
        raise UsageError(f"{path}:{factory}: say what the network takes, as --input 3x224x224")
    builder = names[factory]
    if isinstance(builder, nn.Module) and settings:
        raise UsageError(f"{path}:{factory} is a network; --set needs a function or a class that builds one")
    parameters = inspect.signature(builder).parameters if callable(builder) else {}
    types = {key: parameter.annotation for key, parameter in parameters.items()}
    chosen = read_settings(settings, types)

    def make(**arguments: Any) -> nn.Module:
        made = builder if isinstance(builder, nn.Module) else builder(**{**chosen, **arguments})
        if not isinstance(made, nn.Module):
            raise UsageError(f"{path}:{factory} gives a {type(made).__name__}; it must give an nn.Module")
        return made

    return Network(f"{path}:{factory}", make, _guarded(path, make), typed[0], typed[1] or "float32", types)


def _run_file(path: Path) -> dict[str, Any]:
    """The names that a file defines. It is run as it would be imported, with its folder to import from."""
    import runpy

    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        return dict(_guarded(path, lambda: runpy.run_path(str(path), run_name=path.stem)))
    finally:
        sys.path.remove(folder)


def _guarded(path: Path, action: Callable[[], Any]) -> Any:
    """Do something that runs a user's code; its errors name the file."""
    try:
        return action()
    except DidactError:
        raise
    except (Exception, SystemExit) as error:
        said = str(error).split("\n")[0]
        raise DidactError(f"{path}: {type(error).__name__}: {said} (--debug shows where)") from error
