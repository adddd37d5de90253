"""Cells that claims are about: values on axes, expanded, compared, in words."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
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


def short_name(axis: str) -> str:
    """Return the last part of an axis' path: `model` of `model.name`, `pos_embed` of `model.pos_embed`."""
    return axis.removesuffix(".name").rpartition(".")[2]


def short_names(axes: Sequence[str]) -> list[str]:
    """Return the short names of axes; of those that would have the same one, their paths."""
    short = [short_name(axis) for axis in axes]
    return [name if short.count(name) == 1 else axis for axis, name in zip(axes, short, strict=True)]


class Words(NamedTuple):
    """Words of a sentence about a metric.

    Attributes:
        unit: of its differences.
        comparative: "higher" where larger values are better, "lower" where smaller ones are.
        axis: function that returns the words for an axis.
        value: function of an axis and a value that returns the words for the value.
        name: function of both that returns words that say what the value is, `SGD` for `optimizer SGD`; None without.
    """

    metric: str = "accuracy"
    unit: str = "pp"
    comparative: str = "higher"
    axis: Callable[[str], str] = short_name
    value: Callable[[str, Value], str] = lambda _, value: str(value)
    name: Callable[[str, Value], str | None] = lambda _axis, _value: None

    def list_values(self, axis: str, values: Iterable[Value]) -> str:
        """Return values of an axis with commas between them."""
        return ", ".join(self.value(axis, value) for value in values)

    def cells(self, cells: Cells) -> str:
        """Return cells with their axes: `dataset flowers, each resolution of 224, 384`."""
        return ", ".join(
            f"each {self.axis(axis)} of {self.list_values(axis, value)}"
            if isinstance(value, tuple)
            else f"{self.axis(axis)} {self.value(axis, value)}"
            for axis, value in cells.items()
        )

    def names(self, cells: Cells) -> str:
        """Return cells, without the axis of a value that is known by its name: `SGD`, `resolution 224`."""
        return ", ".join(
            (None if isinstance(value, tuple) else self.name(axis, value)) or self.cells({axis: value})
            for axis, value in cells.items()
        )

    def span(self, ends: Difference) -> str:
        """Return the way from the worse cell to the better one; of one axis, its name is written once."""
        better, worse = ends
        is_of_same = [*better] == [*worse]
        to = ", ".join(self.value(axis, value) for axis, value in better.items()) if is_of_same else self.names(better)
        return f"from {self.names(worse)} to {to}"

    def margin(self, at_least: float, at_most: float | None = None, unit: str = "") -> str:
        """Return a margin as the end of a sentence; empty for none.

        Args:
            unit: empty for that of the metric's differences.
        """
        unit = unit or self.unit
        if at_most is not None:
            return f" by {at_least:g} to {at_most:g} {unit}" if at_least else f" by at most {at_most:g} {unit}"
        return f" by at least {at_least:g} {unit}" if at_least else ""


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
