"""A simulated search asks for points as a study does."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

import pytest

from benchmarks import simulated_search
from benchmarks.search_tasks import SearchTask
from benchmarks.simulated_search import search_points
from search_spaces.framework.search import Search
from study.ledger.states import TrialState

LEVELS = {"a": tuple(range(12))}


def _curve(point: Mapping[str, Any], _: int) -> dict[int, float]:
    """Rise to a; 11 diverges after the second step."""
    steps = (10, 20) if point["a"] == 11 else (10, 20, 30, 40)
    return {step: point["a"] * step / 40 for step in steps}


TASK = SearchTask(name="rising", axes=LEVELS, levels=LEVELS, train=_curve, num_steps=40)


def test_it_ends_with_the_space() -> None:
    points = list(search_points(TASK, Search(sampler="grid"), seed=0))
    assert [point.values["a"] for point in points] == list(range(12))
    assert [point.number for point in points] == list(range(12))
    assert [point.state for point in points] == [TrialState.FINISHED] * 11 + [TrialState.DIVERGED]
    assert [point.objectives for point in points] == [(float(a),) for a in range(11)] + [()]


@pytest.mark.parametrize("num_parallel", [1, 4])
def test_points_in_training_are_running(monkeypatch: pytest.MonkeyPatch, num_parallel: int) -> None:
    seen = []
    propose = simulated_search.propose

    def spy(axes, search, history, **options):
        seen.append([(point.state, point.objectives, dict(point.curve)) for point in history])
        return propose(axes, search, history, **options)

    monkeypatch.setattr(simulated_search, "propose", spy)
    list(islice(search_points(TASK, Search(sampler="grid"), seed=0, num_parallel=num_parallel), 6))
    for number, history in enumerate(seen):
        num_running = min(number, num_parallel - 1)
        assert [state for state, _, _ in history] == (
            [TrialState.FINISHED] * (number - num_running) + [TrialState.RUNNING] * num_running
        )
        assert all(not objectives and not curve for state, objectives, curve in history if state == "running")


def test_a_pruned_point_keeps_its_curve_and_has_no_value() -> None:
    search = Search(sampler="random", pruner="successive_halving")
    points = list(search_points(TASK, search, seed=0))
    pruned = [point for point in points if point.state == TrialState.PRUNED]
    assert pruned
    for point in pruned:
        assert point.objectives == ()
        assert point.curve == dict(islice(_curve(point.values, 0).items(), len(point.curve)))
    assert all(len(point.curve) < 4 for point in pruned)  # past its last step a point has finished


def test_another_seed_is_another_search() -> None:
    asked = [[point.values["a"] for point in search_points(TASK, Search(sampler="tpe"), seed=s)] for s in (0, 0, 1)]
    assert asked[0] == asked[1] != asked[2]
