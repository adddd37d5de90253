"""Axes of a search space: levels, the points of their crossing, validation."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

from revit.errors import InputError
from revit.validation import require_one_line, short_repr
from search_spaces.framework.claim_cells import Value
from search_spaces.framework.ranges import Range

Axis = tuple[Value, ...] | Mapping[str, Mapping[str, object]]
"""Values of the config field that the axis is named after; or named levels, each setting several fields."""
NuisanceAxis = Axis | Range


def levels_of(name: str, axis: NuisanceAxis) -> list[tuple[Value, Mapping[str, object]]]:
    """Return the levels of an axis: the label of each, and the config fields that it sets, by dotted path.

    Of a range, the levels are its two bounds.
    """
    if isinstance(axis, Range):
        return [(value, {name: value}) for value in (axis.low, axis.high)]
    if isinstance(axis, Mapping):
        return list(axis.items())
    return [(value, {name: value}) for value in axis]


def conditions_of(axis: NuisanceAxis) -> dict[str, tuple[Value, ...]]:
    """Return the conditions under which a nuisance axis exists: allowed values by axis."""
    when = axis.when if isinstance(axis, Range) else {}
    return {name: allowed if isinstance(allowed, tuple) else (allowed,) for name, allowed in when.items()}


def exists(axis: NuisanceAxis, point: Mapping[str, Value]) -> bool:
    """Return whether a nuisance axis exists at a point, given the values of the axes that it depends on."""
    return all(name in point and point[name] in allowed for name, allowed in conditions_of(axis).items())


def existing(axes: Mapping[str, NuisanceAxis], values: Mapping[str, Value]) -> dict[str, Value]:
    """Return the values of the nuisance axes that exist at a point, in the order of the axes."""
    point: dict[str, Value] = {}
    for name, axis in axes.items():
        if name in values and exists(axis, point):
            point[name] = values[name]
    return point


def fields_of(axes: Mapping[str, NuisanceAxis]) -> set[str]:
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


def check_axes(scientific: Mapping[str, Axis], nuisance: Mapping[str, NuisanceAxis]) -> None:
    """Check names and levels of the axes, the conditions on which they depend, and that no two set the same field.

    Axes with conditions are checked cell by cell (`check_fields`).

    Raises:
        InputError: names the axis, and what is wrong with it.
    """
    for role, axes in (("scientific", scientific), ("nuisance", nuisance)):
        if not isinstance(axes, Mapping) or not all(isinstance(name, str) for name in axes):
            raise InputError(f"{role} = {short_repr(axes)}: must be a dict of axes by their names")
    if not scientific:
        raise InputError("it has no scientific axis: nothing to compare")
    for name in scientific.keys() & nuisance.keys():
        raise InputError(f"axis {name} is both scientific and nuisance: it must be in one of them")
    known: dict[str, NuisanceAxis] = {}
    for name, axis in {**scientific, **nuisance}.items():
        _check_levels(name, axis, is_nuisance=name in nuisance)
        if "seed" in fields_of({name: axis}):
            raise InputError(f"axis {name} sets seed: give seeds as `seeds`")
        _check_conditions(name, axis, known)
        known[name] = axis
    check_fields({name: axis for name, axis in known.items() if not conditions_of(axis)})


def _check_levels(name: str, axis: NuisanceAxis, *, is_nuisance: bool) -> None:
    require_one_line("axis", name)
    if isinstance(axis, Range):
        if not is_nuisance:
            raise InputError(f"axis {name} = {axis}: a range is searched, and a scientific axis has values to compare")
        return
    if not isinstance(axis, Mapping | tuple):
        right = "a tuple of values, a Range," if is_nuisance else "a tuple of values,"
        raise InputError(f"axis {name} = {short_repr(axis)}: must be {right} or a dict of named levels")
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


def _check_conditions(name: str, axis: NuisanceAxis, before: Mapping[str, NuisanceAxis]) -> None:
    """Raise InputError where an axis depends on an axis or value that is not there, or given only after it."""
    for other, allowed in conditions_of(axis).items():
        if other not in before or isinstance(before[other], Range):
            known = [each for each, levels in before.items() if not isinstance(levels, Range)]
            right = f"one of the axes with values before it: {', '.join(known)}"
            raise InputError(f"axis {name}, when = {short_repr(other)}: must be {right}")
        labels = [label for label, _ in levels_of(other, before[other])]
        for value in allowed:
            if value not in labels:
                raise InputError(
                    f"axis {name}, when {other} = {short_repr(value)}: must be among {', '.join(map(str, labels))}"
                )


def check_fields(axes: Mapping[str, NuisanceAxis]) -> None:
    """Raise InputError if two axes of a cell set the same config field."""
    owner: dict[str, str] = {}
    for name, axis in axes.items():
        for path in fields_of({name: axis}):
            if path in owner:
                raise InputError(f"axes {owner[path]} and {name} both set {path}")
            owner[path] = name
