"""Claims of a study, as data: each is a sentence of the paper, made exact enough to be tested.

claims=(
    Best(axis="resolution", value=224, among=(512, 384, 224, 128, 64), where={"dataset": "cifar100"}, quote="..."),
    BetterThan(better={"resolution": 384}, worse={"resolution": 512}, where={"dataset": "flowers"}, quote="..."),
)

Axes and values are those of the study's `scientific` axes. `where` limits a claim to the cells with these values on
other axes. A tuple of values means each of them: the claim must hold for all. Over axes that a claim does not
name, values are averaged. Claims are about the study's metric, or about their own, `metric=`: "better" is larger or
smaller, as the metric says, and margins are in its unit. `quote` is a published sentence, or the numbers where it has
only a table.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal

from revit.errors import InputError
from revit.validation import check_types, require
from search_spaces.framework.claim_cells import (
    Cell,
    Cells,
    Contrast,
    Difference,
    Value,
    Words,
    check_cells,
    check_several,
    each_cell,
    split_difference,
)


@dataclass(frozen=True, kw_only=True)
class _Claim:
    """Base of all claims.

    Attributes:
        metric: a key of `revit.training.metrics.METRICS`; None for the study's.
    """

    where: Cells = field(default_factory=dict)
    metric: str | None = None
    quote: str

    def __post_init__(self) -> None:
        check_types(self)
        require(self.quote.isprintable(), "quote", self.quote, "text of one line")
        check_cells("where", self.where)

    @cached_property
    def clauses(self) -> tuple[tuple[Contrast, ...], ...]:
        """Contrasts that make the claim true: in each clause, one of them at least."""
        return tuple(clause for where in each_cell(self.where) for clause in self._clauses(where))

    @cached_property
    def contrasts(self) -> tuple[Contrast, ...]:
        """Contrasts of all clauses."""
        return tuple(itertools.chain(*self.clauses))

    def _clauses(self, where: Cell) -> Iterator[tuple[Contrast, ...]]:
        """Yield the clauses about the cells with these values on other axes."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self.describe()

    def describe(self, words: Words = Words()) -> str:  # noqa: B008  (a tuple)
        """Return the claim as a sentence about a metric."""
        plain = {axis: value for axis, value in self.where.items() if not isinstance(value, tuple)}
        several = [words.cells({axis: value}) for axis, value in self.where.items() if axis not in plain]
        conditions = [f", for {each}" for each in several] + ([f", where {words.cells(plain)}"] if plain else [])
        return self._sentence(words) + "".join(conditions)

    def _sentence(self, words: Words) -> str:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class BetterThan(_Claim):
    """One cell is better than another, by a margin where there is one.

    Attributes:
        at_least, at_most: percentage points, or the metric's unit; 0 or larger. None for no upper bound.
        relative: whether both are in percent of the worse cell's value, as in "10 % less memory"; for a metric that is
            measured while training.
    """

    better: Cells
    worse: Cells
    at_least: float = 0.0
    at_most: float | None = None
    relative: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_cells("better", self.better)
        check_cells("worse", self.worse)
        shared = [better for better in each_cell(self.better) if better in each_cell(self.worse)]
        require(not shared, "better and worse", self.better, "different")
        require(self.at_least >= 0, "at_least", self.at_least, "0 or larger")
        fits = self.at_most is None or self.at_most > self.at_least
        require(fits, "at_most", self.at_most, f"above at_least = {self.at_least:g}")

    def _clauses(self, where: Cell) -> Iterator[tuple[Contrast, ...]]:
        """Value of the better cell less that of the worse one."""
        for better, worse in itertools.product(each_cell(self.better), each_cell(self.worse)):
            yield (((1.0, {**where, **better}), (-1.0, {**where, **worse})),)

    def _sentence(self, words: Words) -> str:
        margin = words.margin(self.at_least, self.at_most, "%" if self.relative else "")
        return (
            f"{words.names(self.better)} has {words.comparative} {words.metric} than {words.names(self.worse)}{margin}"
        )


@dataclass(frozen=True, kw_only=True)
class Best(_Claim):
    """One value of an axis is better than each of the others; of several values, one of them is.

    Attributes:
        value: the best value; or several, one of which is the best.
        among: the values that are compared, `value` included.
    """

    axis: str
    value: Value | tuple[Value, ...]
    among: tuple[Value, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_several("among", self.among)
        if isinstance(self.value, tuple):
            check_several("value", self.value)
        fits = set(self._values) < set(self.among)
        require(fits, "value", self.value, f"one of among = {self.among}, or some of them")

    @property
    def _values(self) -> tuple[Value, ...]:
        return self.value if isinstance(self.value, tuple) else (self.value,)

    def _clauses(self, where: Cell) -> Iterator[tuple[Contrast, ...]]:
        """Value there less that at each of the others."""
        for other in [each for each in self.among if each not in self._values]:
            cell = {**where, self.axis: other}
            yield tuple(((1.0, {**where, self.axis: value}), (-1.0, cell)) for value in self._values)

    def _sentence(self, words: Words) -> str:
        if isinstance(self.value, tuple):
            *first, last = (words.value(self.axis, value) for value in self.value)
            others = tuple(each for each in self.among if each not in self.value)
            worse = words.cells({self.axis: others if len(others) > 1 else others[0]})
            values = f"{words.axis(self.axis)} {', '.join(first)} or {last}"
            return f"{values} has {words.comparative} {words.metric} than {worse}"
        extreme = {"higher": "highest", "lower": "lowest"}[words.comparative]
        best = words.names({self.axis: self.value})
        return f"{best} has the {extreme} {words.metric} of {words.list_values(self.axis, self.among)}"


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
        check_several("values", self.values)

    def _clauses(self, where: Cell) -> Iterator[tuple[Contrast, ...]]:
        """Change in the claimed direction from first to last value, on the least-squares line over their ranks."""
        sign = 1 if self.direction == "increasing" else -1
        last = len(self.values) - 1
        ranks = [rank - last / 2 for rank in range(len(self.values))]
        scale = sign * last / sum(rank * rank for rank in ranks)
        cells = ({**where, self.axis: value} for value in self.values)
        yield (tuple((scale * rank, cell) for rank, cell in zip(ranks, cells, strict=True)),)

    def _sentence(self, words: Words) -> str:
        change = {"increasing": "increases", "decreasing": "decreases"}[self.direction]
        return f"{words.metric} {change} over {words.axis(self.axis)} {words.list_values(self.axis, self.values)}"


@dataclass(frozen=True, kw_only=True)
class LargerGap(_Claim):
    """A gap between two cells is larger than another, or than each of several: a difference in differences.

    Attributes:
        gap: the better and the worse cell of the larger gap.
        than: those of each smaller gap.
        either_way: whether a smaller gap counts by its size, whichever of its cells is better.
        at_least: by how much it is larger: percentage points, or the metric's unit; 0 or larger.
    """

    gap: Difference
    than: tuple[Difference, ...]
    either_way: bool = False
    at_least: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(bool(self.than), "than", self.than, "one gap or more")
        require(self.gap not in self.than, "than", self.than, "other gaps than `gap`")
        for better, worse in (self.gap, *self.than):
            require(better != worse, "the cells of a gap", better, "different")
        require(self.at_least >= 0, "at_least", self.at_least, "0 or larger")

    def _clauses(self, where: Cell) -> Iterator[tuple[Contrast, ...]]:
        """Gap that is larger less a smaller one."""
        better, worse = self.gap
        reversed_gaps = [(low, high) for high, low in self.than] if self.either_way else []
        for smaller_better, smaller_worse in (*self.than, *reversed_gaps):
            cells = ((1.0, better), (-1.0, worse), (-1.0, smaller_better), (1.0, smaller_worse))
            yield (tuple((weight, {**where, **cell}) for weight, cell in cells),)

    def _sentence(self, words: Words) -> str:
        end = ", whichever is better there" if self.either_way else ""
        end += words.margin(self.at_least)
        gains = words.comparative == "higher"
        (subject, ends), *others = (split_difference(each) for each in (self.gap, *self.than))
        if subject and all(other_ends == ends and other for other, other_ends in others):
            change = f"gains more {words.metric}" if gains else f"lowers {words.metric} more"
            than = " and than ".join(words.names(other) for other, _ in others)
            return f"{words.names(subject)} {change} {words.span(ends)} than {than}{end}"
        noun = "gain" if gains else "drop"
        first, *smaller = (
            words.span(ends) + (f" with {words.names(cell)}" if cell else "")
            for cell, ends in ((subject, ends), *others)
        )
        than = f"that {smaller[0]}" if len(smaller) == 1 else f"each {noun} of these: {'; '.join(smaller)}"
        return f"the {noun} in {words.metric} {first} is larger than {than}{end}"


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
        check_several("among", self.among)
        require(self.margin > 0, "margin", self.margin, "above 0")

    def _clauses(self, where: Cell) -> Iterator[tuple[Contrast, ...]]:
        """Difference of each pair of values."""
        cells = [{**where, self.axis: value} for value in self.among]
        for one, other in itertools.combinations(cells, 2):
            yield (((1.0, one), (-1.0, other)),)

    def _sentence(self, words: Words) -> str:
        equal = f"is equal within {self.margin:g} {words.unit}"
        return f"{words.metric} of {words.axis(self.axis)} {words.list_values(self.axis, self.among)} {equal}"


@dataclass(frozen=True, kw_only=True)
class InRange(_Claim):
    """The metric's value is above, below or between numbers.

    Attributes:
        above, below: percent, or the metric's unit; None for no bound on that side.
    """

    above: float | None = None
    below: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        is_bounded = self.above is not None or self.below is not None
        require(is_bounded, "above and below", None, "a number, one of them at least")
        is_range = self.above is None or self.below is None or self.above < self.below
        require(is_range, "above", self.above, f"less than below = {self.below}")

    def _clauses(self, where: Cell) -> Iterator[tuple[Contrast, ...]]:
        yield (((1.0, where),),)

    def _sentence(self, words: Words) -> str:
        bounds = [f"above {self.above:g}"] if self.above is not None else []
        bounds += [f"below {self.below:g}"] if self.below is not None else []
        return f"{words.metric} is {' and '.join(bounds)} {words.unit.replace('pp', '%')}"


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

    def _clauses(self, where: Cell) -> Iterator[tuple[Contrast, ...]]:
        """Accuracy at each value, in the order of `published`; the published value is subtracted later."""
        for value in self.published:
            yield (((1.0, {**where, self.axis: value}),),)

    def _sentence(self, words: Words) -> str:
        published = ", ".join(f"{value:g}" for value in self.published.values())
        values = f"{words.axis(self.axis)} {words.list_values(self.axis, self.published)}"
        return f"{words.metric} of {values} is as published, {published}, within {self.margin:g} pp"


Claim = Best | BetterThan | InRange | LargerGap | Matches | NoDifference | Trend


def check_claim(claim: Claim, axes: Mapping[str, tuple[Value, ...]]) -> None:
    """Check that a claim names only axes and values of its study.

    Raises:
        InputError: names the axis or value, and those that the study has.
    """
    for contrast in claim.contrasts:
        for _, cell in contrast:
            for axis, value in cell.items():
                if axis not in axes:
                    raise InputError(f"claim '{claim}': {axis} is not a scientific axis; they are {', '.join(axes)}")
                if value not in axes[axis]:
                    known = ", ".join(map(str, axes[axis]))
                    raise InputError(f"claim '{claim}': axis {axis} has no {value!r}; it has {known}")


_OF_AXIS = ("value", "values", "among", "published")
"""Fields of a claim that hold values of its `axis`."""
_OF_CELLS = ("where", "better", "worse", "gap", "than")
"""Fields that hold cells."""


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

    def restated(given: Any) -> Any:
        if isinstance(given, tuple):
            return tuple(restated(each) for each in given)
        return {axis: replaced(axis, value) for axis, value in given.items()}

    parts: dict[str, Any] = {part.name: getattr(claim, part.name) for part in fields(claim)}
    cells = {name: restated(parts[name]) for name in _OF_CELLS if name in parts}
    values = {name: replaced(parts["axis"], parts[name]) for name in _OF_AXIS if name in parts}
    return type(claim)(**{**parts, **cells, **values})
