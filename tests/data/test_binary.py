"""IDX and CIFAR: the binary formats of the classic benchmarks."""

import gzip
import pickle
import shutil
import struct

import numpy as np
import pytest

from didact.data.formats.detect import read_path
from didact.data.open import open_data

RNG = np.random.default_rng(0)


def idx(path, array, magic=None):
    head = struct.pack(">I", 0x800 + array.ndim if magic is None else magic)
    data = head + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.fixture
def mnist(tmp_path):
    for name, count, end in (("train", 40, ".gz"), ("t10k", 20, "")):
        idx(tmp_path / f"{name}-images-idx3-ubyte{end}", RNG.integers(0, 256, (count, 7, 6), dtype=np.uint8))
        idx(tmp_path / f"{name}-labels-idx1-ubyte{end}", (np.arange(count) % 10).astype(np.uint8))
    return tmp_path


def test_idx_files(mnist):
    raw = read_path(mnist)
    assert ({k: len(p.items) for k, p in raw.parts.items()}, raw.problems) == ({"train": 40, "test": 20}, [])
    assert raw.classes == tuple("0123456789")
    assert raw.parts["test"].place(3) == f"{mnist.name}/t10k-images-idx3-ubyte[3]"
    data = open_data(mnist)
    assert data.facts.input_shape == (1, 7, 6)
    assert data.facts.sizes["test"] == 20
    pixels = data["test"].inputs[0] * data.facts.std[0] + data.facts.mean[0]
    assert (pixels * 255).round().int().tolist() == [raw.parts["test"].items[0].tolist()]


def test_one_pair_of_idx_files_with_dots_in_any_name(tmp_path):
    idx(tmp_path / "shapes-images.idx3-ubyte", RNG.integers(0, 256, (30, 4, 4), dtype=np.uint8))
    idx(tmp_path / "shapes-labels.idx1-ubyte", (np.arange(30) % 3 + 20).astype(np.uint8))
    for path in (tmp_path, tmp_path / "shapes-images.idx3-ubyte"):
        assert open_data(path).facts.classes == ("20", "21", "22")


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda f: f.write_bytes(b"\x00\x00\x0d\x03" + f.read_bytes()[4:]), ("starts with 00 00 0d 03",)),
        (lambda f: f.write_bytes(f.read_bytes()[:-1]), ("truncated", "20 x 7 x 6 = 840 bytes", "holds 839")),
        (lambda f: f.write_bytes(f.read_bytes() + b"x"), ("too long",)),
        (lambda f: f.write_bytes(b""), ("starts with nothing",)),
        (lambda f: f.write_bytes(gzip.compress(f.read_bytes())[:40]), ("damaged gzip file",)),
        (lambda f: idx(f, np.zeros((19, 7, 6), np.uint8)), ("19 images, but t10k-labels", "20 labels")),
        (lambda f: idx(f, np.zeros((0, 7, 6), np.uint8)), ("empty",)),
        (lambda f: f.unlink(), ("its images are missing",)),
    ],
)
def test_broken_idx_files_are_named(mnist, change, parts, refused):
    change(mnist / "t10k-images-idx3-ubyte")
    refused(mnist, "t10k-", *parts)


def test_two_pairs_for_one_split_are_refused(mnist, refused):
    for kind in ("images-idx3", "labels-idx1"):
        shutil.copy(mnist / f"t10k-{kind}-ubyte", mnist / f"letters-test-{kind}-ubyte")
    refused(mnist, "which of these is for training")


def cifar(path, count, labels=1, classes=10):
    records = RNG.integers(0, 256, (count, labels + 3072), dtype=np.uint8)
    records[:, labels - 1] = np.arange(count) % classes
    path.write_bytes(records.tobytes())
    return records


def test_cifar_10(tmp_path):
    records = [cifar(tmp_path / f"data_batch_{i}.bin", 20) for i in (1, 2)]
    cifar(tmp_path / "test_batch.bin", 10)
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (tmp_path / "batches.meta.txt").write_text("\n".join(names) + "\n\n")
    raw = read_path(tmp_path)
    assert (raw.classes, raw.problems) == (tuple(names), [])
    assert {name: len(part.items) for name, part in raw.parts.items()} == {"train": 40, "test": 10}
    assert np.array_equal(raw.parts["train"].items[21][2, 5], records[1][1, 1:].reshape(3, 32, 32)[:, 2, 5])
    assert raw.parts["train"].place(21) == f"{tmp_path.name}/data_batch_2.bin[1]"
    assert open_data(tmp_path).facts.input_shape == (3, 32, 32)


def test_cifar_100_uses_the_fine_labels(tmp_path):
    cifar(tmp_path / "train.bin", 300, 2, 100)
    cifar(tmp_path / "test.bin", 100, 2, 100)
    (tmp_path / "fine_label_names.txt").write_text("\n".join(f"thing {i}" for i in range(100)))
    raw = read_path(tmp_path)
    assert raw.parts["test"].targets[:2] == ["thing 0", "thing 1"]
    assert len(raw.classes) == 100


def test_broken_cifar_files_are_named(tmp_path, refused):
    cifar(tmp_path / "data_batch_1.bin", 33, classes=11)
    raw = read_path(tmp_path)
    assert raw.problems[0].where == f"{tmp_path.name}/data_batch_1.bin[10]"
    assert raw.problems[0].what == "label 10 is out of range: the last is 9"
    assert len(raw) == 30
    (tmp_path / "data_batch_1.bin").write_bytes(bytes(4000))
    refused(tmp_path, "data_batch_1.bin", "records of 3073 bytes")


@pytest.mark.parametrize("names", [("data_batch_1", "batches.meta"), ("train", "test", "meta")])
def test_a_pickle_is_never_opened(tmp_path, names, refused):
    for name in names:
        (tmp_path / name).write_bytes(pickle.dumps({}))
    refused(tmp_path, "pickle", "binary version")


def test_copies_across_the_splits_of_a_benchmark_are_counted(mnist):
    idx(mnist / "t10k-images-idx3-ubyte", np.full((20, 7, 6), 3, np.uint8))
    idx(mnist / "train-images-idx3-ubyte.gz", np.full((40, 7, 6), 3, np.uint8))
    (problem,) = read_path(mnist).problems
    assert problem.what.startswith("40 images stand in two splits, the first: ")
    assert not problem.fatal
