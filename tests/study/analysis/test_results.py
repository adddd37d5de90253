"""Tables of trials or cells, with selection by validation."""

import math
from pathlib import Path

import pytest

from revit.config import FineTuneConfig
from revit.training.metrics import METRICS
from search_spaces.framework.space import SearchSpace
from study.analysis.intervals import INTERVALS_NOTE, VarianceEstimate, cell_interval, median_variance
from study.analysis.results import cell_table, trial_table
from study.ledger.records import TrialRecord
from study.ledger.states import TrialState
from study.plan import Folders, Plan
from study.planning import make_plan
from study.report.paper_tables import cell_lines
from study.report.terminal_tables import terminal_table
from study.trial import Trial

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
    """A plan of two schedules, two learning rates to select from, three seeds, of which nothing is run yet."""
    space = SearchSpace(
        name="example",
        question="?",
        base=BASE,
        scientific={"schedule.name": ("cosine", "linear")},
        nuisance={"optimizer.lr": (0.1, 0.2)},
    )
    return make_plan(space, space.seeds, Folders(store=tmp_path, data=tmp_path, cache=cache_dir), {})


def test_validation_selects_the_point_whose_test_accuracy_is_reported(plan: Plan) -> None:
    """The learning rate with the better test accuracy is not selected if its validation accuracy is worse."""
    records = {}
    for trial in plan.trials:
        high_lr = trial.candidate.nuisance["optimizer.lr"] == 0.2
        test, val = (0.9, 0.7) if high_lr else (0.8, 0.75)
        records[trial.identity] = finished(trial.identity, test + trial.candidate.config.seed / 100, val)
    cells = cell_table(plan.with_records(records))
    assert cells["optimizer.lr"].tolist() == [0.1, 0.1]
    assert cells["mean"].tolist() == pytest.approx([0.81, 0.81])
    assert cells["n"].tolist() == [3, 3]


def by_schedule(plan: Plan, cosine: list[float], linear: list[float]) -> Plan:
    """Return the plan with a test accuracy for each seed of its two cells, at one learning rate."""
    accuracies = {"cosine": cosine, "linear": linear}
    records = {}
    for schedule, by_seed in accuracies.items():
        for trial, accuracy in zip(points(plan, schedule, 0.1), by_seed, strict=False):
            records[trial.identity] = finished(trial.identity, accuracy, 0.8)
    kept = [trial for trial in plan.trials if trial.identity in records]
    return Plan(space=plan.space, trials=kept).with_records(records)


def test_a_cells_interval_is_over_its_seeds_and_images(plan: Plan) -> None:
    cells = cell_table(by_schedule(plan, [0.8, 0.82, 0.9], [0.7, 0.75, 0.74])).set_index("schedule.name")
    prior = median_variance([[0.8, 0.82, 0.9], [0.7, 0.75, 0.74]])
    expected = cell_interval([0.8, 0.82, 0.9], 359, prior)
    assert (cells.loc["cosine", "low"], cells.loc["cosine", "high"]) == expected
    assert cells["interval"].tolist() == ["over seeds and test images"] * 2


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


def test_a_trial_that_did_not_finish_fills_no_cell(plan: Plan) -> None:
    records = {t.identity: finished(t.identity, 0.8, 0.8) for t in points(plan, "cosine", 0.1)}
    stopped = points(plan, "cosine", 0.2)[0].identity
    records[stopped] = TrialRecord(
        run_id="r", identity=stopped, state=TrialState.INTERRUPTED, last_step=3,
        metrics={"test_accuracy": 0.99, "selected_val_accuracy": 0.99}, params={}, tags={},
    )  # fmt: skip
    cells = cell_table(plan.with_records(records))
    assert cells["n"].tolist() == [3, 0]
    assert cells["mean"][0] == pytest.approx(0.8)
    assert math.isnan(cells["mean"][1])
    assert cells["missing"].tolist() == ["1 stopped early, 2 not run", "6 not run"]


def points(plan: Plan, schedule: str, lr: float | None) -> list[Trial]:
    wanted = {"schedule.name": schedule, "optimizer.lr": lr}
    return [trial for trial in plan.trials if trial.candidate.point == wanted]


def test_an_incomplete_point_is_not_selected(plan: Plan) -> None:
    """One finished seed of a learning rate whose other seeds diverged is not the best value."""
    records = {t.identity: finished(t.identity, 0.7, 0.7) for t in points(plan, "cosine", 0.1)}
    lucky, *others = points(plan, "cosine", 0.2)
    records[lucky.identity] = finished(lucky.identity, 0.95, 0.95)
    for trial in others:
        records[trial.identity] = TrialRecord(
            run_id="r",
            identity=trial.identity,
            state=TrialState.DIVERGED,
            last_step=1,
            metrics={},
            params={},
            tags={},
        )
    cells = cell_table(plan.with_records(records))
    assert cells["mean"][0] == pytest.approx(0.7)
    assert cells["n"][0] == 3
    assert (cells["diverged"][0], cells["missing"][0]) == (2, ""), "it is a result"


def test_none_is_a_value_like_any_other(tmp_path: Path, cache_dir: Path) -> None:
    space = SearchSpace(
        name="example",
        question="?",
        base=BASE,
        scientific={"optimizer.max_grad_norm": (None, 4)},
        nuisance={"optimizer.momentum": (0.5, 0.9)},
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
    assert [row[-1] for row in table.rows] == ["6 not run", "6 not run"]
