"""Validation of dataclasses by the types of their fields, with one-line errors."""

import ast
import math
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, Literal

from revit.errors import InputError
from revit.functions import is_import_path


@dataclass(frozen=True, eq=False)
class KeyOrFunction:
    """Annotation of a text field: a key of a table, or a function of the user by its import path.

    So an entry of the table needs no change of the field: `loss: Annotated[str, KeyOrFunction(LOSSES)]`.
    """

    table: Mapping[str, object]

    def fits(self, value: object) -> bool:
        """Return whether a value is one of these."""
        return isinstance(value, str) and (value in self.table or is_import_path(value))

    def in_words(self) -> str:
        """Return what a value must be."""
        return f"one of {', '.join(self.table)} or a function as MODULE:FUNCTION"


MAX_NUMBER = 2**63
"""Exclusive upper bound on numbers: they must fit int64."""

MAX_REPR_CHARS = 200
"""Maximum length of a value in a message."""


def check_types(record: Any, exclude: Collection[str] = ()) -> None:
    """Raise InputError unless every field but `exclude` has its declared type, and every number is finite."""
    owner: Any = type(record)
    for name, hint in field_types(owner).items():
        if name in exclude:
            continue
        value = getattr(record, name)
        if not is_a(hint, value):
            require(False, name, value, describe_type(hint))
        for number in _numbers(value):
            require(isinstance(number, int) or math.isfinite(number), name, value, "a finite number")
            require(abs(number) < MAX_NUMBER, name, value, "smaller than 2**63")


def require(holds: bool, name: str, value: object, right: str) -> None:
    """Raise InputError unless a condition on a value holds.

    Args:
        name: of the value, in the message.
        right: what the value must be, in the message.
    """
    if not holds:
        raise InputError(f"{name} = {short_repr(value)}: must be {right}")


def with_tuples(value: Any) -> Any:
    """Return a value with every list in it replaced by a tuple, as frozen dataclasses need."""
    if isinstance(value, Mapping):
        return {key: with_tuples(each) for key, each in value.items()}
    return tuple(map(with_tuples, value)) if isinstance(value, list | tuple) else value


def require_one_line(name: str, value: object) -> None:
    """Raise InputError unless a value is text of one printable line."""
    fits = isinstance(value, str) and value.isprintable() and bool(value) and value == value.strip()
    require(fits, name, value, "text of one line, without spaces around it")


def short_repr(value: object) -> str:
    """Return the repr of a value, cut to MAX_REPR_CHARS."""
    try:
        text = repr(value)
    except ValueError:  # Python does not write out numbers of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= MAX_REPR_CHARS else f"{text[:MAX_REPR_CHARS]}..."


@cache
def field_types(owner: Any) -> dict[str, Any]:
    """Return the type of each field of a dataclass, by its name."""
    hints = typing.get_type_hints(owner, include_extras=True)
    return {each.name: hints[each.name] for each in fields(owner)}


WORDS: dict[str, object] = {"true": True, "false": False, "none": None}


def parse_text(hint: Any, text: str) -> Any:
    """Return the value of a type that a text names, as Python writes it; the text where it names none.

    True, False and None are known in small letters, too.
    """
    values: tuple[Any, ...] = (_literal(text), text)
    for value in values:
        if is_a(hint, value):
            return float(value) if hint is float and abs(value) < MAX_NUMBER else value
    return text


def _literal(text: str) -> object:
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    try:
        return with_tuples(ast.literal_eval(text))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def is_a(hint: Any, value: object) -> bool:
    """Return whether a value has a type; a whole number is a number, True is neither."""
    if type(value) is hint:
        return True
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(hint, type):
        return isinstance(value, hint)
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return bool(inner[1].fits(value))
    if origin is Literal:
        return isinstance(value, str) and value in inner
    if origin in (types.UnionType, typing.Union):
        return any(is_a(choice, value) for choice in inner)
    if origin is tuple:
        if inner[1:] == (Ellipsis,):
            return isinstance(value, tuple) and all(is_a(inner[0], each) for each in value)
        return isinstance(value, tuple) and len(value) == len(inner) and all(map(is_a, inner, value))
    if origin is Mapping:
        return isinstance(value, Mapping) and all(is_a(inner[0], k) and is_a(inner[1], v) for k, v in value.items())
    return origin is Callable and callable(value)


def _numbers(value: object) -> Iterator[float]:
    """Yield the number that a value is, or every number in a tuple."""
    if isinstance(value, int | float):
        yield value
    if isinstance(value, tuple):
        for each in value:
            yield from _numbers(each)


def describe_type(hint: Any) -> str:
    """Return a type in words: `int` is a whole number."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return str(inner[1].in_words())
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
    str: "text",
    bool: "True or False",
    object: "anything",
    types.NoneType: "None",
}
