"""Tables of points: each value is the one of the records that they are made of."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from revit.config import FineTuneConfig
from search_spaces.framework.search import Search
from study.analysis.searched import count_states, pareto_front, point_table, searched_cells
from study.ledger.states import TrialState
from study.plan import Plan
from study.search.optuna_study import rebuild
from tests.study.searched_study import LR, SPACE, Outcome, at_best_lr, make_planner, searched_plan

TWO = replace(SPACE, search=Search(sampler="random", num_trials=12, objectives=("accuracy", "train_time_s")))


def endings(config: FineTuneConfig) -> tuple[TrialState, Mapping[str, float]]:
    """Diverge where the learning rate is high, prune where it is low."""
    lr = config.optimizer.lr
    state = TrialState.DIVERGED if lr > 0.02 else TrialState.PRUNED if lr < 5e-4 else TrialState.FINISHED
    return state, at_best_lr(3e-3)(config)[1]


def time_and_accuracy(config: FineTuneConfig) -> tuple[TrialState, Mapping[str, float]]:
    """Make a trial slower by its learning rate; equal in both for two thirds of them."""
    step = round(10 * LR.share(config.optimizer.lr)) // 3
    return TrialState.FINISHED, {
        **at_best_lr(3e-3)(config)[1],
        "selected_val_accuracy": step / 4,
        "train_time_s": step % 2,
    }


def plan_of(
    folder: Path, cache_dir: Path, outcome: Outcome, num_points: int | None = None, space: object = SPACE
) -> Plan:
    return searched_plan(make_planner(folder, cache_dir, space), outcome, num_points)


def test_a_row_of_a_point_has_its_values_and_results(tmp_path: Path, cache_dir: Path) -> None:
    plan = plan_of(tmp_path, cache_dir, endings)
    table = point_table(plan)
    assert list(table.columns) == [
        "optimizer.name", "optimizer.lr", "optimizer.weight_decay", "number", "state", "val_accuracy", "seconds",
        "chosen", "identities", "run_ids",
    ]  # fmt: skip
    points = [(search, point) for search in plan.searches for point in search.points]
    assert len(table) == len(points) == 12
    for row, (search, point) in zip(table.to_dict("records"), points, strict=True):
        config = point.trials[0].candidate.config
        state, metrics = endings(config)
        assert (row["optimizer.name"], row["optimizer.lr"]) == (config.optimizer.name, config.optimizer.lr)
        decay = config.optimizer.weight_decay if row["optimizer.name"] == "adamw" else None
        assert row["optimizer.weight_decay"] == decay
        assert (row["number"], row["state"], row["seconds"]) == (point.number, state, 2.0)
        expected = metrics["selected_val_accuracy"] if state == TrialState.FINISHED else math.nan
        assert row["val_accuracy"] == pytest.approx(expected, nan_ok=True)
        assert row["identities"] == (point.trials[0].identity,)
        assert row["run_ids"] == (2 * point.trials[0].identity,)
        assert row["chosen"] == (search.chosen == point.values)
    assert table["chosen"].sum() == 2
    finished = table[table["state"] == "finished"]
    best = finished.loc[finished.groupby("optimizer.name")["val_accuracy"].idxmax()]
    assert best["chosen"].all()


def test_no_point_is_chosen_before_the_search_is_over(tmp_path: Path, cache_dir: Path) -> None:
    table = point_table(plan_of(tmp_path, cache_dir, endings, num_points=4))
    assert len(table) == 8
    assert not table["chosen"].any()


def test_a_search_without_points_has_no_rows(tmp_path: Path, cache_dir: Path) -> None:
    table = point_table(plan_of(tmp_path, cache_dir, endings, num_points=0))
    assert table.empty
    assert table.dtypes["val_accuracy"] == "float64"


def test_ended_points_are_counted_by_state(tmp_path: Path, cache_dir: Path) -> None:
    plan = plan_of(tmp_path, cache_dir, endings)
    for search, cell in searched_cells(plan):
        table = point_table(plan)
        own = table[table["optimizer.name"] == cell["optimizer.name"]]
        assert count_states(search) == own["state"].value_counts().to_dict()


def test_the_front_is_optunas(tmp_path: Path, cache_dir: Path) -> None:
    for search in plan_of(tmp_path, cache_dir, time_and_accuracy, space=TWO).searches:
        study: optuna.Study = rebuild(search.cell.axes, search.history, (1, -1))
        front = pareto_front(search)
        assert {point.number for point in front} == {trial.number for trial in study.best_trials}
        assert 1 < len(front) < 12
        accuracies = [point.value("accuracy") for point in front]
        assert accuracies == sorted(accuracies, reverse=True)
