"""study.analysis.recomputed."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from revit.training.metrics import METRICS, Predictions, value_of
from study.analysis.recomputed import find_wrong_results
from study.ledger.schema import value_name
from study.ledger.states import TrialState
from study.plan import Folders, Plan
from tests.study.analysis.test_measured import drawn
from tests.study.made_plans import plan_of, record_of

PREDICTIONS = drawn(0)
VALUES = {value_name(name): value_of(name, PREDICTIONS) for name, each in METRICS.items() if each.of_predictions}


def read(run_id: str, names: Sequence[str], split: str) -> Predictions:
    return PREDICTIONS


@pytest.fixture
def finished(folders: Folders) -> Plan:
    plan = plan_of(folders)
    records = {each.identity: replace(record_of(each), metrics=VALUES) for each in plan.trials}
    return plan.with_records(records)


def test_results_of_their_predictions_are_right(finished: Plan) -> None:
    assert list(find_wrong_results(finished, read)) == []


@pytest.mark.parametrize("name", ["accuracy", "loss"])
def test_a_changed_result_is_named_with_the_right_one(finished: Plan, name: str) -> None:
    trial = finished.trials[1]
    wrong = {**VALUES, value_name(name): VALUES[value_name(name)] + 0.01}
    records = {each.identity: each.record for each in finished.trials if each.record is not None}
    changed = finished.with_records({**records, trial.identity: replace(records[trial.identity], metrics=wrong)})
    [line] = find_wrong_results(changed, read)
    value = VALUES[value_name(name)]
    assert line == f"trial {trial.identity}: {name} is {value + 0.01:.6g}, and {value:.6g} by its predictions"


def test_predictions_that_are_gone_are_named(finished: Plan) -> None:
    def fail(run_id: str, names: Sequence[str], split: str) -> Predictions:
        raise FileNotFoundError

    lines = list(find_wrong_results(finished, fail))
    assert len(lines) == len(finished.trials)
    assert lines[0].endswith("its predictions cannot be read: FileNotFoundError")


def test_trials_without_a_result_are_left_out(folders: Folders) -> None:
    plan = plan_of(folders)
    records = {each.identity: record_of(each, TrialState.DIVERGED) for each in plan.trials[:2]}
    assert list(find_wrong_results(plan.with_records(records), read)) == []
