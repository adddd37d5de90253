"""Tables of trials or cells."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from revit.config import FineTuneConfig
from revit.training.metrics import METRICS
from search_spaces.framework.ranges import Range
from search_spaces.framework.search import Search
from search_spaces.framework.space import SearchSpace
from study.analysis import results
from study.analysis.intervals import INTERVALS_NOTE, VarianceEstimate, cell_interval, median_variance
from study.analysis.results import cell_table, reported_trials, trial_table
from study.ledger.records import TrialRecord
from study.ledger.states import TrialState
from study.plan import Folders, Plan
from study.planning import make_plan
from study.report.paper_tables import cell_lines
from study.report.terminal_tables import terminal_table
from study.trial import Trial
from tests.study.made_plans import plan_of, record_of, searched, space_of

BASE = FineTuneConfig(dataset="digits", resolution=8, steps=5)


def finished(identity: str, test: float, val: float) -> TrialRecord:
    metrics = {"test_accuracy": test, "selected_val_accuracy": val}
    return TrialRecord(
        run_id="r",
        identity=identity,
        state=TrialState.FINISHED,
        last_step=5,
        metrics=metrics,
        params={},
        tags={},
    )


@pytest.fixture
def plan(tmp_path: Path, cache_dir: Path) -> Plan:
    """A plan of two schedules, three seeds, of which nothing is run yet."""
    space = SearchSpace(
        name="example",
        question="?",
        base=BASE,
        scientific={"schedule.name": ("cosine", "linear")},
    )
    return make_plan(space, space.seeds, Folders(store=tmp_path, data=tmp_path, cache=cache_dir), {})


def by_schedule(plan: Plan, cosine: list[float], linear: list[float]) -> Plan:
    """Return the plan with a test accuracy for each seed of its two cells."""
    accuracies = {"cosine": cosine, "linear": linear}
    records = {}
    for schedule, by_seed in accuracies.items():
        for trial, accuracy in zip(trials_of(plan, schedule), by_seed, strict=False):
            records[trial.identity] = finished(trial.identity, accuracy, 0.8)
    kept = [trial for trial in plan.trials if trial.identity in records]
    return Plan(space=plan.space, trials=kept).with_records(records)


def test_a_cells_interval_is_over_its_seeds_and_images(plan: Plan) -> None:
    cells = cell_table(by_schedule(plan, [0.8, 0.82, 0.9], [0.7, 0.75, 0.74])).set_index("schedule.name")
    prior = median_variance([[0.8, 0.82, 0.9], [0.7, 0.75, 0.74]])
    expected = cell_interval([0.8, 0.82, 0.9], 359, prior)
    assert (cells.loc["cosine", "low"], cells.loc["cosine", "high"]) == expected
    assert cells["interval"].tolist() == ["over seeds and test images"] * 2


def test_the_table_of_cells_is_made_once_for_a_plan(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = by_schedule(plan, [0.8, 0.82, 0.9], [0.7, 0.75, 0.74])
    first = cell_table(shown)
    first["mean"] = 0.0
    monkeypatch.setattr(results, "median_variances", None)  # not called again
    assert cell_table(shown)["mean"].tolist() == pytest.approx([0.84, 0.73])
    monkeypatch.undo()
    assert cell_table(by_schedule(plan, [0.5], [0.6]))["mean"].tolist() == [0.5, 0.6]


def test_seeds_that_agree_by_chance_have_the_median_variance_of_the_cells(plan: Plan) -> None:
    cells = cell_table(by_schedule(plan, [0.8, 0.8, 0.8], [0.6, 0.7, 0.8])).set_index("schedule.name")
    alone = cell_interval([0.8, 0.8, 0.8], 359, VarianceEstimate(0, math.inf))
    assert cells.loc["cosine", "high"] - cells.loc["cosine", "low"] > 1.5 * (alone[1] - alone[0])


def test_two_seeds_far_apart_need_a_third(plan: Plan) -> None:
    shown = by_schedule(plan, [0.5, 0.8], [0.8, 0.8])
    cells = cell_table(shown)
    assert cells["interval"].tolist() == ["needs 3 seeds"] * 2
    assert cells["low"].isna().all()
    assert [row[-2] for row in terminal_table(shown).rows] == ["needs 3 seeds"] * 2
    assert cell_lines(cells.iloc[0], METRICS["accuracy"], is_stacked=True) == ["65.00", "needs 3 seeds", "n = 2"]
    assert cell_lines(cells.iloc[0], METRICS["accuracy"], is_stacked=False) == ["65.00 (needs 3 seeds), n = 2"]


def test_one_seeds_interval_is_over_images_only_and_says_so(plan: Plan) -> None:
    shown = by_schedule(plan, [0.8], [0.7])
    cells = cell_table(shown)
    assert cells["interval"].tolist() == ["over test images, 1 seed"] * 2
    table = terminal_table(shown)
    assert [row[-2].endswith(" (images only)") for row in table.rows] == [True, True]
    assert table.caption == INTERVALS_NOTE


def trials_of(plan: Plan, schedule: str) -> list[Trial]:
    return [trial for trial in plan.trials if trial.candidate.cell == {"schedule.name": schedule}]


def test_a_trial_that_did_not_finish_fills_no_cell(plan: Plan) -> None:
    first, second, third = trials_of(plan, "cosine")
    records = {first.identity: finished(first.identity, 0.8, 0.8)}
    for trial, state in ((second, TrialState.INTERRUPTED), (third, TrialState.DIVERGED)):
        records[trial.identity] = replace(finished(trial.identity, 0.99, 0.99), state=state)
    cells = cell_table(plan.with_records(records))
    assert cells["n"].tolist() == [1, 0]
    assert cells["mean"][0] == pytest.approx(0.8)
    assert math.isnan(cells["mean"][1])
    assert cells["missing"].tolist() == ["1 stopped early", "3 not run"]
    assert cells["diverged"].tolist() == [1, 0], "it is a result"


def test_a_searched_cell_has_the_values_of_its_best_point_and_the_tests_of_its_trials(folders: Folders) -> None:
    """Validation values of the search are not in the table, nor are its points with a better one of their own test."""
    decay = Range(0.01, 0.1, when={"optimizer.name": "adamw"})
    space = space_of(
        scientific={"optimizer.name": ("sgd", "adamw")},
        nuisance={"optimizer.lr": (0.1, 0.2), "optimizer.weight_decay": decay},
        search=Search(num_trials=2, sampler="random"),
    )
    records = searched(space, folders, lambda config: 1 - config.optimizer.lr)
    plan = make_plan(space, space.seeds, folders, records)
    records |= {trial.identity: record_of(trial, 0.5) for trial in plan.trials if trial.candidate.config.seed == 0}
    plan = plan.with_records(records)
    cells = cell_table(plan)
    assert cells["optimizer.lr"].tolist()[0] == 0.1
    assert cells["optimizer.weight_decay"].tolist()[0] is None
    assert 0.01 <= cells["optimizer.weight_decay"].tolist()[1] <= 0.1
    assert (cells["n"].tolist(), cells["mean"].tolist()) == ([1, 1], [0.5, 0.5])
    assert len(trial_table(plan)) == len(plan.trials) == 4
    assert len(reported_trials(plan)) == 2


def test_none_is_a_value_like_any_other(tmp_path: Path, cache_dir: Path) -> None:
    space = SearchSpace(
        name="example",
        question="?",
        base=BASE,
        scientific={"optimizer.max_grad_norm": (None, 4)},
        seeds=(0,),
    )
    plan = make_plan(space, space.seeds, Folders(store=tmp_path, data=tmp_path, cache=cache_dir), {})
    cells = cell_table(plan.with_records({t.identity: finished(t.identity, 0.8, 0.8) for t in plan.trials}))
    assert cells["optimizer.max_grad_norm"].tolist() == [None, 4]
    assert cells["n"].tolist() == [1, 1]
    assert [row[0] for row in terminal_table(plan).rows] == ["None", "4"]


def test_the_trial_table_has_a_row_per_trial(plan: Plan) -> None:
    table = trial_table(plan)
    assert len(table) == len(plan.trials)
    assert table["state"].unique().tolist() == [TrialState.NEW]
    assert table["test_accuracy"].isna().all()


def test_the_terminal_shows_what_is_missing(plan: Plan) -> None:
    table = terminal_table(plan)
    assert [row[-1] for row in table.rows] == ["3 not run", "3 not run"]


def test_the_terminal_says_how_far_a_search_is(folders: Folders) -> None:
    plan = plan_of(folders, nuisance={"optimizer.momentum": (0.5, 0.9)})
    assert [row[-1] for row in terminal_table(plan).rows] == ["search at 0 of 2 points"] * 2
