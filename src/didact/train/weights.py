"""Weights to start from: find the file, check it, read it, and load it strictly into a network.

A source is a file, a run of ours, an address, ``hub:OWNER/NAME`` or ``imagenet``, the published weights of
the network. What is downloaded goes where torch keeps such files, and what lies there is used again. Nothing
that is read can run code: safetensors, or ``torch.load(weights_only=True)``.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from didact.catalog import constructor_arguments
from didact.data.facts import Facts
from didact.errors import RunError, UsageError, needs_extra
from didact.nn.head import head_names
from didact.train.files import load_tensors, read_json
from didact.train.migrate import COUNTER, migrated, unwrapped
from didact.train.published import ADDRESS, FILES, pixels_of, pixels_of_config, published_file

DIGEST = re.compile(r"-([0-9a-f]{8,64})\.\w+$")  # resnet50-0676ba61.pth
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
SHOWN = 3  # names in a message


@dataclass
class Weights:
    """A file of weights that was found, before it is read.

    Attributes:
        source: As the user gave it.
        path: Where the file lies.
        made_by: Of a file of ours its metadata: ``model``, ``arguments``, ``facts``; else empty.
        config: The ``config.json`` beside weights of the hub; else empty.
    """

    source: str
    path: Path
    made_by: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def facts(self) -> Facts | None:
        """What the network that we trained knew of its data."""
        return Facts.from_dict(self.made_by["facts"]) if self.made_by else None

    def knobs(self, model: str) -> dict[str, Any]:
        """The knobs of a recipe that these weights decide: the network's size, and how images are read.

        Raises:
            UsageError: They are of another network, or not of one that reads images.
        """
        if not self.made_by:
            if "in_channels" not in constructor_arguments(model):
                raise UsageError(f"weights={self.source}: a network for images is needed, {model} is none")
            pixels = pixels_of_config(self.config) if self.config else pixels_of(model, self.path.name)
            return {"model_args": {}, **pixels.knobs()}
        theirs, facts = self.made_by["model"], self.facts
        if theirs != model:
            raise UsageError(f"weights={self.source}: these are of {theirs}; didact train {theirs}")
        if facts is None or facts.inputs != "image":
            raise UsageError(f"weights={self.source}: a network for images is needed, {theirs} was none")
        decided = facts.model_sizes()
        return {
            "model_args": {k: v for k, v in self.made_by["arguments"].items() if k not in decided},
            "image_size": facts.input_shape[-1],
            "channels": facts.input_shape[0],
            "standardise": bool(facts.mean),
            "mean": facts.mean,
            "std": facts.std,
            "crop": facts.crop,
            "interpolation": facts.interpolation,
        }

    def read(self) -> dict[str, Tensor]:
        """The tensors by name, as they stand in the file.

        Raises:
            RunError: Damaged, of another kind, or with another digest than its name says.
        """
        check_digest(self.path)
        if self.path.suffix == ".safetensors":
            return load_tensors(self.path)[0]
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # a foreign file makes the unpickler raise nearly anything
            reason = str(error).strip().split("\n")[0][:120]
            raise RunError(f"{self.path}: not a file of weights that is safe to read ({reason})") from None
        state = unwrapped(content)
        if state is None:
            raise RunError(f"{self.path}: holds no table of tensors by name, such as torch.save(state_dict)")
        return state


@dataclass
class Loaded:
    """What became of each tensor.

    Attributes:
        source: Where the weights came from.
        loaded: Names in the network that were filled.
        new: Names of the head, which keeps its first random numbers: it has other classes.
        missing: Names in the network that the file lacks.
        unexpected: Names in the file that the network lacks.
        renamed: Names that were changed, new -> old.
    """

    source: str
    loaded: list[str]
    new: list[str]
    missing: list[str]
    unexpected: list[str]
    renamed: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dict(vars(self))

    def __str__(self) -> str:
        total = len(self.loaded) + len(self.new) + len(self.missing)
        said = f"weights {self.source}: {len(self.loaded)} of {total} tensors loaded"
        parts = {"a new head": self.new, "missing": self.missing, "unexpected": self.unexpected}
        said += "".join(f", {what}: {_few(names)}" for what, names in parts.items() if names)
        return said + (f", {len(self.renamed)} renamed" if self.renamed else "")


def find_weights(source: str | Path, model: str | None = None) -> Weights:
    """Find the file of a source, and download it where an address asks for that.

    Args:
        source: A file, a run's directory, an address, ``hub:OWNER/NAME`` or ``imagenet``.
        model: The network's name in the catalogue, which ``imagenet`` needs.

    Raises:
        UsageError: No such source.
        RunError: A file that is missing, damaged, or cannot be downloaded.
    """
    text = str(source)
    if text.startswith("hub:"):
        return _from_hub(text)
    if text == "imagenet":
        return Weights(text, _downloaded(ADDRESS + _published(model)))
    path = _downloaded(text) if "://" in text else Path(text)
    if path.is_dir():
        path = path / "model.safetensors"
    if not path.is_file():
        raise UsageError(
            f"weights={text}: no such file; name a file, a run, https://..., hub:OWNER/NAME or imagenet"
        )
    made_by = load_metadata(path) if path.suffix == ".safetensors" else {}
    return Weights(text, path, made_by)


def load_weights(
    model: nn.Module, source: "str | Path | Weights", *, classes: Sequence[str] | None = None
) -> Loaded:
    """Load published or own weights into a network, strictly: every tensor must have its place.

    Old and foreign names are changed to the network's. A head for another number of classes, or for classes
    of other names, is left as it is; nothing else may differ.

    Args:
        model: Its trunk, and where they fit its head, are overwritten.
        source: As in ``find_weights``.
        classes: What the network will tell apart, to be compared with what the weights of a run told apart.

    Returns:
        What was loaded, new, missing and unexpected.

    Example:
        >>> didact.load_weights(didact.build("resnet50"), "resnet50-0676ba61.pth")

    Raises:
        RunError: A tensor is missing, is one too many, or has another shape; the network is untouched.
    """
    weights = source if isinstance(source, Weights) else find_weights(source)
    wanted = model.state_dict()
    state, renamed = migrated(weights.read(), wanted)
    head = set(head_names(model))
    other_classes = (
        classes is not None and weights.facts is not None and weights.facts.classes != tuple(classes)
    )
    new = [
        name for name in head if other_classes or (name in state and state[name].shape != wanted[name].shape)
    ]
    taken = {name: tensor for name, tensor in state.items() if name in wanted and name not in new}
    report = Loaded(
        weights.source,
        [name for name in wanted if name in taken],
        [name for name in wanted if name in new],
        [n for n in wanted if n not in taken and n not in new and not n.endswith(COUNTER)],
        [name for name in state if name not in wanted],
        renamed,
    )
    _check_strictly(report, weights, taken, wanted)
    model.load_state_dict(wanted | taken)
    return report


def check_digest(path: Path) -> None:
    """Compare a file with the digest in its name, where it has one: ``name-<8 or more hex of SHA-256>.pth``.

    Raises:
        RunError: They differ: the file is damaged, or not what it says it is.
    """
    said = DIGEST.search(path.name)
    if not said or (said[1].isdigit() and path.name not in FILES):  # a date, say
        return
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(said[1]):
        raise RunError(
            f"{path}: its SHA-256 begins with {found[: len(said[1])]}, its name says {said[1]}; "
            "it is damaged, or not what it says; get it again"
        )


def load_metadata(path: Path) -> dict[str, Any]:
    """What our own weights files say of themselves; nothing of other files.

    Raises:
        RunError: Not safetensors, or damaged.
    """
    metadata = load_tensors(path)[1]
    return metadata if {"model", "arguments", "facts"} <= metadata.keys() else {}


def _published(model: str | None) -> str:
    file = published_file(model) if model else None
    if file is None:
        raise UsageError(f"weights=imagenet: none are known for {model}; give a file, an address or hub:...")
    return file


def _downloaded(address: str) -> Path:
    """The file of an address in torch's own cache, fetched if it is not there."""
    name = Path(urlparse(address).path).name
    said = DIGEST.search(name)
    if not said:  # many files are called model.safetensors
        name = f"{hashlib.sha256(address.encode()).hexdigest()[:16]}_{name}"
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(address, str(path), said[1] if said else None, progress=False)
        except (URLError, OSError, RuntimeError, ValueError) as error:
            raise RunError(
                f"{address}: cannot be downloaded ({error}); put the file into {folder}, or name a file"
            ) from None
    return path


def _from_hub(source: str) -> Weights:
    """Weights of the Hugging Face hub: ``hub:OWNER/NAME`` or ``hub:OWNER/NAME/FILE``, in its own cache."""
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise needs_extra("hub") from None
    owner, _, rest = source.removeprefix("hub:").partition("/")
    name, _, file = rest.partition("/")
    if not owner or not name:
        raise UsageError(f"weights={source}: write hub:OWNER/NAME, such as hub:timm/resnet50.a1_in1k")
    refusals = []
    for candidate in [file] if file else HUB_FILES:
        try:
            path = Path(hf_hub_download(f"{owner}/{name}", candidate))
            break
        except Exception as error:  # the hub's own errors are of many classes
            refusals.append(str(error).strip().split("\n")[0])
    else:
        raise RunError(f"weights={source}: cannot be had ({refusals[0]})")
    try:
        config = read_json(Path(hf_hub_download(f"{owner}/{name}", "config.json")))
    except Exception:  # weights without one are read as the network's usual
        config = {}
    return Weights(source, path, load_metadata(path) if path.suffix == ".safetensors" else {}, config)


def _check_strictly(
    report: Loaded, weights: Weights, taken: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> None:
    """Refuse weights that do not fill the network exactly."""
    for name, tensor in taken.items():
        if tensor.shape != wanted[name].shape:
            raise RunError(
                f"{weights.source}: {name} has shape {tuple(tensor.shape)}, but the network wants "
                f"{tuple(wanted[name].shape)}; build it as these weights were, without other sizes"
            )
    if report.missing or report.unexpected:
        raise RunError(f"{report}; these weights are of another network")


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
