"""Axes of a search space: levels, the points of their crossing, validation."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

from revit.errors import InputError
from revit.validation import require_one_line, short_repr
from search_spaces.framework.claims import Value

Axis = tuple[Value, ...] | Mapping[str, Mapping[str, object]]
"""Values of the config field that the axis is named after; or named levels, each setting several fields."""


def levels_of(name: str, axis: Axis) -> list[tuple[Value, Mapping[str, object]]]:
    """Return the levels of an axis: the label of each, and the config fields that it sets, by dotted path."""
    if isinstance(axis, Mapping):
        return list(axis.items())
    return [(value, {name: value}) for value in axis]


def fields_of(axes: Mapping[str, Axis]) -> set[str]:
    """Return the config fields that axes set, by dotted path."""
    return {path for name, axis in axes.items() for _, fields in levels_of(name, axis) for path in fields}


def points_of(axes: Mapping[str, Axis]) -> Iterator[tuple[dict[str, Value], dict[str, object]]]:
    """Yield the crossing of the axes: for each point a label per axis, and the config fields that its labels set."""
    for combination in itertools.product(*(levels_of(name, axis) for name, axis in axes.items())):
        labels = {name: label for name, (label, _) in zip(axes, combination, strict=True)}
        yield labels, {path: value for _, fields in combination for path, value in fields.items()}


def first_repeated(values: Sequence[Value]) -> Value:
    """Return the first value that occurs twice, or None."""
    return next((value for value in values if values.count(value) > 1), None)


def check_axes(scientific: Mapping[str, Axis], nuisance: Mapping[str, Axis]) -> None:
    """Check names and levels of the axes, and that no two of them set the same config field.

    Raises:
        InputError: names the axis, and what is wrong with it.
    """
    for role, axes in (("scientific", scientific), ("nuisance", nuisance)):
        if not isinstance(axes, Mapping) or not all(isinstance(name, str) for name in axes):
            raise InputError(f"{role} = {short_repr(axes)}: must be a dict of axes by their names")
    if not scientific:
        raise InputError("it has no scientific axis: nothing to compare")
    if scientific.keys() & nuisance.keys():
        raise InputError("an axis is both scientific and nuisance")
    owner: dict[str, str] = {}
    for name, axis in {**scientific, **nuisance}.items():
        _check_levels(name, axis)
        for path in {path for _, fields in levels_of(name, axis) for path in fields}:
            if path == "seed":
                raise InputError(f"axis {name} sets seed: give seeds as `seeds`")
            if path in owner:
                raise InputError(f"axes {owner[path]} and {name} both set {path}")
            owner[path] = name


def _check_levels(name: str, axis: Axis) -> None:
    require_one_line("axis", name)
    if not isinstance(axis, Mapping | tuple):
        raise InputError(f"axis {name} = {short_repr(axis)}: must be a tuple of values, or a dict of named levels")
    for label, fields in axis.items() if isinstance(axis, Mapping) else ():
        if not isinstance(label, str) or not isinstance(fields, Mapping):
            level = f"level {short_repr(label)} = {short_repr(fields)}"
            raise InputError(f"axis {name}, {level}: must be a dict of fields")
    labels = [label for label, _ in levels_of(name, axis)]
    if not labels:
        raise InputError(f"axis {name} has no values")
    for text in [label for label in labels if isinstance(label, str)]:
        require_one_line(f"axis {name}, label", text)
    for repeated in (first_repeated([str(label) for label in labels]), first_repeated(labels)):  # 1 and 1.0, too
        if repeated is not None:
            raise InputError(f"axis {name} has {repeated} twice")
