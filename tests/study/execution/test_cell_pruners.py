"""Searches that prune, on real Ray; the oracle is the pruner of a cell, fed with the curves of the ledger in order."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from search_spaces.framework.ranges import Range
from search_spaces.framework.search import Pruner, Search
from search_spaces.framework.space import SearchSpace
from study.execution.cell_pruners import CellPruners
from study.execution.resources import ResourceRequest
from study.execution.runner import run_plans
from study.ledger.states import TrialState
from study.plan import Plan
from study.search.pruners import CurvePruner
from tests.study.execution.stores import BASE, QUIET, Studies

STEPS = (4, 8, 12, 16, 20)
NUM_POINTS = 8
SEEDS = {None: (0,), "successive_halving": (1,), "median": (2,)}
"""Seed of each search: they share a store, and a trial that two of them gave up has the longer curve."""


def search_space(pruner: Pruner | None, num_trials: int) -> SearchSpace:
    """Learning rates from useless ones to good ones, in an order that is evenly spread."""
    return SearchSpace(
        name=f"pruned by {pruner}".replace(" ", "_"),
        question="?",
        base=BASE.with_values({"steps": 20, "num_evals": 5}),
        scientific={"optimizer.name": ("sgd",)},
        nuisance={"optimizer.lr": Range(0.01, 1.0, log=True)},
        search=Search(sampler="quasi_random", num_trials=num_trials, pruner=pruner, seeds=SEEDS[pruner]),
        seeds=(0,),
    )


@pytest.fixture
def run_in_turn(studies: Studies, one_slot: None) -> Callable[[SearchSpace], Plan]:
    """Run a study, with the next point only after the last one, and return its plan."""

    def run(space: SearchSpace) -> Plan:
        run_plans([studies.plan(space)], studies.ledger, QUIET, ResourceRequest(), {})
        return studies.plan(space)

    return run


@pytest.mark.parametrize("name", ["successive_halving", pytest.param("median", marks=pytest.mark.long)])
def test_two_launches_of_a_search_prune_as_one_pruner_would(
    studies: Studies, run_in_turn: Callable[[SearchSpace], Plan], name: Pruner
) -> None:
    """The first launch ends after five points; the second one goes on, with their curves from the ledger."""
    first = run_in_turn(search_space(name, 5)).searches[0]
    plan = run_in_turn(search_space(name, NUM_POINTS))
    [search] = plan.searches
    assert [point.values for point in search.points[:5]] == [point.values for point in first.points]
    pruner, lengths = CurvePruner(name, "accuracy"), []
    for point in search.points:
        record = point.trials[0].record
        assert record is not None
        curve = studies.ledger.curve(record.run_id, "val_accuracy")
        decisions = [pruner.report(point.number, step, accuracy) for step, accuracy in curve]
        is_pruned = point.state == TrialState.PRUNED
        assert point.state in (TrialState.PRUNED, TrialState.FINISHED)
        assert [step for step, _ in curve] == list(STEPS[: len(curve)])
        assert decisions[:4] == [*[False] * (min(4, len(curve)) - is_pruned), *[True] * is_pruned]
        assert (len(curve) < 5) == is_pruned
        pruner.end(point.number, point.state)
        lengths.append(len(curve))
    assert len(lengths) == NUM_POINTS
    assert NUM_POINTS / 4 <= lengths.count(5) < NUM_POINTS
    assert any(length < 5 for length in lengths[5:]), "the second launch prunes, too"
    assert search.train_time_s > 0
    assert search.best is not None and search.best.state == TrialState.FINISHED
    [tested] = plan.trials
    assert tested.state == TrialState.FINISHED
    assert tested.candidate.nuisance == search.best.values
    assert plan.to_run == []


def test_only_trials_of_a_search_with_a_pruner_of_curves_are_pruned(studies: Studies) -> None:
    for name in (None, "median"):
        plan = studies.plan(search_space(name, NUM_POINTS))
        assert plan.planner is not None
        found = plan.planner.ask(plan.searches[0], {})
        assert found is not None
        pruners = CellPruners(plan.planner, studies.ledger)
        [trial] = found.trials
        pruned = pruners.find(trial, {})
        assert pruners.find(replace(trial, tags={}), {}) is None, "a tested trial"
        if name is None:
            assert pruned is None
            continue
        assert pruned is not None
        assert pruned.number == found.number
        again = pruners.find(trial, {})
        assert again is not None and again.pruner is pruned.pruner, "one per cell"
