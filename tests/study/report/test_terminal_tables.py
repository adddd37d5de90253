"""Tables of a terminal: what each column shows."""

import itertools
from dataclasses import replace
from pathlib import Path

from revit.config import FineTuneConfig
from search_spaces.framework.space import SearchSpace
from study.ledger.states import TrialState
from study.plan import preview
from study.report.terminal_tables import (
    MAX_LISTED_TRIALS,
    further_table,
    plan_table,
    preview_table,
    searches_table,
    terminal_table,
)
from tests.study.report.small_study import finish
from tests.study.report.test_paper_tables import SEVERAL, several_plan
from tests.study.searched_study import at_best_lr, make_planner, searched_plan

SPACE = SearchSpace(
    name="rates", question="?", base=FineTuneConfig(dataset="digits", steps=5), scientific={"optimizer.lr": (1.0, 1e-5)}
)


def test_a_result_is_in_percent_with_two_decimals() -> None:
    plan = finish(SPACE, (0,), [0.91234, 0.5])
    table = terminal_table(plan)
    assert table.headings == ["optimizer.lr", "mean", "95 % interval", "seeds"]
    assert [row[:2] for row in table.rows] == [["1", "91.23"], ["1e-05", "50.00"]]
    assert all(row[2].endswith(" (images only)") and row[3] == "1" for row in table.rows)


def test_trials_without_a_result_are_counted_by_status() -> None:
    plan = finish(SPACE, (0, 1, 2), itertools.repeat(0.9))
    states = itertools.cycle([TrialState.DIVERGED, TrialState.FINISHED])
    trials = [
        replace(trial, record=None)
        if trial.candidate.config.seed == 1
        else replace(trial, record=replace(trial.record, state=next(states)))
        for trial in plan.trials
    ]
    table = terminal_table(replace(plan, trials=trials))
    assert table.headings[-1] == "status"
    assert [row[-1] for row in table.rows] == ["2 diverged, 1 not run", "1 not run"]


def test_a_stale_trial_shows_its_reason() -> None:
    plan = finish(SPACE, (0,), itertools.repeat(0.9))
    stale = replace(plan.trials[0], record=None, staleness_reason="data changed")
    table = plan_table(replace(plan, trials=[stale, *plan.trials[1:]]))
    assert table.headings == ["optimizer.lr", "seed", "steps", "state", "identity", "run"]
    assert [row[3] for row in table.rows] == ["new: data changed", "finished"]
    assert table.rows[1] == ["1e-05", "0", "2500", "finished", "0000000000000001", "00000000000000010000000000000001"]


def test_a_long_plan_counts_the_trials_of_each_cell_by_state() -> None:
    plan = finish(SPACE, tuple(range(MAX_LISTED_TRIALS // 2)), itertools.repeat(0.9))
    assert len(plan_table(plan).rows) == MAX_LISTED_TRIALS
    plan = finish(SPACE, tuple(range(MAX_LISTED_TRIALS // 2 + 1)), itertools.repeat(0.9))
    stale = replace(plan.trials[0], record=None, staleness_reason="data changed")
    table = plan_table(replace(plan, trials=[stale, *plan.trials[1:]]))
    assert table.headings == ["optimizer.lr", "steps", "trials"]
    assert table.rows == [["1", "2500", "1 new: data changed, 250 finished"], ["1e-05", "2500", "251 finished"]]


def test_an_outline_has_seeds_and_steps_only() -> None:
    table = preview_table(SPACE, preview(SPACE, (0, 1)))
    assert table.headings == ["optimizer.lr", "seed", "steps"]
    assert [row[1:] for row in table.rows] == [["0", "5"], ["0", "5"], ["1", "5"], ["1", "5"]]


def test_a_searched_study_shows_a_dash_until_a_value_is_chosen(tmp_path: Path, cache_dir: Path) -> None:
    planner = make_planner(tmp_path, cache_dir)
    headings = ["optimizer.name", "optimizer.lr", "optimizer.weight_decay"]
    waiting = searched_plan(planner, at_best_lr(3e-3), num_points=4)
    table = plan_table(waiting)
    assert table.headings[:6] == [*headings, "seed", "steps", "state"]
    assert table.rows[0] == ["sgd", "-", "-", "0", "12", "search at 4 of 6 points", "", ""]
    assert terminal_table(waiting).rows[0] == ["sgd", "-", "-", "-", "-", "0", "search at 4 of 6 points"]
    done = searched_plan(planner, at_best_lr(3e-3))
    assert plan_table(done).rows[0][:6] == ["sgd", "0.00469", "-", "0", "12", "finished"]
    assert terminal_table(done).rows[0][:3] == ["sgd", "0.00469", "-"]
    assert preview_table(planner.space, preview(planner.space, (0,))).rows == [
        ["sgd", "-", "-", "0", "12"], ["adamw", "-", "-", "0", "12"],
    ]  # fmt: skip


def test_the_searches_of_a_study_are_a_table(tmp_path: Path, cache_dir: Path) -> None:
    table = searches_table(searched_plan(make_planner(tmp_path, cache_dir), at_best_lr(3e-3), num_points=4))
    assert table.title == "searched: searches"
    assert table.rows[0] == ["sgd", "4 of 6: 4 finished, 2 to come", "-", "-", "8", "87.80"]


def test_further_metrics_are_rows() -> None:
    table = further_table(several_plan(SEVERAL))
    assert table.headings == ["resolution", "optimizer.lr", "metric", "mean", "95 % interval", "seeds"]
    assert [row[:4] for row in table.rows[:2]] == [
        ["8", "0.1", "accuracy on mnist_5k, %", "50.00"],
        ["8", "0.2", "accuracy on mnist_5k, %", "40.00"],
    ]
    assert table.rows[-1] == ["28", "0.2", "test negative log-likelihood, nats", "-", "-", "0"]
