"""Axis values that a claim names: checked against its study, replaced by trained values."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from revit.errors import InputError
from search_spaces.framework.claims import Claim, Value, as_list

_AXIS_FIELD = {
    **dict.fromkeys(("value", "values", "among", "low", "high", "published"), "axis"),
    **dict.fromkeys(("larger", "smaller"), "moderator"),
}
"""The field that names the axis, for each field of a claim that holds values."""


def check_claim(claim: Claim, axes: Mapping[str, tuple[Value, ...]]) -> None:
    """Check that a claim names only axes and values of its study.

    Raises:
        InputError: names the axis or value, and those that the study has.
    """
    for contrast in claim.contrasts:
        for _, cell in contrast:
            for axis, value in cell.items():
                if axis not in axes:
                    raise InputError(f"claim '{claim}': {axis} is not a scientific axis; they are {as_list((*axes,))}")
                if value not in axes[axis]:
                    raise InputError(f"claim '{claim}': axis {axis} has no {value!r}; it has {as_list(axes[axis])}")


def restate_claim(claim: Claim, replacements: Mapping[str, Mapping[Value, Value]]) -> Claim:
    """Return the same claim about other values.

    Args:
        replacements: by axis, the new value for each that is replaced.
    """

    def replaced(axis: str, given: Any) -> Any:
        if isinstance(given, tuple):
            return tuple(replaced(axis, each) for each in given)
        if isinstance(given, Mapping):
            return {replaced(axis, value): accuracy for value, accuracy in given.items()}
        return replacements.get(axis, {}).get(given, given)

    parts: dict[str, Any] = {part.name: getattr(claim, part.name) for part in fields(claim)}
    for name in ("better", "worse", "where"):
        if name in parts:
            parts[name] = {axis: replaced(axis, value) for axis, value in parts[name].items()}
    for name, axis in _AXIS_FIELD.items():
        if name in parts:
            parts[name] = replaced(parts[axis], parts[name])
    return type(claim)(**parts)
