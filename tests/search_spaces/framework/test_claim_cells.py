"""Cells of claims: expanded, compared, in words."""

import pytest

from revit.errors import InputError
from search_spaces.framework.claim_cells import (
    as_list,
    cells_text,
    check_cells,
    check_several,
    each_cell,
    margin_text,
    short_name,
    span_text,
    split_difference,
)


def test_a_tuple_is_each_of_its_values() -> None:
    assert each_cell({}) == [{}]
    assert each_cell({"a": 1, "b": (2, 3)}) == [{"a": 1, "b": 2}, {"a": 1, "b": 3}]
    assert each_cell({"a": (1, None), "b": ("x", "y")}) == [
        {"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": None, "b": "x"}, {"a": None, "b": "y"},
    ]  # fmt: skip


@pytest.mark.parametrize("values", [(), (1,), (1, 1)])
def test_a_tuple_has_two_values_or_more_that_differ(values: tuple[int, ...]) -> None:
    for check in (lambda: check_several("where", values), lambda: check_cells("where", {"a": values})):
        with pytest.raises(InputError, match=r"where = .*: must be two or more values that differ"):
            check()
    check_cells("where", {"a": 1, "b": (1, 2)})


def test_two_cells_are_split_into_what_they_share_and_the_rest() -> None:
    better, worse = {"m": "v", "f": 1.0, "x": None}, {"f": 0.1, "m": "v"}
    assert split_difference((better, worse)) == ({"m": "v"}, ({"f": 1.0, "x": None}, {"f": 0.1}))


def test_cells_in_words() -> None:
    assert cells_text({"model.name": "vit", "r": (224, 384)}) == "model vit, each r of 224, 384"
    assert cells_text({"r": (224,)}) == "r 224"
    assert [short_name(axis) for axis in ("model.name", "model.pos_embed", "budget")] == [
        "model", "pos_embed", "budget",
    ]  # fmt: skip
    assert span_text(({"f": 1.0}, {"f": 0.1})) == "from f 0.1 to 1.0"
    assert span_text(({"f": 1.0}, {"g": 2})) == "from g 2 to f 1.0"
    assert as_list((1, "a")) == "1, a"


def test_margins_in_words() -> None:
    assert margin_text(0, None, "pp") == ""
    assert margin_text(2.5, None, "pp") == " by at least 2.5 pp"
    assert margin_text(0, 3, "pp") == " by at most 3 pp"
    assert margin_text(62, 71, "%") == " by 62 to 71 %"
