"""Cells of claims: expanded, compared, in words."""

import pytest

from revit.errors import InputError
from search_spaces.framework.claim_cells import (
    Words,
    check_cells,
    check_several,
    each_cell,
    short_names,
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
    words = Words()
    assert words.cells({"model.name": "vit", "r": (224, 384)}) == "model vit, each r of 224, 384"
    assert words.span(({"f": 1.0}, {"f": 0.1})) == "from f 0.1 to 1.0"
    assert words.span(({"f": 1.0}, {"g": 2})) == "from g 2 to f 1.0"
    assert words.list_values("r", (1, "a")) == "1, a"


def test_an_axis_has_a_short_name_unless_another_one_has_the_same() -> None:
    assert short_names(["model.name", "model.pos_embed", "budget"]) == ["model", "pos_embed", "budget"]
    assert short_names(["optimizer", "optimizer.name", "seed"]) == ["optimizer", "optimizer.name", "seed"]


def test_cells_in_the_words_of_a_reader() -> None:
    names = {("m", "vit"): "ViT"}
    words = Words(axis=str.upper, value=lambda axis, value: f"<{value}>", name=lambda *both: names.get(both))
    assert words.names({"m": "vit", "r": 224}) == "ViT, R <224>"
    assert words.names({"m": ("vit", "bit")}) == "each M of <vit>, <bit>"
    assert words.cells({"m": "vit"}) == "M <vit>"
    assert words.span(({"m": "vit"}, {"m": "bit"})) == "from M <bit> to <vit>"


def test_margins_in_words() -> None:
    words = Words()
    assert words.margin(0) == ""
    assert words.margin(2.5) == " by at least 2.5 pp"
    assert words.margin(0, 3) == " by at most 3 pp"
    assert words.margin(62, 71, "%") == " by 62 to 71 %"
