"""Cells that claims are about: values on axes, expanded, compared, in words."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from revit.validation import require

Value = str | int | float | bool | None
Cell = Mapping[str, Value]
"""Values on some axes: the cells that have them."""
Cells = Mapping[str, Value | tuple[Value, ...]]
"""Values on some axes; a tuple means each of its values."""
Difference = tuple[Cell, Cell]
"""Two cells, the better one first: by how much it is better than the other."""
Contrast = tuple[tuple[float, Cell], ...]
"""A weighted sum of values: the weights, each with its cells.

The weights add up to 0, except in Matches and InRange, where the sum is compared with a number.
"""


class Words(NamedTuple):
    """Words for a metric in a sentence.

    Attributes:
        unit: of its differences.
        comparative: "higher" where larger values are better, "lower" where smaller ones are.
    """

    metric: str = "accuracy"
    unit: str = "pp"
    comparative: str = "higher"


def each_cell(cells: Cells) -> list[Cell]:
    """Return a cell for each combination of the values in tuples."""
    choices = [value if isinstance(value, tuple) else (value,) for value in cells.values()]
    return [dict(zip(cells, values, strict=True)) for values in itertools.product(*choices)]


def check_cells(name: str, cells: Cells) -> None:
    """Raise InputError unless every tuple in cells has values that differ."""
    for value in cells.values():
        if isinstance(value, tuple):
            check_several(name, value)


def check_several(name: str, values: tuple[Value, ...]) -> None:
    """Raise InputError unless there are two values or more, all different."""
    require(2 <= len(set(values)) == len(values), name, values, "two or more values that differ")


def split_difference(difference: Difference) -> tuple[Cell, Difference]:
    """Return the values that two cells share, and the rest of both."""
    better, worse = difference
    shared = {axis: value for axis, value in better.items() if axis in worse and worse[axis] == value}
    return shared, (_without(better, shared), _without(worse, shared))


def _without(cell: Cell, others: Cell) -> Cell:
    return {axis: value for axis, value in cell.items() if axis not in others}


def span_text(ends: Difference) -> str:
    """Return the way from the worse cell to the better one; of one axis, its name is written once."""
    better, worse = ends
    to = as_list((*better.values(),)) if [*better] == [*worse] else cells_text(better)
    return f"from {cells_text(worse)} to {to}"


def margin_text(at_least: float, at_most: float | None, unit: str) -> str:
    """Return a margin as the end of a sentence; empty for none."""
    if at_most is not None:
        return f" by {at_least:g} to {at_most:g} {unit}" if at_least else f" by at most {at_most:g} {unit}"
    return f" by at least {at_least:g} {unit}" if at_least else ""


def cells_text(cells: Cells) -> str:
    """Return cells in words: `dataset flowers, each resolution of 224, 384`."""
    return ", ".join(
        f"each {short_name(axis)} of {as_list(value)}"
        if isinstance(value, tuple) and len(value) > 1
        else f"{short_name(axis)} {as_list(value) if isinstance(value, tuple) else value}"
        for axis, value in cells.items()
    )


def short_name(axis: str) -> str:
    """Return the last part of an axis' path: `model` of `model.name`, `pos_embed` of `model.pos_embed`."""
    return axis.removesuffix(".name").rpartition(".")[2]


def as_list(values: Sequence[Value]) -> str:
    """Return values with commas between them."""
    return ", ".join(map(str, values))
