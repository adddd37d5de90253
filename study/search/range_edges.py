"""Edges of nuisance axes: axes whose best value lies at one, with the wider axis to search instead."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, pairwise

from revit.errors import InputError
from search_spaces.framework.axes import NuisanceAxis
from search_spaces.framework.cells import StudyCell
from search_spaces.framework.claim_cells import Value
from search_spaces.framework.ranges import Range
from search_spaces.framework.space import SearchSpace
from study.search.cell_search import CellSearch

EDGE_SHARE = 0.1
"""Share of a range, from either bound, in which a value is at its edge."""
STEPS = (1 / 2, 1 / 4, 1 / 8, 1 / 16)
"""Shares of its width by which a range is widened: the first that the config allows."""
MIN_LEVELS = 3
"""Values from which on a tuple of numbers has edges."""


@dataclass(frozen=True, kw_only=True)
class RangeEdge:
    """A nuisance axis whose best value in a cell is at an edge.

    Attributes:
        value: the best value, as the study names it.
        narrow, wider: the axis of the study, and one that goes on beyond that edge.
    """

    cell: StudyCell
    name: str
    value: Value
    narrow: NuisanceAxis
    wider: NuisanceAxis


def range_edges(space: SearchSpace, searches: Sequence[CellSearch]) -> Iterator[RangeEdge]:
    """Yield the axes whose best value is at an edge, of the cells whose search is over.

    Edges are EDGE_SHARE of a range, of its logarithm where that is drawn, and the first and last of MIN_LEVELS or more
    numbers in order. An edge beyond which the config allows no value is the end of the axis, and left out.
    """
    for search in searches:
        for name, value in (search.chosen or {}).items():
            narrow = space.nuisance_axes[name]
            wider = [axis for axis, end in _wider_axes(narrow, value) if _is_allowed(space, search, name, axis, end)]
            if wider:
                yield RangeEdge(cell=search.cell, name=name, value=value, narrow=narrow, wider=wider[0])


def _is_allowed(space: SearchSpace, search: CellSearch, name: str, axis: NuisanceAxis, end: float) -> bool:
    """Return whether the best point of a search can have the new end of a wider axis."""
    cell = replace(search.cell, axes={**search.cell.axes, name: axis})
    point = {**(search.chosen or {}), name: end}
    try:
        space.search_candidate(cell, point, space.search.seeds[0])
        return space.allows(cell, point)
    except InputError:
        return False


def _wider_axes(axis: NuisanceAxis, value: Value) -> Iterator[tuple[NuisanceAxis, float]]:
    """Yield wider axes with their new ends, the widest first; none where the value is not at an edge."""
    if not isinstance(value, int | float):
        return
    if isinstance(axis, Range):
        yield from _wider_ranges(axis, axis.share(value))
    elif isinstance(axis, tuple):
        numbers = [each for each in axis if isinstance(each, int | float) and not isinstance(each, bool)]
        is_ordered = numbers in (sorted(numbers), sorted(numbers, reverse=True))
        if len(numbers) == len(axis) >= MIN_LEVELS and is_ordered and value in (axis[0], axis[-1]):
            yield _longer_tuple(numbers, at_end=value == axis[-1])


def _wider_ranges(axis: Range, share: float) -> Iterator[tuple[Range, float]]:
    for step in STEPS:
        if share <= EDGE_SHARE:
            low = _beyond(axis, axis.low, -step)
            yield replace(axis, low=low), low
        elif share >= 1 - EDGE_SHARE:
            high = _beyond(axis, axis.high, step)
            yield replace(axis, high=high), high


def _beyond(axis: Range, bound: float, step: float) -> float:
    """Return the value that lies a share of a range beyond a bound; a range above 0 ends there."""
    if axis.log:
        return _rounded(bound * (axis.high / axis.low) ** step, bound, num_digits=1, is_whole=axis.integer)
    end = bound + step * (axis.high - axis.low)
    return _rounded(max(end, 0.0) if bound > 0 else end, bound, num_digits=2, is_whole=axis.integer)


def _longer_tuple(numbers: Sequence[float], *, at_end: bool) -> tuple[tuple[float, ...], float]:
    """Return numbers with another one at an end, as far from it as that is from its neighbor."""
    ends = numbers if at_end else numbers[::-1]
    before, last = ends[-2:]
    is_even = all(math.isclose(b - a, last - before) for a, b in pairwise(ends))
    new = 2 * last - before if is_even or min(numbers) <= 0 else last * last / before
    end = _rounded(new, last, num_digits=2, is_whole=all(isinstance(each, int) for each in numbers))
    return (*numbers, end) if at_end else (end, *numbers), end


def _rounded(value: float, bound: float, *, num_digits: int, is_whole: bool) -> float:
    """Return a value with so few significant digits that it still lies beyond a bound."""
    if is_whole and abs(value - bound) < 1:
        return round(bound + math.copysign(1, value - bound))
    rounded = (float(f"{value:.{digits}g}") for digits in count(num_digits))
    found = next(each for each in rounded if each == value or (each - bound) * (value - bound) > 0)
    return round(found) if is_whole else found
