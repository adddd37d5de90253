"""Validation of dataclasses by their types."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal

import pytest

from revit.errors import InputError
from revit.validation import (
    KeyOrFunction,
    check_types,
    describe_type,
    field_types,
    require_one_line,
    short_repr,
    with_tuples,
)


@dataclass(frozen=True)
class Record:
    whole: int = 1
    number: float = 0.5
    maybe: float | None = None
    choice: Literal["a", "b"] = "a"
    pair: tuple[float, float] = (0.0, 1.0)
    many: tuple[int, ...] = ()
    table: Mapping[str, int] = field(default_factory=dict)
    call: Callable[[], None] = print
    flag: bool = False
    entry: Annotated[str, KeyOrFunction({"a": 1, "b": 2})] = "a"


VALID: dict[str, list[object]] = {
    "whole": [-3, 2**62],
    "number": [2, -0.5],
    "maybe": [None, 3],
    "choice": ["b"],
    "pair": [(1, 2.5)],
    "many": [(1, 2, 3)],
    "table": [{"a": 1}],
    "call": [len],
    "flag": [True],
    "entry": ["b", "package.module:function"],
}
INVALID: dict[str, tuple[list[object], str]] = {
    "whole": ([True, 1.0, "1", None, 2**63], "a whole number"),
    "number": ([True, "1", None, float("nan"), float("inf")], "a number"),
    "maybe": (["x", False], "a number or None"),
    "choice": (["c", 1, None], "one of a, b"),
    "pair": ([(1.0,), [0.0, 1.0], (0.0, "x"), (0.0, float("inf"))], "(a number, a number)"),
    "many": ([1, ("x",), (1.5,)], "(a whole number, ...)"),
    "table": ([{"a": "b"}, {1: 1}, ()], "a dict of a whole number by text"),
    "call": ([1, "len"], "a function"),
    "flag": ([0, None], "True or False"),
    "entry": (["c", 1, None, "module:"], "one of a, b or a function as MODULE:FUNCTION"),
}


def test_every_field_has_cases() -> None:
    assert VALID.keys() == INVALID.keys() == {each.name for each in fields(Record)} == field_types(Record).keys()


@pytest.mark.parametrize("name", VALID)
def test_a_value_of_the_declared_type_is_accepted(name: str) -> None:
    for value in VALID[name]:
        check_types(Record(**{name: value}))


@pytest.mark.parametrize("name", INVALID)
def test_a_value_of_another_type_is_refused_with_its_name(name: str) -> None:
    values, words = INVALID[name]
    assert describe_type(field_types(Record)[name]) == words
    for value in values:
        with pytest.raises(InputError, match=f"^{name} = .*: must be "):
            check_types(Record(**{name: value}))
        check_types(Record(**{name: value}), exclude=(name,))


@pytest.mark.parametrize("text", ["", " a", "a\n", "a\nb", "\x1b[31m", 3])
def test_one_line_is_printable_text_without_spaces_around_it(text: object) -> None:
    require_one_line("name", "a b")
    with pytest.raises(InputError, match="name = "):
        require_one_line("name", text)


def test_lists_become_tuples_at_every_depth() -> None:
    nested: Any = {"a": [1, [2, (3, [4])]], "b": "text"}
    assert with_tuples(nested) == {"a": (1, (2, (3, (4,)))), "b": "text"}


def test_a_long_value_is_shortened() -> None:
    assert short_repr("x") == "'x'"
    assert len(short_repr("x" * 10_000)) < 250
    assert short_repr(10**5000) == "a number of thousands of digits"
