"""States of planned trials whose records are made up."""

from dataclasses import replace

import pytest

from search_spaces.framework.search import Search
from study.analysis.results import cell_table
from study.ledger.records import TrialRecord
from study.ledger.states import TrialState
from study.live.snapshot import cells_of, find_phase, key_of, summarize_trials, with_records
from study.live.study_state import Phase
from study.plan import Folders, Plan
from study.trial import Trial
from tests.study.made_plans import plan_of, record_of


@pytest.fixture
def plan(folders: Folders) -> Plan:
    """Two learning rates by two seeds."""
    return plan_of(folders)


def running_record(trial: Trial, **metrics: float) -> TrialRecord:
    return replace(record_of(trial, TrialState.RUNNING), last_step=3, metrics=metrics)


def test_trials_are_counted_by_state_and_failures_by_kind(plan: Plan) -> None:
    one, two, three, _ = plan.trials
    failed = record_of(two, TrialState.FAILED, failure="data", message="x.png is missing")
    records = [record_of(one), failed, record_of(three, TrialState.DIVERGED)]
    found = summarize_trials(plan.with_records({each.identity: each for each in records}).trials, (), 5)
    assert found.counts == {"new": 6, "finished": 1, "diverged": 1, "failed": 1}
    assert found.failures == {"data": 1, "diverged": 1}
    assert found.newest_failure == "x.png is missing"
    assert found.running == ()


def test_a_running_trial_has_its_step_rate_and_newest_accuracy(plan: Plan) -> None:
    trial = plan.trials[0]
    record = running_record(trial, images_per_s=256.0, val_accuracy=0.75)
    trials = plan.with_records({trial.identity: record}).trials
    (found,) = summarize_trials(trials, {trial.identity}, 0).running
    assert (found.trial, found.step, found.num_steps) == ("lr=0.1 seed=0", 3, 5)
    assert found.steps_per_s == 256 / trial.candidate.config.batch_size
    assert found.val_accuracy == 0.75


def test_a_trial_of_a_dead_launch_is_interrupted(plan: Plan) -> None:
    trial = plan.trials[0]
    dead = plan.with_records({trial.identity: running_record(trial)})
    assert summarize_trials(dead.trials, (), 0).counts == {"new": 3, "interrupted": 1}
    assert next(cells_of(dead, ())).status == "1 stopped early, 1 not run"
    assert next(cells_of(dead, {trial.identity})).status == "1 still running, 1 not run"


def test_cells_fill_in_with_the_means_and_intervals_of_the_table(plan: Plan) -> None:
    half = plan.with_records({trial.identity: record_of(trial, 0.5) for trial in plan.trials[:3]})
    one, two = cells_of(half, ())
    assert (one.cell, one.mean, one.num_finished, one.num_seeds, one.status) == ("lr=0.1", 0.5, 2, 2, "")
    assert (two.cell, two.mean, two.num_finished, two.status) == ("lr=0.2", 0.5, 1, "1 not run")
    table = cell_table(half).to_dict("records")
    assert [(each.low, each.high) for each in (one, two)] == [(row["low"], row["high"]) for row in table]
    empty = next(cells_of(plan, ()))
    assert (empty.mean, empty.low, empty.high) == (None, None, None)


def test_a_metric_without_replicates_has_a_mean_and_no_interval(folders: Folders) -> None:
    plan = plan_of(folders, metric="macro_f1")
    (one, _) = cells_of(plan.with_records({trial.identity: record_of(trial, 0.5) for trial in plan.trials}), ())
    assert (one.mean, one.low, one.high) == (0.5, None, None)


def test_newer_records_and_what_a_search_has_decided_are_in_the_cells(folders: Folders) -> None:
    changes = {
        "scientific": {"optimizer.name": ("sgd",)},
        "nuisance": {"optimizer.lr": (0.1, 0.2)},
        "search": Search(num_trials=2),
        "seeds": (0,),
    }
    plan = plan_of(folders, **changes)
    awaiting = plan.trials[0]
    assert awaiting.awaits
    decided = replace(awaiting, identity="decided", awaits="")
    shown = with_records(plan, {"decided": record_of(decided, 0.25)}, {key_of(decided): decided})
    assert next(cells_of(shown, ())).mean == 0.25
    assert next(cells_of(plan, ())).mean is None


def test_phases(plan: Plan) -> None:
    finished = plan.with_records({trial.identity: record_of(trial) for trial in plan.trials})
    assert find_phase([plan], is_running=True, num_failed=1) == Phase.RUNNING
    assert find_phase([finished], is_running=False, num_failed=0) == Phase.FINISHED
    assert find_phase([finished, plan], is_running=False, num_failed=0) == Phase.INCOMPLETE
    assert find_phase([finished, plan], is_running=False, num_failed=1) == Phase.FAILED
