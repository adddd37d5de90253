"""Cells of a search space, with the nuisance axes that exist in each."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from revit.errors import InputError
from search_spaces.framework.axes import (
    Axis,
    NuisanceAxis,
    check_fields,
    conditions_of,
    existing,
    fields_of,
    levels_of,
    points_of,
)
from search_spaces.framework.claim_cells import Value
from search_spaces.framework.ranges import Range

Point = Mapping[str, Value]
"""Value by nuisance axis, as the study names it. Axes that do not exist at the point are absent."""


@dataclass(frozen=True, kw_only=True)
class StudyCell:
    """One value per scientific axis.

    Attributes:
        values: value by scientific axis, as the study and its claims name it.
        fields: config fields that these values set, by dotted path.
        axes: nuisance axes that exist in the cell; their conditions on scientific axes are met, and left out.
    """

    values: Mapping[str, Value]
    fields: Mapping[str, object]
    axes: Mapping[str, NuisanceAxis]

    @property
    def is_finite(self) -> bool:
        """True if it has finitely many points: no axis is a range of real numbers."""
        return all(not isinstance(axis, Range) or axis.integer for axis in self.axes.values())

    @property
    def is_grid(self) -> bool:
        """True if no axis is a range."""
        return not any(isinstance(axis, Range) for axis in self.axes.values())

    @property
    def first_point(self) -> Point:
        """The point with the first value of every axis; of a range, its lower bound."""
        return next(self.checked_points())

    def fields_of(self, point: Point) -> dict[str, object]:
        """Return the config fields that the cell and a point in it set, by dotted path."""
        fields = dict(self.fields)
        for axis, value in point.items():
            levels = self.axes[axis]
            fields |= {axis: value} if isinstance(levels, Range) else dict(levels_of(axis, levels))[value]
        return fields

    def checked_points(self) -> Iterator[Point]:
        """Yield the points of a grid; with ranges, points that have each value or bound of every axis at least once."""
        levels = {name: tuple(label for label, _ in levels_of(name, axis)) for name, axis in self.axes.items()}
        if self.is_grid:
            yield from (dict(zip(levels, values, strict=True)) for values in itertools.product(*levels.values()))
            return
        seen = []
        for others in self._parents(levels):
            first = {name: labels[0] for name, labels in levels.items()} | others
            for name, labels in levels.items():
                for point in (existing(self.axes, {**first, name: label, **others}) for label in labels):
                    if point not in seen:
                        seen.append(point)
                        yield point

    def _parents(self, levels: Mapping[str, tuple[Value, ...]]) -> list[dict[str, Value]]:
        """Return the combinations of values of the axes that others depend on."""
        names = dict.fromkeys(other for axis in self.axes.values() for other in conditions_of(axis))
        combinations = itertools.product(*(levels[name] for name in names))
        return [dict(zip(names, values, strict=True)) for values in combinations]

    @property
    def num_grid_points(self) -> int:
        """Number of combinations of values; of a range of whole numbers, all of them count."""
        return math.prod(
            int(axis.high - axis.low) + 1 if isinstance(axis, Range) else len(axis) for axis in self.axes.values()
        )


def cells_of(scientific: Mapping[str, Axis], nuisance: Mapping[str, NuisanceAxis]) -> Iterator[StudyCell]:
    """Yield every cell of the crossing of scientific axes."""
    for values, fields in points_of(scientific):
        axes: dict[str, NuisanceAxis] = {}
        for name, axis in nuisance.items():
            conditions = conditions_of(axis)
            parents = [each for each in conditions if each not in scientific]
            is_met = all(values[each] in conditions[each] for each in conditions if each in scientific)
            if is_met and all(each in axes for each in parents):
                axes[name] = _with_conditions(axis, {each: conditions[each] for each in parents})
        yield StudyCell(values=values, fields=fields, axes=axes)


def _with_conditions(axis: NuisanceAxis, when: Mapping[str, tuple[Value, ...]]) -> NuisanceAxis:
    return replace(axis, when=when) if isinstance(axis, Range) else axis


def check_cell_fields(cell: StudyCell, scientific: Mapping[str, Axis]) -> None:
    """Raise InputError if a nuisance axis of a cell sets a field that another axis sets there."""
    check_fields(cell.axes)
    for name, axis in cell.axes.items():
        for path in sorted(fields_of({name: axis}) & cell.fields.keys()):
            owner = next(other for other, levels in scientific.items() if path in fields_of({other: levels}))
            raise InputError(f"axes {owner} and {name} both set {path}")
