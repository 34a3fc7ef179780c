"""Values typed on a command line or in a file, read by their declared type.

``false`` is False, ``1`` is a float where a float is declared, ``None`` is None where that is allowed, and
everything else is refused with the value, the rule and the fix.
"""

import types
from numbers import Integral, Real
from typing import Any, Literal, Union, get_args, get_origin

from didact.errors import UsageError, suggest

TRUE, FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


def parse(name: str, text: str, declared: Any) -> Any:
    """Read ``text`` as the declared type: bool, int, float, str, Literal, tuple, dict of numbers, or a union.

    Example:
        >>> parse("lr", "1e-3", float)
        0.001

    Raises:
        UsageError: The text is no such value.
    """
    options = _options(declared)
    if type(None) in options and text.strip().lower() in ("none", "null", ""):
        return None
    if "," in text:  # several values, where several are allowed, before one text with a comma in it
        options = tuple(sorted(options, key=lambda option: not isinstance(option, types.GenericAlias)))
    for option in options:
        if option is not type(None):
            try:
                return _read(text.strip(), option)
            except ValueError:
                continue
    raise UsageError(f"{name}={text!r} is not {describe(declared)}{_hint(text, options)}")


def check(name: str, value: Any, declared: Any) -> Any:
    """Return a Python value as the declared type, or refuse it: 1 becomes 1.0, lists become tuples.

    Raises:
        UsageError: The value is of another type.
    """
    for option in _options(declared):
        if _fits(value, option):
            return _coerced(value, option)
    hint = _hint(value, _options(declared)) if isinstance(value, str) else ""
    raise UsageError(f"{name}={value!r} is not {describe(declared)}{hint}")


def describe(declared: Any) -> str:
    """The declared type in words."""
    words = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "a text",
        type(None): "none",
    }
    parts = []
    for option in _options(declared):
        origin = get_origin(option)
        if origin is Literal:
            parts.append("one of " + ", ".join(map(str, get_args(option))))
        elif origin is tuple:
            inner = {int: "whole numbers", float: "numbers"}.get(get_args(option)[0], "texts")
            parts.append(f"{inner} with commas between")
        elif origin is dict:
            parts.append("pairs such as generator:0.5,discriminator:1")
        else:
            parts.append(words.get(option, str(option)))
    return " or ".join(parts)


def _options(declared: Any) -> tuple[Any, ...]:
    return get_args(declared) if get_origin(declared) in (Union, types.UnionType) else (declared,)


def _read(text: str, option: Any) -> Any:
    origin = get_origin(option)
    if option is bool:
        return _read_bool(text)
    if option in (int, float, str):
        return option(text)
    if origin is Literal:
        return get_args(option)[[str(value) for value in get_args(option)].index(text)]
    if origin is tuple:
        inner = get_args(option)[0]
        values = tuple(_read(part.strip(), inner) for part in text.strip("()[]").split(",") if part.strip())
        return _coerced(values, option)
    if origin is dict:
        pairs = (part.split(":") for part in text.split(",") if part.strip())
        return {key.strip(): float(value) for key, value in pairs}
    raise ValueError(text)


def _read_bool(text: str) -> bool:
    if text.lower() in TRUE | FALSE:
        return text.lower() in TRUE
    raise ValueError(text)


def _fits(value: Any, option: Any) -> bool:
    origin = get_origin(option)
    if origin is Literal:
        return value in get_args(option)
    if origin is tuple:
        inner = get_args(option)
        right_length = inner[-1] is Ellipsis or (isinstance(value, list | tuple) and len(value) == len(inner))
        return isinstance(value, list | tuple) and right_length and all(_fits(v, inner[0]) for v in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(k, str) and _fits(v, float) for k, v in value.items())
    if option in (int, float):  # NumPy's numbers are welcome
        return isinstance(value, Integral if option is int else Real) and not isinstance(value, bool)
    return isinstance(value, option)


def _coerced(value: Any, option: Any) -> Any:
    if option in (int, float):
        return option(value)
    if get_origin(option) is dict:
        return {key: float(number) for key, number in value.items()}
    if get_origin(option) is tuple:
        inner = get_args(option)
        if inner[-1] is not Ellipsis and len(value) != len(inner):
            raise ValueError(value)
        return tuple(_coerced(v, inner[0]) for v in value)
    return value


def _hint(text: str, options: tuple[Any, ...]) -> str:
    known = [str(v) for option in options if get_origin(option) is Literal for v in get_args(option)]
    return f"; {suggest(text, known)}" if known and "did you mean" in suggest(text, known) else ""
