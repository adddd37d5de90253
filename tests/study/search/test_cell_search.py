"""Searches of cells: when one is over, which point is best."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from revit.training.metrics import METRICS
from search_spaces.framework.cells import StudyCell
from search_spaces.framework.ranges import Range
from search_spaces.framework.search import Search
from study.ledger.schema import NUM_STEPS_DONE, TRAIN_TIME_S, VAL_ACCURACY, VAL_LOSS, val_value_name
from study.ledger.states import TrialState
from study.plan import Folders
from study.search.cell_search import CellSearch, SearchPoint
from study.trial import Trial
from tests.study.made_plans import Result, plan_of, planner_of, record_of, searched, space_of

CELL = StudyCell(values={"optimizer.lr": 0.1}, fields={}, axes={"optimizer.weight_decay": Range(0.0, 1.0)})
ENDS = (TrialState.FINISHED, TrialState.PRUNED, TrialState.DIVERGED, TrialState.FAILED)


@pytest.fixture
def trial(folders: Folders) -> Trial:
    """A trial without a record."""
    return plan_of(folders).trials[0]


def point_of(trial: Trial, number: int, *results: Result | None, **changes: Any) -> SearchPoint:
    """Return a point whose seeds ended so; None for one that has no record."""
    trials = [replace(trial, record=None if result is None else record_of(trial, result)) for result in results]
    values = {"optimizer.weight_decay": number / 10}
    return SearchPoint(number=number, values=values, trials=tuple(trials), **changes)


def search_of(points: Sequence[SearchPoint], **changes: Any) -> CellSearch:
    num_seeds = len(points[0].trials) if points else 1
    given = {"num_points": len(points), "num_seeds": num_seeds, "objectives": ("accuracy",), **changes}
    return CellSearch(cell=CELL, points=points, **given)


@pytest.mark.parametrize(
    ("results", "state"),
    [
        ((0.5, 0.6), TrialState.FINISHED), ((None, None), TrialState.NEW), ((0.5, None), TrialState.RUNNING),
        ((0.5, TrialState.RUNNING), TrialState.RUNNING), ((0.5, TrialState.INTERRUPTED), TrialState.RUNNING),
        ((0.5, TrialState.DIVERGED), TrialState.DIVERGED), ((TrialState.FAILED, None), TrialState.FAILED),
        ((TrialState.PRUNED, 0.5), TrialState.PRUNED),
    ],
)  # fmt: skip
def test_a_point_is_as_its_seeds(trial: Trial, results: tuple[Result | None, ...], state: TrialState) -> None:
    point = point_of(trial, 0, *results)
    assert point.state == state
    assert point.has_ended is (state in ENDS)
    given_up = point_of(trial, 0, *results, is_given_up=True)
    assert (given_up.state, given_up.has_ended) == (TrialState.PRUNED, True)


def test_a_trial_without_a_value_of_an_objective_ends_its_point(trial: Trial) -> None:
    """As `peak_memory_bytes`, which not every system measures."""
    [finished] = point_of(trial, 0, 0.5).trials
    point = SearchPoint(number=0, values={}, trials=(replace(finished, unmeasured="without peak_memory_bytes"),))
    assert (point.state, point.to_run) == (TrialState.FAILED, [])
    search = search_of([point], objectives=("accuracy", "peak_memory_bytes"))
    assert (search.is_over, search.best, search.history[0].objectives) == (True, None, ())


def test_what_failed_runs_again_and_what_diverged_or_was_pruned_does_not(trial: Trial) -> None:
    for state, num in ((TrialState.FAILED, 1), (TrialState.DIVERGED, 0), (TrialState.PRUNED, 0)):
        assert len(point_of(trial, 0, state, None).to_run) == num
    assert len(point_of(trial, 0, 0.5, TrialState.INTERRUPTED).to_run) == 1
    search = search_of([point_of(trial, 0, 0.5), point_of(trial, 1, TrialState.FAILED)])
    assert search.is_over, "it does not wait for what failed"
    assert len(search.to_run) == 1


@pytest.mark.parametrize("state", [TrialState.PRUNED, TrialState.DIVERGED, TrialState.FAILED])
def test_an_incomplete_point_is_not_selected(trial: Trial, state: TrialState) -> None:
    """One finished seed of a point whose other seed did not finish is not the best value."""
    search = search_of([point_of(trial, 0, 0.7, 0.7), point_of(trial, 1, 0.95, state)])
    assert search.is_over
    assert search.best is not None
    assert search.best.number == 0
    alone = search_of([point_of(trial, 0, 0.95, state)])
    assert (alone.best, alone.chosen, alone.status) == (None, None, "no point finished")


def test_the_best_mean_over_seeds_is_selected_the_first_of_equals(trial: Trial) -> None:
    search = search_of([point_of(trial, 0, 0.5, 0.9), point_of(trial, 1, 0.8, 0.7), point_of(trial, 2, 0.7, 0.8)])
    assert search.best is not None
    assert (search.best.number, search.best.value("accuracy")) == (1, 0.75)
    assert search.chosen == {"optimizer.weight_decay": 0.1}


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.of_predictions])
def test_points_are_compared_by_the_first_objective_on_validation_images_in_its_direction(
    trial: Trial, name: str
) -> None:
    points = [point_of(trial, number, 0.5) for number in range(3)]
    for point, value in zip(points, (0.3, 0.4, 0.2), strict=True):
        point.trials[0].record.metrics[val_value_name(name)] = value
    best = search_of(points, objectives=(name,)).best
    assert best is not None
    assert best.number == (1 if METRICS[name].direction == "maximize" else 2)


def test_a_search_is_over_once_all_its_points_have_ended(trial: Trial) -> None:
    points = [point_of(trial, 0, 0.5), point_of(trial, 1, TrialState.RUNNING)]
    search = search_of(points, num_points=3)
    assert (search.num_left, search.is_over, search.chosen) == (1, False, None)
    assert search.status == "search at 1 of 3 points"
    assert search_of(points, num_points=3, is_exhausted=True).num_left == 0
    waiting = search_of(points, num_points=2)
    assert (waiting.num_left, waiting.is_over, waiting.chosen) == (0, False, None), "the running one may be better"
    over = search_of([points[0], point_of(trial, 1, 0.4)], num_points=2)
    assert (over.is_over, over.status, over.chosen) == (True, "searched", {"optimizer.weight_decay": 0.0})
    assert search_of([points[0]], num_points=0).num_left == 0, "fewer points than before"


def test_a_time_budget_ends_a_search_though_points_are_left(trial: Trial) -> None:
    """Each of the trials took 1 s."""
    points = [point_of(trial, number, 0.5) for number in range(3)]
    assert search_of(points).train_time_s == 3.0
    assert search_of(points, num_points=9, time_budget_s=3.5).num_left == 6
    assert search_of(points, num_points=9, time_budget_s=3.0).is_over
    running = search_of([*points, point_of(trial, 3, TrialState.RUNNING)], num_points=9, time_budget_s=3.0)
    assert (running.num_left, running.is_over) == (0, False)


def test_samplers_see_a_point_as_it_ended(trial: Trial) -> None:
    finished = point_of(trial, 0, 0.5)
    metrics = {VAL_ACCURACY: 0.4, VAL_LOSS: 1.5, NUM_STEPS_DONE: 3.0, TRAIN_TIME_S: 7.0}
    finished.trials[0].record.metrics.update(metrics)
    points = [finished, point_of(trial, 1, TrialState.DIVERGED), point_of(trial, 2, None)]
    first, second, third = search_of(points, objectives=("accuracy", "train_time_s")).history
    assert (first.number, first.state, first.objectives) == (0, TrialState.FINISHED, (0.5, 7.0))
    assert (first.values, first.curve) == ({"optimizer.weight_decay": 0.0}, {3: 0.4})
    assert (second.state, second.objectives, second.curve) == (TrialState.DIVERGED, (), {})
    assert (third.state, third.objectives) == (TrialState.NEW, ())
    [by_loss] = search_of([finished], objectives=("loss",)).history
    assert by_loss.curve == {3: 1.5}
    [other_way] = search_of([finished], objectives=("train_time_s",)).history
    assert other_way.curve == {}, "accuracy is better where it is larger, time where it is smaller"
    [by_seed] = search_of([point_of(trial, 0, 0.5, 0.25)]).history
    assert by_seed.curve == {0: 0.5, 1: 0.25}


def test_a_finite_space_is_exhausted_before_its_number_of_trials(folders: Folders) -> None:
    """`constraint` leaves 3 of 4 points, which is known only once they have been asked for."""
    space = space_of(
        scientific={"schedule.name": ("cosine",)},
        nuisance={"optimizer.lr": (0.1, 0.2), "optimizer.momentum": (0.0, 0.9)},
        search=Search(sampler="random"),
        constraint=lambda config: config.optimizer.lr == 0.1 or config.optimizer.momentum > 0,
    )
    records = searched(space, folders, lambda config: 0.5)
    [cell] = planner_of(space, folders).cells
    search = planner_of(space, folders).search(cell, records)
    assert (len(records), search.num_points, search.is_exhausted, search.is_over) == (3, 4, True, True)
