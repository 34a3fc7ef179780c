"""Encoding: fitted on training examples only, carried by the facts, the same for every new example."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from didact.data.encode import encode, encode_text, fit, read_image, words
from didact.data.facts import Column, Facts
from didact.data.open import open_data
from didact.errors import DataError


def table(train, categories=(), standardise=True):
    return fit(Facts("t", "table", "class", ()), train, frozenset(categories), standardise)


def through_json(facts):
    return Facts.from_dict(json.loads(json.dumps(facts.to_dict())))


@pytest.mark.parametrize("name", ["iris", "wine", "breast-cancer", "diabetes"])
def test_training_inputs_have_mean_zero_and_population_deviation_one(name):
    inputs = open_data(name)["train"].inputs.double()
    assert inputs.mean(0).abs().max() < 1e-5
    assert (inputs.std(0, correction=0) - 1).abs().max() < 1e-5


def test_the_images_of_the_training_split_are_standardised_by_channel():
    train = open_data("digits")["train"].inputs.double()
    assert abs(train.mean()) < 1e-5
    assert abs(train.std(correction=0) - 1) < 1e-5


def test_nothing_is_fitted_on_validation_or_test():
    data = open_data("iris")
    rows = np.array([list(item.values()) for item in data.raw["train"].items])
    assert data.facts.mean == pytest.approx(rows.mean(0), rel=1e-6)
    assert data.facts.std == pytest.approx(rows.std(0), rel=1e-6)
    assert data["test"].inputs.mean(0).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["digits", "iris", "diabetes", "docstrings", "gaussian", "manual"])
def test_facts_survive_json_and_encode_the_same(name):
    data = open_data(name)
    facts = through_json(data.facts)
    assert facts == data.facts
    items = data.raw["test"].items[:3]
    assert torch.equal(encode(facts, items), encode(data.facts, items))


def test_a_constant_input_becomes_zero_and_a_tiny_one_is_standardised():
    train = [{"same": 0.1, "tiny": i * 1e-9} for i in range(10)]
    encoded = encode(table(train), train)
    assert encoded[:, 0].abs().max() < 1e-6
    assert float(encoded[:, 1].std(correction=0)) == pytest.approx(1, abs=1e-4)


def test_a_category_is_one_input_per_value_and_an_unseen_one_is_all_zeros():
    rows = [{"colour": "red", "size": 1.0}, {"colour": "blue", "size": 3.0}]
    facts = table(rows, {"colour"}, standardise=False)
    assert facts.columns == (Column("colour", "category", ("blue", "red")), Column("size", "number"))
    assert facts.input_shape == (3,)
    encoded = encode(facts, [{"colour": "red", "size": 2}, {"colour": "green", "size": 2}])
    assert encoded.tolist() == [[0, 1, 2], [0, 0, 2]]


@pytest.mark.parametrize(("row", "message"), [({"b": 1}, "column 'a' is missing"), ({"a": "x"}, "holds 'x'")])
def test_a_row_that_does_not_fit_is_named(row, message):
    with pytest.raises(DataError, match=message):
        encode(table([{"a": 1.0}, {"a": 2.0}]), [row])


def test_words_of_the_notes_example():
    assert words("my work is cool!") == ["my", "work", "is", "cool", "!"]


def test_a_bag_counts_known_words_and_gathers_the_others():
    texts = ["the cat sat", "the cat ran", "a dog"]
    facts = fit(Facts("t", "bag", "class", ()), texts, frozenset(), standardise=False)
    assert facts.vocabulary == ("\N{REPLACEMENT CHARACTER}", "cat", "the")
    assert encode(facts, ["The cat, the hat"]).exp().sub(1).round().tolist() == [[2, 1, 2]]


def test_characters_that_training_never_saw_become_index_zero():
    facts = fit(Facts("t", "tokens", "next", (8,)), ["abc", "cab"], frozenset(), standardise=True)
    assert facts.vocabulary == ("\N{REPLACEMENT CHARACTER}", "\n", "a", "b", "c")
    assert encode_text(facts, "abz").tolist() == [2, 3, 0]
    assert encode(facts, ["a", "b"]).tolist() == [2, 1, 1, 3]


def test_an_image_is_read_the_same_from_a_file_an_array_and_pillow(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for item in (tmp_path / "a.png", str(tmp_path / "a.png"), pixels, Image.fromarray(pixels)):
        assert np.array_equal(read_image(item, 3, (6, 5)), pixels)
    assert read_image(pixels, 1, (3, 2)).shape == (3, 2, 1)


def test_sixteen_bit_images_keep_their_range(tmp_path):
    pixels = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png", 1, (16, 16))[..., 0], pixels >> 8)


@pytest.mark.parametrize("content", [b"", b"no image", b"P6\n4x 4\n255\n", b"\x89PNG\r\n\x1a\n\0\0\0"])
def test_an_image_that_does_not_decode_is_named(tmp_path, content):
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.png: not an image"):
        read_image(tmp_path / "bad.png", 3, (4, 4))
    with pytest.raises(DataError, match=r"none\.png: no such file"):
        read_image(tmp_path / "none.png", 3, (4, 4))
