"""Ranges: nuisance axes that a search draws values from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from revit.errors import InputError
from revit.validation import check_types, with_tuples
from search_spaces.framework.claim_cells import Value

NUM_DIGITS = 3
"""Significant digits of a drawn number, so that points can be repeated, and shared among studies."""

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Range:
    """Values from `low` to `high`, both included, of the config field that the axis is named after.

    Attributes:
        low, high: bounds, as at paper scale.
        log: draw the logarithm evenly, not the value.
        integer: whole numbers only.
        when: axis -> value, or tuple of values: the axis exists only at these values of other axes, scientific or
            nuisance. Where it does not exist, the field keeps the value of the study.

    Raises:
        InputError: an invalid value, low >= high, log with low <= 0, or integer with a bound that is not whole.
    """

    low: float
    high: float
    log: bool = False
    integer: bool = False
    when: Mapping[str, Value | tuple[Value, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "when", with_tuples(self.when))  # lists are allowed, too
        check_types(self)
        for name in ("low", "high"):
            value = getattr(self, name)
            if self.integer and value != int(value):
                raise InputError(f"{self}: {name} must be whole, as integer=True")
            object.__setattr__(self, name, int(value) if self.integer else float(value))
        if self.low >= self.high:
            raise InputError(f"{self}: low must be below high")
        if self.log and self.low <= 0:
            raise InputError(f"{self}: low must be above 0, as log=True")

    def __str__(self) -> str:
        options = [name for name in ("log", "integer") if getattr(self, name)]
        parts = [f"{self.low:g}", f"{self.high:g}", *(f"{name}=True" for name in options)]
        return f"Range({', '.join(parts + ([f'when={dict(self.when)}'] if self.when else []))})"

    def has(self, value: object) -> bool:
        """Return whether a value is a number of the range."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return self.low <= value <= self.high and (not self.integer or value == int(value))

    def at(self, share: float) -> float:
        """Return the value at a share of the range, from 0 (low) to 1 (high), rounded as every drawn value.

        Each whole number has the same part of an integer range, the bounds too, as in Optuna.
        """
        half = 0.5 if self.integer else 0.0
        low, high = self.low - half, self.high + half
        low, high = (math.log(low), math.log(high)) if self.log else (low, high)
        value = low + share * (high - low)
        return self.round(math.exp(value) if self.log else value)

    def share(self, value: float) -> float:
        """Return the share of the range at which a value lies: the inverse of `at`, but for rounding."""
        scale = math.log if self.log else float
        return (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low))

    def round(self, value: float) -> float:
        """Return the nearest whole number or value of 3 significant digits, within the range."""
        rounded = round(value) if self.integer else round_digits(value)
        return min(max(rounded, self.low), self.high)


def round_digits(value: float) -> float:
    """Return a number rounded to NUM_DIGITS significant digits."""
    return float(f"{value:.{NUM_DIGITS}g}")
