"""Cells: the nuisance axes that exist in each, their points."""

import pytest

from revit.errors import InputError
from search_spaces.framework.axes import NuisanceAxis, existing
from search_spaces.framework.cells import StudyCell, cells_of, check_cell_fields
from search_spaces.framework.ranges import Range

OPTIMIZERS = {"optimizer.name": ("sgd", "adamw")}
DECAY = Range(0.01, 0.1, when={"optimizer.name": "adamw"})


def cell_of(**axes: NuisanceAxis) -> StudyCell:
    return StudyCell(values={}, fields={}, axes=axes)


def test_an_axis_exists_in_the_cells_of_its_condition() -> None:
    nested = Range(1, 9, integer=True, when={"schedule": "cosine", "optimizer.name": "adamw"})
    nuisance = {"decay": DECAY, "schedule": ("cosine", "linear"), "warmup": nested}
    sgd, adamw = cells_of(OPTIMIZERS, nuisance)
    assert (sgd.values, sgd.fields) == ({"optimizer.name": "sgd"}, {"optimizer.name": "sgd"})
    assert sgd.axes == {"schedule": ("cosine", "linear")}
    warmup = Range(1, 9, integer=True, when={"schedule": ("cosine",)})
    assert adamw.axes == {"decay": Range(0.01, 0.1), "schedule": ("cosine", "linear"), "warmup": warmup}


def test_an_axis_whose_parent_does_not_exist_in_a_cell_does_not_either() -> None:
    nuisance: dict[str, NuisanceAxis] = {
        "decay": DECAY,
        "pace": Range(1, 2, integer=True, when={"optimizer.name": "adamw"}),
        "child": Range(0, 1, when={"pace": 1}),
    }
    sgd, _ = cells_of(OPTIMIZERS, nuisance)
    assert sgd.axes == {}


def test_a_grid_has_all_its_points() -> None:
    cell = cell_of(a=(1, 2), b={"x": {"steps": 1}, "y": {"steps": 2}})
    assert list(cell.checked_points()) == [{"a": a, "b": b} for a in (1, 2) for b in ("x", "y")]
    assert (cell.is_grid, cell.is_finite, cell.num_grid_points) == (True, True, 4)
    assert cell.first_point == {"a": 1, "b": "x"}
    assert cell.fields_of({"a": 2, "b": "y"}) == {"a": 2, "steps": 2}
    assert list(cell_of().checked_points()) == [{}]


def test_each_bound_and_value_is_in_a_checked_point_where_it_exists() -> None:
    cell = cell_of(lr=Range(0.1, 1.0), schedule=("cosine", "linear"), end=Range(0.2, 0.3, when={"schedule": "linear"}))
    points = list(cell.checked_points())
    assert {point["lr"] for point in points} == {0.1, 1.0}
    assert {point["schedule"] for point in points} == {"cosine", "linear"}
    assert {(point["schedule"], point.get("end")) for point in points} == {
        ("cosine", None), ("linear", 0.2), ("linear", 0.3),
    }  # fmt: skip
    assert len({str(point) for point in points}) == len(points)
    assert (cell.is_grid, cell.is_finite) == (False, False)


def test_a_range_of_whole_numbers_is_finite() -> None:
    cell = cell_of(warmup=Range(0, 4, integer=True), a=(1, 2))
    assert (cell.is_grid, cell.is_finite, cell.num_grid_points) == (False, True, 10)


def test_inactive_axes_are_left_out_of_a_point() -> None:
    cell = cell_of(a=("x", "y"), b=Range(0, 1, when={"a": "x"}), c=Range(0, 1, when={"a": ("x", "y")}))
    assert existing(cell.axes, {"c": 0.1, "b": 0.5, "a": "y"}) == {"a": "y", "c": 0.1}
    assert existing(cell.axes, {"b": 0.5, "a": "x"}) == {"a": "x", "b": 0.5}


def test_two_axes_of_a_cell_may_not_set_one_field() -> None:
    levels = {"learning_rate": {"fixed": {"optimizer.lr": 0.1}, "tuned": {}}}
    when = {"optimizer.lr": Range(0.1, 1.0, when={"learning_rate": "tuned"})}
    for cell in cells_of(levels, when):
        check_cell_fields(cell, levels)
    with pytest.raises(InputError, match=r"axes learning_rate and optimizer\.lr both set optimizer\.lr"):
        check_cell_fields(next(cells_of(levels, {"optimizer.lr": Range(0.1, 1.0)})), levels)
