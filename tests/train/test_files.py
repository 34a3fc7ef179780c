"""Files: whole or not at all, read back bit for bit, and nothing in them that could run."""

import errno
import json
import os
import pickle
import struct

import pytest
import torch

from didact.errors import RunError
from didact.train import files
from didact.train.files import (
    load_tensors,
    load_tree,
    read_json,
    same_tensors,
    save_tensors,
    save_tree,
    write_bytes,
    write_json,
    write_text,
)


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file.json"
    write_bytes(path, b"old")
    return path


@pytest.mark.parametrize("broken", ["os.fsync", "os.replace"])
def test_a_full_disk_leaves_what_was_there(path, monkeypatch, broken):
    monkeypatch.setattr(broken, full)
    with pytest.raises(RunError) as caught:
        write_bytes(path, b"new")
    message = f"{path}: cannot be written (No space left on device); what was there is untouched"
    assert str(caught.value) == message
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_a_disk_that_fills_half_way(path, monkeypatch):
    """The write itself fails: the temporary file is taken away too."""
    real_open = open

    def narrow(*arguments, **keywords):
        file = real_open(*arguments, **keywords)
        file.write(b"ne")
        file.close()
        return full()

    monkeypatch.setattr("builtins.open", narrow)
    with pytest.raises(RunError, match="No space left"):
        write_bytes(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_a_file_in_the_place_of_a_folder(path):
    with pytest.raises(RunError, match="cannot be written"):
        write_bytes(path / "inside", b"x")


def test_missing_folder(tmp_path):
    with pytest.raises(RunError, match="No such file or directory"):
        write_bytes(tmp_path / "none" / "x", b"x")


def test_the_file_is_flushed_before_it_is_renamed(path, monkeypatch):
    done = []
    monkeypatch.setattr("os.fsync", lambda _: done.append(("flushed", path.read_bytes())))
    real = os.replace
    monkeypatch.setattr("os.replace", lambda *names: (done.append("renamed"), real(*names)))
    write_bytes(path, b"new")
    assert done == [("flushed", b"old"), "renamed"]
    assert path.read_bytes() == b"new"


def test_json_keeps_every_letter_and_every_digit(path):
    value = {"naïve": ["ß", "日本", "\u2028"], "float": 0.1 + 0.2, "none": None, "big": 2**62}
    write_json(path, value)
    assert read_json(path) == value
    write_text(path, '{"half": ')
    with pytest.raises(RunError, match=f"{path}: damaged"):
        read_json(path)
    with pytest.raises(RunError, match="no such file"):
        read_json(path.with_name("none.json"))


TREE = {
    "progress": {
        "epoch": 3,
        "sums": {"loss": [0.1 + 0.2, 7]},
        "finished": False,
        "none": None,
        "": "empty key",
    },
    "state": {0: {"step": torch.tensor(3.0), "moments": (torch.randn(2, 3), torch.zeros(0))}, 17: {}},
    "groups": [{"betas": (0.9, 0.999), "lr": 1e-3, "nested": ((1, [2]), [])}],
    "types": [
        torch.tensor(2**62),
        torch.tensor([True, False]),
        torch.randn(3).bfloat16(),
        torch.randn(3).half(),
        torch.randn(3).double(),
        torch.tensor([1, 2], dtype=torch.uint8),
        torch.tensor([float("nan"), float("inf"), -0.0]),
    ],
    "inf": float("inf"),
    "tensor": {"dict": {"tensor": 1}, "tuple": ("dict",)},
    "empty": [{}, [], ()],
}


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and same_tensors({"": a}, {"": b}) is None
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def test_a_tree_comes_back_exactly(path):
    save_tree(path, TREE)
    assert same(load_tree(path), TREE)
    save_tree(path, load_tree(path))
    assert same(load_tree(path), TREE)


def test_the_state_of_an_optimizer_comes_back(path):
    network = torch.nn.Linear(3, 2)
    for make in (torch.optim.Adam, torch.optim.SGD, torch.optim.NAdam, torch.optim.ASGD, torch.optim.Rprop):
        optimizer = make(network.parameters(), lr=0.1)
        network(torch.randn(4, 3)).sum().backward()
        optimizer.step()
        save_tree(path, optimizer.state_dict())
        assert same(load_tree(path), optimizer.state_dict())


def test_views_and_shared_storage_are_saved_as_they_look(path):
    base = torch.arange(12.0).reshape(3, 4)
    tensors = {
        "whole": base,
        "tied": base,
        "column": base[:, 1],
        "turned": base.t(),
        "grad": base.requires_grad_(),
    }
    save_tensors(path, tensors, {"model": "x", "arguments": {"widths": [1]}})
    loaded, metadata = load_tensors(path)
    assert same_tensors(loaded, {name: tensor.detach() for name, tensor in tensors.items()}) is None
    assert metadata == {"format_version": files.FORMAT, "model": "x", "arguments": {"widths": [1]}}


class Evil:
    def __reduce__(self):
        return (os.system, ("touch EXECUTED",))


@pytest.mark.parametrize("kind", ["torch", "torch, old form", "pickle"])
def test_a_pickle_is_refused_and_never_run(path, monkeypatch, kind):
    monkeypatch.chdir(path.parent)
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Evil()))
    else:
        torch.save({"weights": Evil()}, path, _use_new_zipfile_serialization=kind == "torch")
    with pytest.raises(RunError, match="a pickle, which could run code") as caught:
        load_tensors(path)
    assert "\n" not in str(caught.value)
    assert not (path.parent / "EXECUTED").exists()


def test_damaged_files(path):
    save_tree(path, TREE)
    whole = path.read_bytes()
    for end in (0, 4, 8, 20, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(RunError, match="damaged or another format") as caught:
            load_tree(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)
    path.write_bytes(struct.pack("<Q", 2**60) + b"{}")
    with pytest.raises(RunError, match="damaged"):
        load_tree(path)
    with pytest.raises(RunError, match="no such file"):
        load_tree(path.with_name("none"))


def test_weights_are_no_training_state(path):
    save_tensors(path, {"w": torch.zeros(1)}, {})
    with pytest.raises(RunError, match="holds weights, not a training state"):
        load_tree(path)


def test_a_newer_format_says_so(path, monkeypatch):
    monkeypatch.setattr(files, "FORMAT", files.FORMAT + 1)
    save_tree(path, {})
    monkeypatch.undo()
    with pytest.raises(RunError, match=r"newer didact \(format 2\); upgrade"):
        load_tree(path)


def test_other_peoples_safetensors_are_read(path):
    from safetensors.torch import save_file

    save_file({"w": torch.ones(2)}, path, {"format": "pt", "author": "somebody"})
    tensors, _ = load_tensors(path)
    assert tensors["w"].tolist() == [1, 1]


def test_same_tensors_sees_one_bit():
    first = {"a": torch.randn(5, 7), "b": torch.randn(3).bfloat16(), "n": torch.tensor([float("nan")])}
    second = {name: tensor.clone() for name, tensor in first.items()}
    assert same_tensors(first, second) is None  # NaN equals NaN, bit by bit
    second["a"].view(torch.int32)[3, 2] ^= 1
    assert same_tensors(first, second).startswith("a: largest difference ")
    second["a"] = first["a"].t().contiguous().t()  # another layout, the same numbers
    assert same_tensors(first, second) is None
    second["b"].view(torch.int16)[0] ^= 1
    assert same_tensors(first, second).startswith("b: largest difference ")


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({}, "other names: a"),
        ({"a": torch.zeros(2), "c": torch.zeros(1)}, "other names: c"),
        ({"a": torch.zeros(2, 1)}, r"a: (2,) torch.float32 against (2, 1) torch.float32"),
        ({"a": torch.zeros(2).double()}, r"a: (2,) torch.float32 against (2,) torch.float64"),
        ({"a": torch.tensor([0.0, -0.0])}, "a: largest difference 0"),
    ],
)
def test_same_tensors_says_what_differs(other, words):
    assert same_tensors({"a": torch.zeros(2)}, other) == words


def test_the_metadata_is_json(path):
    save_tree(path, TREE)
    length = struct.unpack("<Q", path.read_bytes()[:8])[0]
    header = json.loads(path.read_bytes()[8 : 8 + length])
    assert json.loads(header["__metadata__"]["tree"])


def test_equal_values_make_equal_files(tmp_path):
    tensors = {"weight": torch.arange(6.0).view(2, 3), "bias": torch.zeros(3)}
    for name in ("a", "b", "c", "d"):
        save_tensors(
            tmp_path / name, tensors, {"model": "mlp", "facts": {"é": 1}, "arguments": {"widths": [3]}}
        )
    assert len({(tmp_path / name).read_bytes() for name in "abcd"}) == 1
    assert load_tensors(tmp_path / "a")[1]["facts"] == {"é": 1}
