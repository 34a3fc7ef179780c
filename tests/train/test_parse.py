"""Values from the command line and from Python: read by their declared type, or refused with the fix."""

import math
from typing import Any, Literal

import numpy as np
import pytest

from didact.errors import UsageError
from didact.train.parse import check, describe, parse

Size = Literal["small", "medium", "large"]

READ = [
    ("false", bool, False),
    ("False", bool, False),
    ("no", bool, False),
    ("off", bool, False),
    ("0", bool, False),
    ("true", bool, True),
    ("YES", bool, True),
    ("1", bool, True),
    ("1", int, 1),
    (" 12 ", int, 12),
    ("-3", int, -3),
    ("1", float, 1.0),
    ("1e-3", float, 0.001),
    (".5", float, 0.5),
    ("inf", float, math.inf),
    ("None", float | None, None),
    ("none", int | None, None),
    ("null", str | None, None),
    ("", str | None, None),
    ("0.9", float | None, 0.9),
    ("species", str | None, "species"),
    ("small", Size, "small"),
    ("0.9,0.99", tuple[float, float], (0.9, 0.99)),
    ("(0.9, 0.99)", tuple[float, float], (0.9, 0.99)),
    ("[1]", tuple[int, ...], (1,)),
    ("64,32,", tuple[int, ...], (64, 32)),
    ("", tuple[int, ...], ()),
    ("()", tuple[int, ...], ()),
    ("flip,shift:2", tuple[str, ...], ("flip", "shift:2")),
    ("relu", str | tuple[str, ...], "relu"),
    ("relu,tanh", str | tuple[str, ...], ("relu", "tanh")),
    ("0.9,0.99", tuple[float, float] | None, (0.9, 0.99)),
    ("generator:0.5, discriminator:1", dict[str, float], {"generator": 0.5, "discriminator": 1.0}),
]


@pytest.mark.parametrize(("text", "declared", "value"), READ)
def test_parse(text, declared, value):
    read = parse("knob", text, declared)
    assert read == value
    assert type(read) is type(value)
    if isinstance(value, tuple):
        assert list(map(type, read)) == list(map(type, value))


REFUSED = [
    ("maybe", bool, "true or false"),
    ("2", bool, "true or false"),
    ("", bool, "true or false"),
    ("1.5", int, "a whole number"),
    ("1e3", int, "a whole number"),
    ("hello", int, "a whole number"),
    ("", int, "a whole number"),
    ("1e", float, "a number"),
    ("hello", float, "a number"),
    ("None", float, "a number"),
    ("1,5", float, "a number"),
    ("smal", Size, "one of small, medium, large; did you mean 'small'?"),
    ("huge", Size, "one of small, medium, large"),
    ("0.9", tuple[float, float], "numbers with commas between"),
    ("0.9,0.99,1", tuple[float, float], "numbers with commas between"),
    ("64,x", tuple[int, ...], "whole numbers with commas between"),
    ("64,1.5", tuple[int, ...], "whole numbers with commas between"),
    ("generator", dict[str, float], "pairs such as generator:0.5"),
    ("generator:x", dict[str, float], "pairs such as generator:0.5"),
    ("generator:1:2", dict[str, float], "pairs such as generator:0.5"),
    ("x", float | None, "a number or none"),
]


@pytest.mark.parametrize(("text", "declared", "words"), REFUSED)
def test_parse_refuses(text, declared, words):
    with pytest.raises(UsageError) as caught:
        parse("knob", text, declared)
    message = str(caught.value)
    assert message.startswith(f"knob={text!r} is not {words}")
    assert "\n" not in message


CHECKED = [
    (True, bool, True),
    (1, float, 1.0),
    (0.5, float, 0.5),
    (3, int, 3),
    (None, float | None, None),
    ("large", Size, "large"),
    ([0.9, 1], tuple[float, float], (0.9, 1.0)),
    ((), tuple[int, ...], ()),
    ([64], tuple[int, ...], (64,)),
    ("relu", str | tuple[str, ...], "relu"),
    (["relu"], str | tuple[str, ...], ("relu",)),
    ({"generator": 1}, dict[str, float], {"generator": 1.0}),
    (np.int64(3), int, 3),
    (np.float32(0.5), float, 0.5),
]


@pytest.mark.parametrize(("given", "declared", "value"), CHECKED)
def test_check(given, declared, value):
    checked = check("knob", given, declared)
    assert checked == value
    assert type(checked) is type(value)
    if isinstance(value, tuple):
        assert list(map(type, checked)) == list(map(type, value))
    if isinstance(value, dict):
        assert list(map(type, checked.values())) == [float]


WRONG: list[tuple[Any, Any]] = [
    ("false", bool),
    (1, bool),
    (0, bool),
    (True, int),
    (True, float),
    (1.0, int),
    (1.5, int),
    ("1", int),
    ("0.1", float),
    (None, float),
    ("smal", Size),
    (1, Size),
    (0.9, tuple[float, float]),
    ([0.9], tuple[float, float]),
    ("0.9,0.99", tuple[float, float]),
    ([64, 1.5], tuple[int, ...]),
    ("flip", tuple[str, ...]),
    ({"generator": "x"}, dict[str, float]),
    ({1: 1.0}, dict[str, float]),
    ([("generator", 1.0)], dict[str, float]),
]


@pytest.mark.parametrize(("given", "declared"), WRONG)
def test_check_refuses(given, declared):
    with pytest.raises(UsageError) as caught:
        check("knob", given, declared)
    assert str(caught.value).startswith(f"knob={given!r} is not {describe(declared)}")


def test_nan_is_a_number_that_the_rules_refuse():
    """parse reads it, as float does; see test_recipe for who stops it."""
    assert math.isnan(parse("lr", "nan", float))


def test_suggestions_come_from_python_too():
    with pytest.raises(UsageError, match="did you mean 'medium'"):
        check("size", "medum", Size)
