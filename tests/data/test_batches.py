"""Batches: a function of seed, epoch and position, whatever reads them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from didact.data.batches import (
    FileSplit,
    StreamSplit,
    TensorSplit,
    count_batches,
    epoch_batches,
    generator_for,
    ordered_batches,
)
from didact.data.encode import encode
from didact.data.facts import Facts

FACTS = Facts("t", "image", "class", (1, 4, 4), classes=("a", "b"), mean=(0.5,), std=(0.25,))


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    paths = [folder / f"{i}.png" for i in range(11)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (4, 4), dtype=np.uint8)).save(path)
    return paths


def same(first, second):
    pairs = list(zip(first, second, strict=True))
    return pairs != [] and all(torch.equal(x, u) and torch.equal(y, v) for (x, y), (u, v) in pairs)


def numbers(count):
    return TensorSplit(torch.arange(count).float().unsqueeze(1), torch.arange(count))


@pytest.mark.parametrize("workers", [0, 2])
def test_files_and_memory_give_the_same_batches(files, workers):
    targets = torch.arange(11) % 2
    memory, disk = TensorSplit(encode(FACTS, files), targets), FileSplit(FACTS, files, targets)
    for start in (0, 2):
        assert same(
            epoch_batches(memory, 4, seed=1, epoch=5, start=start),
            epoch_batches(disk, 4, seed=1, epoch=5, start=start, workers=workers),
        )
    assert same(ordered_batches(memory, 4), ordered_batches(disk, 4, workers=workers))


def test_reading_files_leaves_the_global_numbers_alone(files):
    split = FileSplit(FACTS, files, torch.zeros(11))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(epoch_batches(split, 4, seed=0, epoch=0))
    list(ordered_batches(split, 4))
    assert torch.equal(torch.get_rng_state(), before)


def test_every_example_comes_once_an_epoch_and_the_last_batch_may_be_short():
    batches = list(epoch_batches(numbers(103), 10, seed=0, epoch=0))
    assert [len(inputs) for inputs, _ in batches] == [10] * 10 + [3]
    assert count_batches(numbers(103), 10) == 11
    assert sorted(torch.cat([targets for _, targets in batches]).tolist()) == list(range(103))
    assert all(torch.equal(inputs[:, 0].long(), targets) for inputs, targets in batches)


def test_the_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        torch.rand(seed + epoch + 1)
        batches = epoch_batches(numbers(50), 7, seed=seed, epoch=epoch)
        return torch.cat([targets for _, targets in batches]).tolist()

    assert order(0, 0) == order(0, 0)
    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9


@pytest.mark.parametrize("start", [0, 1, 4, 5])
def test_an_epoch_resumes_where_it_stopped(start):
    whole = list(epoch_batches(numbers(50), 10, seed=3, epoch=2))
    rest = list(epoch_batches(numbers(50), 10, seed=3, epoch=2, start=start))
    assert len(rest) == 5 - start
    assert not rest or same(rest, whole[start:])


def test_gathering_many_batches_at_once_changes_nothing(monkeypatch):
    together = list(epoch_batches(numbers(57), 5, seed=0, epoch=0))
    monkeypatch.setattr("didact.data.batches.GATHER_BYTES", 1)
    assert same(together, epoch_batches(numbers(57), 5, seed=0, epoch=0))


@pytest.mark.parametrize("workers", [0, 2])
def test_augmentation_is_a_function_of_the_position(files, workers):
    def noisy(inputs, generator):
        return inputs + torch.rand(inputs.shape, generator=generator)

    split = FileSplit(FACTS, files, torch.zeros(11))
    memory = TensorSplit(encode(FACTS, files), torch.zeros(11))
    whole = list(epoch_batches(memory, 4, seed=0, epoch=1, augment=noisy))
    assert same(whole[1:], epoch_batches(split, 4, seed=0, epoch=1, start=1, workers=workers, augment=noisy))
    assert not same(whole, epoch_batches(split, 4, seed=0, epoch=2, augment=noisy))


def test_evaluation_reads_in_order():
    assert torch.cat([targets for _, targets in ordered_batches(numbers(23), 4)]).tolist() == list(range(23))


def test_the_target_of_a_token_is_the_next_one():
    stream = StreamSplit(torch.arange(100), context=8)
    assert len(stream) == 12
    inputs, targets = next(ordered_batches(stream, 3))
    assert inputs.shape == targets.shape == (3, 8)
    assert torch.equal(targets, inputs + 1)
    assert inputs[:, 0].tolist() == [0, 8, 16]


def test_a_shuffled_stream_reads_no_token_twice_and_starts_elsewhere_each_epoch():
    stream = StreamSplit(torch.arange(107), context=8)
    starts = set()
    for epoch in range(8):
        read = torch.cat([inputs.flatten() for inputs, _ in epoch_batches(stream, 4, seed=0, epoch=epoch)])
        assert len(read) == len(read.unique()) == 13 * 8
        starts.add(int(read.min()))
    assert starts == {0, 1, 2}


def test_a_text_shorter_than_the_context_gives_no_batch():
    stream = StreamSplit(torch.arange(8), context=8)
    assert len(stream) == 0
    assert list(ordered_batches(stream, 4)) == []


def test_generators_depend_on_the_key_alone_and_neighbours_are_unrelated():
    def draws(*key):
        return torch.rand(1000, generator=generator_for(*key))

    keys = [(0, 0), (0, 1), (1, 0), (1, 1), (0,), (1,), (0, 0, 1), (0, 1, 0)]
    assert all(torch.equal(draws(*key), draws(*key)) for key in keys)
    table = torch.corrcoef(torch.stack([draws(*key) for key in keys])) - torch.eye(len(keys))
    assert table.abs().max() < 0.15


def test_a_split_moves_to_a_device_with_its_layout():
    split = TensorSplit(torch.zeros(2, 3, 4, 4), torch.zeros(2)).to(torch.device("cpu"), channels_last=True)
    assert split.inputs.is_contiguous(memory_format=torch.channels_last)
