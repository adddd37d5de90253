"""Holding a record's values against the types that its fields state, and saying in one line what is wrong."""

import math
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields
from functools import cache
from typing import Any, Literal

from revit.errors import InputError

MAX_NUMBER = 2**63
"""No number is as large: neither those who count with it nor those who keep it can hold one."""

MAX_REPR_CHARS = 200
"""Characters of a value that a message repeats."""


def check_types(record: Any, exclude: Collection[str] = ()) -> None:
    """Raise InputError unless every field of a dataclass has the type it states, and its numbers are usable ones.

    Args:
        exclude: fields that are not looked at.
    """
    owner: Any = type(record)
    for name, hint in field_types(owner).items():
        if name in exclude:
            continue
        value = getattr(record, name)
        require(_fits(hint, value), name, value, describe_type(hint))
        for number in _numbers(value):
            require(isinstance(number, int) or math.isfinite(number), name, value, "a finite number")
            require(abs(number) < MAX_NUMBER, name, value, "smaller than 2**63")


def require(holds: bool, name: str, value: object, right: str) -> None:
    """Raise InputError unless what must hold of a value does."""
    if not holds:
        raise InputError(f"{name} = {short_repr(value)}: must be {right}")


def with_tuples(value: Any) -> Any:
    """Return a value with a tuple in the place of every list in it, of which records cannot be made."""
    if isinstance(value, Mapping):
        return {key: with_tuples(each) for key, each in value.items()}
    return tuple(map(with_tuples, value)) if isinstance(value, list | tuple) else value


def require_one_line(name: str, value: object) -> None:
    """Raise InputError unless a value is text that fits into one line of any table."""
    fits = isinstance(value, str) and value.isprintable() and bool(value) and value == value.strip()
    require(fits, name, value, "a text of one line, without spaces around it")


def short_repr(value: object) -> str:
    """A value as Python writes it; of a very long one, its beginning."""
    try:
        text = repr(value)
    except ValueError:  # Python does not write out numbers of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= MAX_REPR_CHARS else f"{text[:MAX_REPR_CHARS]}..."


@cache
def field_types(owner: Any) -> dict[str, Any]:
    """The type of each field of a dataclass, by its name."""
    hints = typing.get_type_hints(owner)
    return {each.name: hints[each.name] for each in fields(owner)}


def _fits(hint: Any, value: object) -> bool:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return isinstance(value, str) and value in inner
    if origin in (types.UnionType, typing.Union):
        return any(_fits(choice, value) for choice in inner)
    if origin is tuple:
        if inner[1:] == (Ellipsis,):
            return isinstance(value, tuple) and all(_fits(inner[0], each) for each in value)
        return isinstance(value, tuple) and len(value) == len(inner) and all(map(_fits, inner, value))
    if origin is Mapping:
        return isinstance(value, Mapping) and all(_fits(inner[0], k) and _fits(inner[1], v) for k, v in value.items())
    if origin is Callable:
        return callable(value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _numbers(value: object) -> Iterator[float]:
    """The numbers that a value is, or that a tuple holds."""
    if isinstance(value, int | float):
        yield value
    if isinstance(value, tuple):
        for each in value:
            yield from _numbers(each)


def describe_type(hint: Any) -> str:
    """Return a type as a reader is told it: `int` is a whole number."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(inner)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(describe_type(choice) for choice in inner)
    if origin is tuple:
        return f"({', '.join('...' if kind is Ellipsis else describe_type(kind) for kind in inner)})"
    if origin is Mapping:
        return f"a dict of {describe_type(inner[1])} by {describe_type(inner[0])}"
    if origin is Callable:
        return "a function"
    return _KIND_IN_WORDS.get(hint) or f"a {hint.__name__}"


_KIND_IN_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "True or False",
    object: "anything",
    types.NoneType: "None",
}
