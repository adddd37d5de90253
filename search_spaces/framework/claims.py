"""Claims of a study, as data: each is a sentence of the paper, made exact enough to be tested.

claims=(
    Best(axis="resolution", value=224, among=(512, 384, 224, 128, 64), where={"dataset": "cifar100"}, quote="..."),
    BetterThan(better={"resolution": 384}, worse={"resolution": 512}, where={"dataset": "flowers"}, quote="..."),
)

Axes and values are those of the study's `scientific` axes. `where` limits a claim to the cells with these values on
other axes. Over axes that a claim does not name, values are averaged. Claims are about accuracy, or about the metric
that the study names: "better" is larger or smaller, as the metric says, and margins are in its unit. `quote` is a
published sentence, or the numbers where it has only a table.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from revit.errors import InputError
from revit.validation import check_types, require

Value = str | int | float | bool | None
Cell = Mapping[str, Value]
"""Values on some axes: the cells that have them."""
Contrast = tuple[tuple[float, Cell], ...]
"""A weighted sum of values: the weights, each with its cells.

The weights add up to 0, except in Matches, where the sum is compared with a published value.
"""


@dataclass(frozen=True, kw_only=True)
class _Claim:
    where: Cell = field(default_factory=dict)
    quote: str

    def __post_init__(self) -> None:
        check_types(self)
        require(self.quote.isprintable(), "quote", self.quote, "text of one line")

    def __str__(self) -> str:
        return self.describe()

    def describe(self, metric: str = "accuracy", unit: str = "pp") -> str:
        """Return the claim as a sentence about a metric, by its title and the unit of its differences."""
        return self._sentence(metric, unit) + (f", where {_text(self.where)}" if self.where else "")

    def _sentence(self, metric: str, unit: str) -> str:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class BetterThan(_Claim):
    """One cell is better than another."""

    better: Cell
    worse: Cell

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.better != self.worse, "better and worse", self.better, "different")

    @property
    def contrasts(self) -> tuple[Contrast, ...]:
        """Value of the better cell less that of the worse one."""
        return (((1.0, {**self.where, **self.better}), (-1.0, {**self.where, **self.worse})),)

    def _sentence(self, _metric: str, _unit: str) -> str:
        return f"{_text(self.better)} is better than {_text(self.worse)}"


@dataclass(frozen=True, kw_only=True)
class Gap(BetterThan):
    """One cell is better than another by at least so much.

    Attributes:
        at_least: percentage points, or the metric's unit; above 0.
    """

    at_least: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.at_least > 0, "at_least", self.at_least, "above 0")

    def _sentence(self, metric: str, unit: str) -> str:
        return f"{super()._sentence(metric, unit)} by at least {self.at_least:g} {unit}"


@dataclass(frozen=True, kw_only=True)
class Best(_Claim):
    """One value of an axis is better than each of some others.

    Attributes:
        among: the values that are compared, `value` included.
    """

    axis: str
    value: Value
    among: tuple[Value, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_several("among", self.among)
        require(self.value in self.among, "value", self.value, f"one of among = {self.among}")

    @property
    def contrasts(self) -> tuple[Contrast, ...]:
        """Value there less that at each of the others."""
        best = {**self.where, self.axis: self.value}
        others = [other for other in self.among if other != self.value]
        return tuple(((1.0, best), (-1.0, {**self.where, self.axis: other})) for other in others)

    def _sentence(self, _metric: str, _unit: str) -> str:
        return f"{self.axis} {self.value} is the best of {_as_list(self.among)}"


@dataclass(frozen=True, kw_only=True)
class Trend(_Claim):
    """The metric's value increases, or decreases, over values of an axis, whichever is better.

    Attributes:
        values: values of the axis, in the order in which the metric increases or decreases.
    """

    axis: str
    direction: Literal["increasing", "decreasing"]
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_several("values", self.values)

    @property
    def contrasts(self) -> tuple[Contrast, ...]:
        """Change in the claimed direction from first to last value, on the least-squares line over their ranks."""
        sign = 1 if self.direction == "increasing" else -1
        last = len(self.values) - 1
        ranks = [rank - last / 2 for rank in range(len(self.values))]
        scale = sign * last / sum(rank * rank for rank in ranks)
        cells = ({**self.where, self.axis: value} for value in self.values)
        return (tuple((scale * rank, cell) for rank, cell in zip(ranks, cells, strict=True)),)

    def _sentence(self, metric: str, _unit: str) -> str:
        change = {"increasing": "increases", "decreasing": "decreases"}[self.direction]
        return f"{metric} {change} over {self.axis} {_as_list(self.values)}"


@dataclass(frozen=True, kw_only=True)
class Interaction(_Claim):
    """The effect of one axis on the metric depends on another axis: a difference in differences.

    The claim is that, with a for accuracy,
        (a[larger, high] - a[larger, low]) - (a[smaller, high] - a[smaller, low]) > 0.

    Attributes:
        axis: the axis whose effect is meant.
        low, high: values of `axis`. Its effect is by how much `high` is better than `low`.
        moderator: the axis on which the effect depends.
        larger, smaller: values of `moderator`, at which the effect is the larger and the smaller.
    """

    axis: str
    low: Value
    high: Value
    moderator: str
    larger: Value
    smaller: Value

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.low != self.high, "low and high", self.low, "different")
        require(self.larger != self.smaller, "larger and smaller", self.larger, "different")

    @property
    def contrasts(self) -> tuple[Contrast, ...]:
        """Effect of the axis at `larger` less its effect at `smaller`."""
        arms, ends = ((1.0, self.larger), (-1.0, self.smaller)), ((1.0, self.high), (-1.0, self.low))
        crossed = itertools.product(arms, ends)
        return (tuple((s * t, {**self.where, self.moderator: arm, self.axis: end}) for (s, arm), (t, end) in crossed),)

    def _sentence(self, _metric: str, _unit: str) -> str:
        effect = f"the gain from {self.axis} {self.low} to {self.high}"
        return f"{effect} is larger for {self.moderator} {self.larger} than for {self.smaller}"


@dataclass(frozen=True, kw_only=True)
class NoDifference(_Claim):
    """The values of an axis are equally good, each pair of them within a margin.

    Attributes:
        margin: percentage points, or the metric's unit, above 0: the largest difference that does not matter.
    """

    axis: str
    among: tuple[Value, ...]
    margin: float

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_several("among", self.among)
        require(self.margin > 0, "margin", self.margin, "above 0")

    @property
    def contrasts(self) -> tuple[Contrast, ...]:
        """Difference of each pair of values."""
        cells = [{**self.where, self.axis: value} for value in self.among]
        return tuple(((1.0, one), (-1.0, other)) for one, other in itertools.combinations(cells, 2))

    def _sentence(self, _metric: str, unit: str) -> str:
        return f"{self.axis} {_as_list(self.among)} are equal within {self.margin:g} {unit}"


@dataclass(frozen=True, kw_only=True)
class Matches(_Claim):
    """Accuracy is as published at each value of an axis, within a margin.

    A published accuracy counts as a fixed number: its variance between seeds and test images is seldom published, and
    ignored. It was reached at `paper` scale, and compares with no other scale.

    Attributes:
        published: accuracy in percent, by value of the axis.
        margin: percentage points, above 0: the largest difference that does not matter.
    """

    axis: str
    published: Mapping[Value, float]
    margin: float

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = bool(self.published) and all(1 < accuracy <= 100 for accuracy in self.published.values())
        require(fits, "published", self.published, "one accuracy or more, in percent, 1 to 100")
        require(self.margin > 0, "margin", self.margin, "above 0")

    @property
    def contrasts(self) -> tuple[Contrast, ...]:
        """Accuracy at each value, in the order of `published`; the published value is subtracted later."""
        return tuple(((1.0, {**self.where, self.axis: value}),) for value in self.published)

    def _sentence(self, _metric: str, _unit: str) -> str:
        published = f"{_as_list((*self.published,))} are as published, {_as_list((*self.published.values(),))}"
        return f"{self.axis} {published}, within {self.margin:g} pp"


Claim = Best | BetterThan | Gap | Trend | Interaction | NoDifference | Matches

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
                    raise InputError(f"claim '{claim}': {axis} is not a scientific axis; they are {_as_list((*axes,))}")
                if value not in axes[axis]:
                    raise InputError(f"claim '{claim}': axis {axis} has no {value!r}; it has {_as_list(axes[axis])}")


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


def _check_several(name: str, values: tuple[Value, ...]) -> None:
    require(2 <= len(set(values)) == len(values), name, values, "two or more values that differ")


def _as_list(values: tuple[Value, ...]) -> str:
    return ", ".join(map(str, values))


def _text(cell: Cell) -> str:
    return ", ".join(f"{axis} {value}" for axis, value in cell.items())
