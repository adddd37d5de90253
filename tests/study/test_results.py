import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from revit.config import FineTuneConfig
from search_spaces.space import SearchSpace
from study.plan import Folders, Plan, Trial, make_plan
from study.records import TrialRecord
from study.results import cell_table, seed_interval, trial_table
from study.tables import terminal_table

BASE = FineTuneConfig(dataset="digits", resolution=8, steps=5)


def finished(identity: str, test: float, val: float) -> TrialRecord:
    metrics = {"test_accuracy": test, "chosen_val_accuracy": val}
    return TrialRecord(
        run_id="r",
        identity=identity,
        outcome="finished",
        last_step=5,
        metrics=metrics,
        params={},
        tags={},
    )


@pytest.fixture
def plan(tmp_path: Path, cache_dir: Path) -> Plan:
    """Two schedules, two learning rates to choose from, three seeds; nothing run yet."""
    space = SearchSpace(
        name="example",
        question="?",
        base=BASE,
        scientific={"schedule.name": ("cosine", "linear")},
        nuisance={"optimizer.lr": (0.1, 0.2)},
    )
    return make_plan(space, space.seeds, Folders(store=tmp_path, data=tmp_path, cache=cache_dir), {})


def test_an_interval_over_seeds_is_students_t() -> None:
    accuracies = [0.81, 0.84, 0.80, 0.86]
    low, high, kind = seed_interval(accuracies, 359)
    assert (low, high) == pytest.approx(DescrStatsW(accuracies).tconfint_mean())
    assert kind == "t over seeds"


def test_one_seed_gives_wilsons_interval_of_the_count() -> None:
    low, high, kind = seed_interval([914 / 1020], 1020)
    assert (low, high) == pytest.approx(proportion_confint(914, 1020, method="wilson"))
    assert kind == "Wilson, 1 seed"


def test_intervals_stay_between_0_and_1() -> None:
    low, high, _ = seed_interval([0.9, 1.0, 1.0], 10)
    assert 0 <= low < high == 1


def test_the_interval_covers_as_often_as_it_says() -> None:
    """2,000 studies of 3 seeds around a known accuracy: 95 % within Monte Carlo error."""
    draws = stats.norm(0.8, 0.02).rvs((2000, 3), random_state=np.random.default_rng(0))
    covered = [low <= 0.8 <= high for low, high, _ in (seed_interval(list(seeds), 359) for seeds in draws)]
    assert np.mean(covered) == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / 2000))


def test_validation_chooses_and_test_reports(plan: Plan) -> None:
    """The learning rate that looks better on test is not taken when validation prefers the other."""
    records = {}
    for trial in plan.trials:
        high_lr = trial.candidate.nuisance["optimizer.lr"] == 0.2
        test, val = (0.9, 0.7) if high_lr else (0.8, 0.75)
        records[trial.identity] = finished(trial.identity, test + trial.candidate.config.seed / 100, val)
    cells = cell_table(plan.with_records(records))
    assert cells["optimizer.lr"].tolist() == [0.1, 0.1]
    assert cells["mean"].tolist() == pytest.approx([0.81, 0.81])
    assert cells["n"].tolist() == [3, 3]


def test_a_trial_that_did_not_finish_fills_no_cell(plan: Plan) -> None:
    records = {t.identity: finished(t.identity, 0.8, 0.8) for t in points(plan, "cosine", 0.1)}
    stopped = points(plan, "cosine", 0.2)[0].identity
    records[stopped] = TrialRecord(
        run_id="r", identity=stopped, outcome="interrupted", last_step=3,
        metrics={"test_accuracy": 0.99, "chosen_val_accuracy": 0.99}, params={}, tags={},
    )  # fmt: skip
    cells = cell_table(plan.with_records(records))
    assert cells["n"].tolist() == [3, 0]
    assert cells["mean"][0] == pytest.approx(0.8)
    assert math.isnan(cells["mean"][1])
    assert cells["missing"].tolist() == ["1 stopped early, 2 not run", "6 not run"]


def points(plan: Plan, schedule: str, lr: float | None) -> list[Trial]:
    wanted = {"schedule.name": schedule, "optimizer.lr": lr}
    return [trial for trial in plan.trials if trial.candidate.point == wanted]


def test_a_point_that_did_not_finish_whole_is_not_chosen(plan: Plan) -> None:
    """One lucky survivor of a learning rate that diverges elsewhere is no best value."""
    records = {t.identity: finished(t.identity, 0.7, 0.7) for t in points(plan, "cosine", 0.1)}
    lucky, *others = points(plan, "cosine", 0.2)
    records[lucky.identity] = finished(lucky.identity, 0.95, 0.95)
    for trial in others:
        records[trial.identity] = TrialRecord(
            run_id="r",
            identity=trial.identity,
            outcome="diverged",
            last_step=1,
            metrics={},
            params={},
            tags={},
        )
    cells = cell_table(plan.with_records(records))
    assert cells["mean"][0] == pytest.approx(0.7)
    assert cells["n"][0] == 3
    assert cells["missing"][0] == "2 diverged"


def test_none_is_a_value_like_any_other(tmp_path: Path, cache_dir: Path) -> None:
    space = SearchSpace(
        name="example",
        question="?",
        base=BASE,
        scientific={"optimizer.clip_norm": (None, 4)},
        nuisance={"optimizer.momentum": (0.5, 0.9)},
        seeds=(0,),
    )
    plan = make_plan(space, space.seeds, Folders(store=tmp_path, data=tmp_path, cache=cache_dir), {})
    cells = cell_table(plan.with_records({t.identity: finished(t.identity, 0.8, 0.8) for t in plan.trials}))
    assert cells["optimizer.clip_norm"].tolist() == [None, 4]
    assert cells["n"].tolist() == [1, 1]
    assert list(terminal_table(plan).columns[0].cells) == ["None", "4"]


def test_every_trial_has_its_row(plan: Plan) -> None:
    table = trial_table(plan)
    assert len(table) == len(plan.trials)
    assert table["state"].unique().tolist() == ["new"]
    assert table["test_accuracy"].isna().all()


def test_the_terminal_shows_what_is_missing(plan: Plan) -> None:
    table = terminal_table(plan)
    assert table.row_count == 2
    assert list(table.columns[-1].cells) == ["6 not run", "6 not run"]
