"""The next point of a search: as a simulated driver sees it, that asks, trains, is interrupted."""

import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import get_args

import pytest

from search_spaces.framework.claims import Value
from search_spaces.framework.ranges import Range
from search_spaces.framework.search import Sampler, Search
from study.ledger.states import TrialState
from study.search.past_point import PastPoint
from study.search.samplers import SAMPLERS, Axes, propose

RANGES: Axes = {
    "lr": Range(1e-5, 1e-1, log=True),
    "warmup": Range(0, 500, integer=True),
    "optimizer": {"sgd": {}, "adamw": {}},
    "decay": Range(1e-3, 0.3, log=True, when={"optimizer": "adamw"}),
    "beta": Range(0.9, 0.999, when={"optimizer": "adamw"}),
}
GRID: Axes = {"lr": (0.001, 0.003, 0.01, 0.03), "optimizer": {"sgd": {}, "adamw": {}, "lion": {}}, "flip": (True, None)}
ALL: list[Sampler] = list(get_args(Sampler))
ENDINGS = {3: TrialState.DIVERGED, 8: TrialState.PRUNED, 13: TrialState.FAILED, 19: TrialState.PRUNED}


def _axes(sampler: Sampler) -> Axes:
    return GRID if sampler == "grid" else RANGES


def _accuracy(point: Mapping[str, Value]) -> float:
    """Best at lr = .003 and decay = .03, with adamw."""
    loss = abs(math.log10(float(point["lr"] or 0) / 0.003))  # type: ignore[arg-type]
    if point["optimizer"] == "adamw":
        loss += 0.5 * abs(math.log10(float(point.get("decay", 0.03)) / 0.03))  # type: ignore[arg-type]
    else:
        loss += 0.4
    return 90 - 10 * loss


def _nothing(point: Mapping[str, Value]) -> bool:
    return False


def _ended(past: PastPoint) -> PastPoint:
    state = ENDINGS.get(past.number, TrialState.FINISHED)
    value = _accuracy(past.values)
    curve = {10: value / 2, 20: value * 0.9} if state is not TrialState.FAILED else {}
    return replace(past, state=state, objectives=(value,) * (state is TrialState.FINISHED), curve=curve)


def _run(sampler: Sampler, num: int, num_parallel: int = 1) -> list[list[PastPoint]]:
    """Return the history at each request; the oldest of `num_parallel` running points ends before the next."""
    history: list[PastPoint] = []
    requests = []
    for number in range(num):
        if number >= num_parallel:
            history[number - num_parallel] = _ended(history[number - num_parallel])
        requests.append(list(history))
        point = _next(sampler, history)
        assert point is not None
        history.append(PastPoint(number=number, values=point, state=TrialState.RUNNING))
    return [*requests, history]


def _next(sampler: Sampler, history: Sequence[PastPoint], **changed: object) -> dict[str, Value] | None:
    axes = _axes(sampler)
    arguments = {"seed": "study and cell", "signs": (1,), "is_excluded": _nothing, **changed}
    return propose(axes, Search(sampler=sampler), history, **arguments)  # type: ignore[arg-type]


def _as_rebuilt(history: Sequence[PastPoint]) -> list[PastPoint]:
    """Return a history as another launch has it: from JSON, in another order, with interrupted points."""
    other = [
        replace(
            past,
            values=json.loads(json.dumps(past.values)),
            state=TrialState.INTERRUPTED if past.state is TrialState.RUNNING else past.state,
        )
        for past in history
    ]
    random.Random(len(history)).shuffle(other)
    return other


def test_each_sampler_that_a_study_can_name_is_there() -> None:
    assert list(SAMPLERS) == ALL


@pytest.mark.parametrize("num_parallel", [1, 4])
@pytest.mark.parametrize("sampler", ALL)
def test_a_search_interrupted_anywhere_goes_on_with_the_same_points(sampler: Sampler, num_parallel: int) -> None:
    num = 15 if sampler == "gp" else 24
    *requests, final = _run(sampler, num, num_parallel)
    expected = [past.values for past in final]
    again = [_next(sampler, _as_rebuilt(history)) for history in requests]
    assert again == expected
    assert [list(point) for point in again if point] == [list(values) for values in expected]  # in the order of axes
    assert len({json.dumps(values) for values in expected}) == num


@pytest.mark.parametrize("sampler", [each for each in ALL if each != "gp"])
def test_another_process_proposes_the_same(sampler: Sampler) -> None:
    history = _run(sampler, 14)[-1]
    code = (
        "import sys; sys.path.insert(0, 'tests/study/search')\n"
        "from test_samplers import _run, _next\n"
        f"print(_next({sampler!r}, _run({sampler!r}, 14)[-1]))"
    )
    for hash_seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str(_next(sampler, history))
        assert done.stderr == ""
