"""Conditions of nuisance axes: which axes exist at a point."""

from collections.abc import Mapping
from graphlib import TopologicalSorter

from search_spaces.framework.axes import Axis
from search_spaces.framework.claims import Value
from search_spaces.framework.ranges import Range

Axes = Mapping[str, Axis | Range]
"""Nuisance axes of one cell, in the order of the study. A condition names only axes that are among them."""


def parents_first(axes: Axes) -> tuple[str, ...]:
    """Return the names of the axes, each after those that its condition names."""
    return tuple(TopologicalSorter({name: _condition(axis) for name, axis in axes.items()}).static_order())


def exists(axis: Axis | Range, point: Mapping[str, Value]) -> bool:
    """Return True if an axis exists at a point that has the axes of its condition, where they exist."""
    condition = _condition(axis)
    return all(name in point and point[name] in _as_tuple(values) for name, values in condition.items())


def _condition(axis: Axis | Range) -> Mapping[str, Value | tuple[Value, ...]]:
    return axis.when if isinstance(axis, Range) else {}


def _as_tuple(values: Value | tuple[Value, ...]) -> tuple[Value, ...]:
    return values if isinstance(values, tuple) else (values,)
