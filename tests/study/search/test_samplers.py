"""The next point of a search, as a simulated driver gets it: it asks, trains, is interrupted."""

import contextlib
import io
import itertools
import json
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, get_args

import pytest
from hypothesis import strategies as st
from scipy.stats import kstest, qmc

from search_spaces.framework.axes import exists
from search_spaces.framework.claim_cells import Value
from search_spaces.framework.ranges import Range
from search_spaces.framework.search import Sampler, Search
from study.ledger.states import TrialState
from study.search.optuna_study import asked_points
from study.search.past_point import PastPoint
from study.search.samplers import MAX_ATTEMPTS, SAMPLERS, Axes, propose

RANGES: Axes = {
    "lr": Range(1e-5, 1e-1, log=True),
    "warmup": Range(0, 500, integer=True),
    "optimizer": {"sgd": {}, "adamw": {}},
    "decay": Range(1e-3, 0.3, log=True, when={"optimizer": "adamw"}),
    "beta": Range(0.9, 0.999, when={"optimizer": ("adamw",)}),
}
GRID: Axes = {"lr": (0.001, 0.003, 0.01, 0.03), "optimizer": {"sgd": {}, "adamw": {}, "lion": {}}, "flip": (True, None)}
SMALL: Axes = {"optimizer": ("sgd", "adamw"), "steps": Range(1, 3, integer=True, when={"optimizer": "adamw"})}
SAMPLER_NAMES: list[Sampler] = list(get_args(Sampler))
FAST: list[Sampler] = [name for name in SAMPLER_NAMES if name != "gp"]
ENDINGS = {3: TrialState.DIVERGED, 8: TrialState.PRUNED, 13: TrialState.FAILED, 19: TrialState.PRUNED}

Points = list[dict[str, Value]]


def _next(sampler: Sampler, axes: Axes, history: Sequence[PastPoint], **changed: Any) -> dict[str, Value] | None:
    arguments = {"seed": "study and cell", "signs": (1,), "is_excluded": lambda point: False, **changed}
    enqueue = arguments.pop("enqueue", ())
    return propose(axes, Search(sampler=sampler, enqueue=enqueue), history, **arguments)


def _points(sampler: Sampler, axes: Axes, num: int, **changed: Any) -> Points:
    """Return the first points of a search whose trials all fail, fewer where it is exhausted."""
    points: Points = []
    for _ in range(num):
        past = [PastPoint(number=i, values=point, state=TrialState.FAILED) for i, point in enumerate(points)]
        point = _next(sampler, axes, past, **changed)
        if point is None:
            break
        points.append(point)
    return points


def _accuracy(point: Mapping[str, Value]) -> float:
    """Best at lr = .003 and decay = .03, with adamw."""
    distance = abs(math.log10(_number(point["lr"]) / 0.003))
    distance += abs(math.log10(_number(point["decay"]) / 0.03)) / 2 if "decay" in point else 0.4
    return 90 - 10 * distance


def _number(value: Value) -> float:
    assert isinstance(value, int | float)
    return value


def _ended(past: PastPoint) -> PastPoint:
    state = ENDINGS.get(past.number, TrialState.FINISHED)
    value = _accuracy(past.values)
    curve = {10: value / 2, 20: value * 0.9} if state is not TrialState.FAILED else {}
    return replace(past, state=state, objectives=(value,) * (state is TrialState.FINISHED), curve=curve)


def _run(sampler: Sampler, axes: Axes, num: int, num_parallel: int = 1) -> list[list[PastPoint]]:
    """Return the history at each request and at the end; the oldest of the running points ends before the next."""
    history: list[PastPoint] = []
    requests = []
    for number in range(num):
        if number >= num_parallel:
            history[number - num_parallel] = _ended(history[number - num_parallel])
        requests.append(list(history))
        point = _next(sampler, axes, history)
        assert point is not None
        history.append(PastPoint(number=number, values=point, state=TrialState.RUNNING))
    return [*requests, history]


def _as_rebuilt(history: Sequence[PastPoint]) -> list[PastPoint]:
    """Return a history as another launch has it: from JSON, in another order, its running points interrupted."""
    rebuilt = [
        replace(
            past,
            values=json.loads(json.dumps(past.values)),
            state=TrialState.INTERRUPTED if past.state is TrialState.RUNNING else past.state,
        )
        for past in history
    ]
    random.Random(len(history)).shuffle(rebuilt)
    return rebuilt


def test_each_sampler_that_a_study_can_name_is_there() -> None:
    assert list(SAMPLERS) == SAMPLER_NAMES


@pytest.mark.parametrize(("sampler", "num_parallel"), [*itertools.product(FAST, [1, 4]), ("gp", 2)])
def test_a_search_interrupted_anywhere_goes_on_with_the_same_points(sampler: Sampler, num_parallel: int) -> None:
    axes = GRID if sampler == "grid" else RANGES
    num = 13 if sampler == "gp" else 24
    *requests, final = _run(sampler, axes, num, num_parallel)
    expected = [past.values for past in final]
    again = [_next(sampler, axes, _as_rebuilt(history)) for history in requests]
    assert again == expected
    assert [list(point) for point in again if point] == [list(values) for values in expected]  # in the order of axes
    assert len({json.dumps(values) for values in expected}) == num


def test_another_process_proposes_the_same() -> None:
    code = "import sys; sys.path[:0] = ['tests/study/search']; import test_samplers; test_samplers.print_points()"
    env = {**os.environ, "PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stderr == ""  # not a line of Optuna's
    with contextlib.redirect_stdout(io.StringIO()) as expected:
        print_points()
    assert done.stdout == expected.getvalue()


def print_points() -> None:
    for sampler in SAMPLER_NAMES:
        for past in _run(sampler, GRID if sampler == "grid" else RANGES, 13)[-1]:
            print(sampler, past.values)


def test_a_grid_has_all_combinations_in_order() -> None:
    expected = [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]
    assert _points("grid", GRID, 30) == expected


def test_quasi_random_points_are_those_of_sobol_in_every_cell() -> None:
    shares = qmc.Sobol(len(RANGES), rng=0).random_base2(4)
    lr, warmup, decay, beta = (axis for axis in RANGES.values() if isinstance(axis, Range))
    expected = []
    for row in shares.tolist():
        point = {"lr": lr.at(row[0]), "warmup": warmup.at(row[1]), "optimizer": ("sgd", "adamw")[int(2 * row[2])]}
        if point["optimizer"] == "adamw":
            point |= {"decay": decay.at(row[3]), "beta": beta.at(row[4])}
        expected.append(point)
    assert _points("quasi_random", RANGES, 16) == expected
    assert _points("quasi_random", RANGES, 16, seed="another cell") == expected


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_random_points_differ_between_cells(sampler: Sampler) -> None:
    first, second = (_points(sampler, RANGES, 5, seed=seed) for seed in ("a", "b"))
    assert not [point for point in first if point in second]


def test_random_points_are_even_over_the_range() -> None:
    lr = RANGES["lr"]
    assert isinstance(lr, Range)
    shares = [lr.share(_number(point["lr"])) for point in _points("random", {"lr": lr}, 150)]
    assert kstest(shares, "uniform").pvalue > 0.05


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_a_finite_space_is_exhausted_after_all_of_its_points(sampler: Sampler) -> None:
    axes = {**SMALL, "steps": (1, 2)} if sampler == "grid" else SMALL
    points = _points(sampler, axes, 10)
    wanted = [{"optimizer": "adamw", "steps": 1}, {"optimizer": "adamw", "steps": 2}, {"optimizer": "sgd"}]
    num = 4
    assert len(points) == num
    assert len({json.dumps(point) for point in points}) == num
    assert sampler == "grid" or all(point in points for point in wanted)
    assert all(type(point["steps"]) is int for point in points if "steps" in point)


@pytest.mark.parametrize("sampler", FAST)
def test_an_excluded_point_is_left_out(sampler: Sampler) -> None:
    def is_excluded(point: Mapping[str, Value]) -> bool:
        return point["optimizer"] != "adamw"

    axes = GRID if sampler == "grid" else RANGES
    points = _points(sampler, axes, 30, is_excluded=is_excluded)
    assert [point["optimizer"] for point in points] == ["adamw"] * (8 if sampler == "grid" else 30)


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_the_rest_of_a_finite_space_is_found_where_almost_all_is_excluded(sampler: Sampler) -> None:
    axes: Axes = {"a": tuple(range(100)), "b": tuple(range(100))}
    wanted = {"a": 31, "b": 77}
    assert _points(sampler, axes, 2, is_excluded=lambda point: point != wanted) == [wanted]


@pytest.mark.parametrize("sampler", FAST)
def test_an_infinite_space_is_given_up_where_all_is_excluded(sampler: Sampler) -> None:
    asked: Points = []
    axes = GRID if sampler == "grid" else RANGES
    assert _next(sampler, axes, [], is_excluded=lambda point: asked.append(dict(point)) or True) is None
    assert len(asked) == (24 if sampler == "grid" else pytest.approx(MAX_ATTEMPTS, rel=0.05))
    assert len({json.dumps(point) for point in asked}) == len(asked)  # each once


ENQUEUE = (
    {"lr": 0.0012345, "warmup": 100.0, "optimizer": "sgd", "other cell": 1},
    {"optimizer": "sgd", "decay": 0.1},
    {"lr": 0.0012345, "warmup": 100, "optimizer": "sgd"},  # again
    {"optimizer": "adamw", "decay": 0.123},
)


@pytest.mark.parametrize("sampler", [name for name in FAST if name != "grid"])
def test_enqueued_points_come_first(sampler: Sampler) -> None:
    points = _points(sampler, RANGES, 8, enqueue=ENQUEUE)
    assert points[0] == {"lr": 0.0012345, "warmup": 100, "optimizer": "sgd"}  # with all digits
    assert type(points[0]["warmup"]) is int
    assert list(points[1]) == ["lr", "warmup", "optimizer"]  # without decay, which it does not have
    assert points[1]["optimizer"] == "sgd"
    assert points[2] != points[0]  # the sampler chooses another
    assert (points[3]["optimizer"], points[3]["decay"]) == ("adamw", 0.123)
    assert list(points[3]) == list(RANGES)
    assert len({json.dumps(point) for point in points}) == 8


def test_enqueued_points_come_first_in_a_grid() -> None:
    points = _points("grid", GRID, 30, enqueue=({"lr": 0.01, "flip": None}, {"optimizer": "lion"}))
    assert points[:2] == [
        {"lr": 0.01, "optimizer": "sgd", "flip": None},
        {"lr": 0.001, "optimizer": "lion", "flip": True},
    ]
    assert len({json.dumps(point) for point in points}) == len(points) == 24


def test_an_excluded_enqueued_point_is_replaced() -> None:
    point = _next("grid", GRID, [], enqueue=({"lr": 0.03},), is_excluded=lambda point: point["lr"] == 0.03)
    assert point == _next("grid", GRID, [])


def test_the_number_of_a_point_follows_the_largest() -> None:
    history = [PastPoint(number=1, values={"lr": 0.5}, state=TrialState.FAILED)]
    axes: Axes = {"lr": Range(0, 1)}
    enqueue = ({"lr": 0.1}, {"lr": 0.2}, {"lr": 0.3})
    assert _next("random", axes, history, enqueue=enqueue) == {"lr": 0.3}
    assert _next("tpe", axes, history) != _next("tpe", axes, [replace(history[0], number=2)])


def test_enqueued_values_are_not_repeated_for_their_further_digits() -> None:
    axes: Axes = {"lr": Range(0, 0.002), "on": (True, False)}
    lr = _number(_points("random", axes, 1)[0]["lr"])
    enqueue = ({"lr": lr * 1.0001, "on": True}, {"lr": lr * 1.0001, "on": False})
    assert _points("random", axes, 3, enqueue=enqueue)[2]["lr"] not in (lr, lr * 1.0001)


@pytest.mark.parametrize("num_axes", [1, 3])
@pytest.mark.parametrize("sampler", FAST)
def test_every_point_is_new_and_on_its_axes(
    sampler: Sampler, num_axes: int, fuzz: Callable[..., None], ranges: st.SearchStrategy[Range]
) -> None:
    """Ranges of all kinds, with and without a condition on the first axis; some points running."""

    def check(drawn: Sequence[Range], seed: int) -> None:
        axes: Axes = {"first": (None, "on", 2), **{str(i): axis for i, axis in enumerate(drawn)}}
        if sampler == "grid":
            axes = {name: axis if isinstance(axis, tuple) else (axis.low, axis.high) for name, axis in axes.items()}
        history: list[PastPoint] = []
        for number in range(14):
            point = _next(sampler, axes, history, seed=str(seed))
            if point is None:
                break
            assert point not in [past.values for past in history]
            assert list(point) == [name for name, axis in axes.items() if exists(axis, point)]
            for name, value in point.items():
                axis = axes[name]
                assert axis.has(value) and axis.round(value) == value if isinstance(axis, Range) else value in axis
            state = TrialState.FINISHED if number % 5 else TrialState.RUNNING
            objectives = (float(number * seed % 7),) if number % 5 else ()
            history.append(PastPoint(number=number, values=point, state=state, objectives=objectives))

    fuzz(15, check, st.lists(ranges, min_size=num_axes, max_size=num_axes), st.integers(0, 1000))


@pytest.fixture
def ranges() -> st.SearchStrategy[Range]:
    """Ranges of reals and whole numbers, narrow and wide, logarithmic or not."""

    @st.composite
    def draw(draw: st.DrawFn) -> Range:
        integer, log = draw(st.booleans()), draw(st.booleans())
        low = draw(st.integers(1 if log else -20, 20)) if integer else draw(st.floats(1e-6 if log else -10, 10))
        high = low + (draw(st.integers(1, 300)) if integer else draw(st.floats(1e-3, 1e3)))
        when = draw(st.sampled_from([{}, {"first": "on"}, {"first": (None, 2)}]))
        return Range(low, high, log=log, integer=integer, when=when)

    return draw()


@pytest.mark.parametrize(
    ("sampler", "num", "num_last", "signs"),
    [
        *(("tpe", 40, 20, signs) for signs in ((1,), (-1,), (1, -1), (-1, 1))),
        *(("gp", 16, 6, signs) for signs in ((-1,), (1, -1))),
        *(pytest.param("gp", 16, 6, signs, marks=pytest.mark.long) for signs in ((1,), (-1, 1))),
    ],
)
def test_points_go_where_objectives_are_better(
    sampler: Sampler, num: int, num_last: int, signs: tuple[int, ...]
) -> None:
    """Objective x, or x and y, each independent of the other: one corner is best."""
    axes: Axes = {"x": Range(0, 1), "y": Range(0, 1), "z": ("a", "b"), "u": Range(1, 9, log=True, when={"z": "b"})}
    history: list[PastPoint] = []
    for number in range(num):
        point = _next(sampler, axes, history, signs=signs)
        assert point is not None
        objectives = tuple(_number(point[name]) for name, _ in zip("xy", signs, strict=False))
        history.append(PastPoint(number=number, values=point, state=TrialState.FINISHED, objectives=objectives))
    for name, sign in zip("xy", signs, strict=False):
        mean = fmean(_number(past.values[name]) for past in history[-num_last:])
        assert mean > 0.6 if sign > 0 else mean < 0.4


def test_the_201st_point_costs_a_few_times_that_of_an_optuna_study_that_lives_on() -> None:
    """Each point is asked of a study that is built again."""
    history = _run("random", RANGES, 200)[-1]

    def seconds(work: Callable[[], object]) -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    living = asked_points("tpe", RANGES, history, (1,), seed=0, fixed={})
    next(living)
    again = [seconds(lambda seed=seed: _next("tpe", RANGES, history, seed=str(seed))) for seed in range(5)]
    assert min(again) < 8 * min(seconds(lambda: next(living)) for _ in range(5))
