"""Samplers: the next point of a cell's search, from the points before it.

A point is a function of the points before it, and of constants: nothing is kept between calls. So a search that is
interrupted and started again, in any process, goes on with the points that it would have had.
"""

import hashlib
import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from search_spaces.framework.axes import NuisanceAxis, existing
from search_spaces.framework.claim_cells import Value
from search_spaces.framework.ranges import Range
from search_spaces.framework.search import Sampler, Search
from study.search.past_point import PastPoint

Axes = Mapping[str, NuisanceAxis]
"""Nuisance axes of one cell, in the order of the study: conditions name axes before theirs."""
Point = dict[str, Value]

MAX_ATTEMPTS = 1000
"""Points of a sequence that are tried, beyond as many as the history has."""
MAX_ASKED = 10
"""Points that Optuna is asked for; random ones are tried next."""
MAX_ENUMERATED = 10_000
"""Largest finite space of which all points are tried in the end."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Request for the next point of a cell.

    Attributes:
        axes: nuisance axes of the cell.
        history: points that have been asked for.
        signs: 1 for each objective of which more is better, -1 of which less is.
        seed: text that differs between searches, and between cells of one.
        number: of the new point.
        fixed: values that are given.
    """

    axes: Axes
    history: Sequence[PastPoint]
    signs: Sequence[int]
    seed: str
    number: int
    fixed: Mapping[str, Value]


def propose(
    axes: Axes,
    search: Search,
    history: Sequence[PastPoint],
    *,
    seed: str,
    signs: Sequence[int],
    is_excluded: Callable[[Mapping[str, Value]], bool],
) -> Point | None:
    """Return the next point of a cell: values of the axes that exist at it, in their order.

    The first points are those of `search.enqueue`; the sampler fills them up, and takes the place of one that is
    excluded or that the cell has had.

    Args:
        axes: nuisance axes of the cell, in the order of the study.
        search: its sampler and its points to begin with.
        history: all points that have been asked for, in any order and state.
        seed: text that differs between searches, and between cells of one.
        signs: 1 for each objective of which more is better, -1 of which less is.
        is_excluded: True for a point that the study leaves out.

    Returns:
        None where every point of a finite space is in the history or excluded, or where MAX_ATTEMPTS points of an
        infinite one were.
    """
    number = 1 + max((past.number for past in history), default=-1)
    enqueued = search.enqueue[number] if number < len(search.enqueue) else {}
    fixed = {name: _as_typed(axes[name], value) for name, value in enqueued.items() if name in axes}
    request = Request(axes=axes, history=history, signs=signs, seed=seed, number=number, fixed=fixed)
    assert search.sampler is not None, "SearchSpace.sampler has named it"
    rejected = {_key(axes, past.values) for past in history}
    for point in _candidates(request, SAMPLERS[search.sampler]):
        key = _key(axes, point)
        if key not in rejected and not is_excluded(point):
            return point
        rejected.add(key)
    return None


def _as_typed(axis: NuisanceAxis, value: Value) -> Value:
    """Return an enqueued value in the type of its axis, with all of its digits."""
    return axis.round(value) if isinstance(axis, Range) and axis.integer and isinstance(value, float) else value


def _key(axes: Axes, point: Mapping[str, Value]) -> frozenset[tuple[str, Value]]:
    return frozenset((name, _rounded(axes[name], value)) for name, value in point.items())


def _rounded(axis: NuisanceAxis, value: Value) -> Value:
    return axis.round(value) if isinstance(axis, Range) and isinstance(value, int | float) else value


def _candidates(request: Request, sampler: "Candidates") -> Iterator[Point]:
    yield from sampler(request)
    if request.fixed:
        yield from sampler(replace(request, fixed={}))


def _grid(request: Request) -> Iterator[Point]:
    """Yield all combinations of values, the last axis fastest."""
    levels = [_levels(axis) for axis in request.axes.values()]
    yield from _existing(request, itertools.product(*levels))


def _quasi_random(request: Request) -> Iterator[Point]:
    """Yield points of a scrambled Sobol sequence, the same for all requests with these axes."""
    from scipy.stats import qmc  # a second to load

    exponent = math.ceil(math.log2(len(request.history) + MAX_ATTEMPTS))  # it is balanced in powers of 2
    shares = qmc.Sobol(len(request.axes), rng=0).random_base2(exponent)
    yield from _existing(request, (_at(request.axes, row) for row in shares.tolist()))
    yield from _rest(request)


def _random(request: Request) -> Iterator[Point]:
    """Yield random points: the nth is the same at every request with this seed."""
    for index in range(len(request.history) + MAX_ATTEMPTS):
        draw = random.Random(f"{request.seed} {index}").random
        yield from _existing(request, [_at(request.axes, [draw() for _ in request.axes])])
    yield from _rest(request)


def _tpe(request: Request) -> Iterator[Point]:
    """Yield points of Optuna's TPESampler, then random ones."""
    yield from _asked("tpe", request)


def _gp(request: Request) -> Iterator[Point]:
    """Yield points of Optuna's GPSampler, then random ones."""
    yield from _asked("gp", request)


def _asked(sampler: Literal["tpe", "gp"], request: Request) -> Iterator[Point]:
    from study.search.optuna_study import asked_points  # loads Optuna, which plans of other samplers do without

    digest = hashlib.sha256(f"{request.seed} {request.number}".encode()).digest()
    points = asked_points(
        sampler,
        request.axes,
        request.history,
        request.signs,
        seed=int.from_bytes(digest[:4]),
        fixed=request.fixed,
    )
    yield from itertools.islice(points, MAX_ASKED)
    yield from _random(request)


def _rest(request: Request) -> Iterator[Point]:
    """Yield all points of a space that is finite and small, else none."""
    if math.prod(_num_levels(axis) for axis in request.axes.values()) <= MAX_ENUMERATED:
        yield from _grid(request)


def _num_levels(axis: NuisanceAxis) -> float:
    return math.inf if isinstance(axis, Range) and not axis.integer else len(_levels(axis))


def _levels(axis: NuisanceAxis) -> Sequence[Value]:
    return range(int(axis.low), int(axis.high) + 1) if isinstance(axis, Range) else tuple(axis)


def _at(axes: Axes, shares: Iterable[float]) -> list[Value]:
    """Return the values of all axes at a point of the unit cube."""
    return [_value_at(axis, share) for axis, share in zip(axes.values(), shares, strict=True)]


def _value_at(axis: NuisanceAxis, share: float) -> Value:
    return axis.at(share) if isinstance(axis, Range) else tuple(axis)[int(share * len(axis))]


def _existing(request: Request, rows: Iterable[Sequence[Value]]) -> Iterator[Point]:
    """Yield points of the axes that exist, from rows of values of all axes."""
    for row in rows:
        yield existing(request.axes, {**dict(zip(request.axes, row, strict=True)), **request.fixed})


Candidates = Callable[[Request], Iterator[Point]]

SAMPLERS: Mapping[Sampler, Candidates] = {
    "grid": _grid,
    "quasi_random": _quasi_random,
    "random": _random,
    "tpe": _tpe,
    "gp": _gp,
}
