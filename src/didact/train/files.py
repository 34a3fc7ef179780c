"""Files that are written whole or not at all, and a tree of values and tensors in one safetensors file.

Nothing here can run code when it is read: numbers and names are JSON, tensors are safetensors.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from didact.errors import RunError

FORMAT = 1


def write_bytes(path: Path, content: bytes) -> None:
    """Write under a temporary name, flush to the disk, then rename: readers see the old file or the new.

    Raises:
        RunError: The disk is full or the folder cannot be written; the old file is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise RunError(f"{path}: cannot be written ({error.strerror}); what was there is untouched") from None


def write_text(path: Path, text: str) -> None:
    """Like ``write_bytes``, for text in UTF-8; the odd bytes of a file name become what JSON reads back."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """Like ``write_bytes``, for plain values."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read what ``write_json`` wrote.

    Raises:
        RunError: Missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path}: no such file") from None
    except ValueError as error:
        raise RunError(f"{path}: damaged ({error})") from None


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors with metadata (each value as JSON) as one safetensors file."""
    # Every tensor is cloned: safetensors refuses two names for one storage, and tied weights are just that.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = {key: json.dumps(value) for key, value in {"format_version": FORMAT, **metadata}.items()}
    write_bytes(path, _ordered(save(plain, {"format": "pt", **text})))


def _ordered(content: bytes) -> bytes:
    """The same safetensors file with its metadata sorted, so that equal values make equal files."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the tensors behind it stay aligned
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and metadata; of a file that is not ours, the tensors only.

    Raises:
        RunError: Missing, not safetensors (a pickle, say), or of a newer format.
    """
    if not path.is_file():
        raise RunError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            texts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        ours = "format_version" in texts
        metadata = {key: json.loads(text) for key, text in texts.items() if ours and key != "format"}
    except (SafetensorError, ValueError) as error:
        kind = "a pickle, which could run code" if _is_pickle(path) else "damaged or another format"
        raise RunError(
            f"{path}: not a safetensors file ({kind}: {error}); save weights as safetensors"
        ) from None
    if metadata.get("format_version", FORMAT) > FORMAT:
        raise RunError(
            f"{path}: written by a newer didact (format {metadata['format_version']}); upgrade to read it"
        )
    return tensors, metadata


def save_tree(path: Path, tree: Any) -> None:
    """Write nested dicts, lists, numbers, texts and tensors as one safetensors file."""
    tensors: dict[str, Tensor] = {}
    skeleton = _fold(tree, tensors)
    save_tensors(path, tensors, {"tree": skeleton})


def load_tree(path: Path) -> Any:
    """Read what ``save_tree`` wrote, exactly as it was."""
    tensors, metadata = load_tensors(path)
    if "tree" not in metadata:
        raise RunError(f"{path}: holds weights, not a training state")
    return _unfold(metadata["tree"], tensors)


def _fold(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Replace each tensor by its name; dicts become lists of pairs, since JSON knows text keys only."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": [[key, _fold(item, tensors)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_fold(item, tensors) for item in value]}
    if isinstance(value, list):
        return [_fold(item, tensors) for item in value]
    return value


def _unfold(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unfold(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "tuple":
        return tuple(_unfold(item, tensors) for item in content)
    return {key: _unfold(item, tensors) for key, item in content}


def _is_pickle(path: Path) -> bool:
    """A pickle, or the zip that torch.save makes of one."""
    head = path.read_bytes()[:4]
    return head[:1] == b"\x80" or head == b"PK\x03\x04"


def same_tensors(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> str | None:
    """None when all are equal bit for bit, else the first difference in words."""
    if first.keys() != second.keys():
        return f"other names: {sorted(first.keys() ^ second.keys())[0]}"
    for name, tensor in first.items():
        other = second[name]
        if tensor.shape != other.shape or tensor.dtype != other.dtype:
            return f"{name}: {tuple(tensor.shape)} {tensor.dtype} against {tuple(other.shape)} {other.dtype}"
        if not torch.equal(_bytes(tensor), _bytes(other)):
            return f"{name}: largest difference {(tensor.double() - other.double()).abs().max().item():.3g}"
    return None


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)
