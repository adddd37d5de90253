"""Which models a study keeps."""

from dataclasses import replace
from pathlib import Path

import pytest

from revit.config import FineTuneConfig
from study.kept_models import best_trial
from study.ledger.records import TrialRecord
from study.ledger.states import TrialState
from study.plan import Folders, Plan
from tests.study.made_plans import plan_of, record_of

BASE = FineTuneConfig(dataset="digits", resolution=8, steps=5, val_fraction=0.1)


@pytest.fixture
def folders(tmp_path: Path, cache_dir: Path) -> Folders:
    return Folders(store=tmp_path, data=tmp_path, cache=cache_dir)


def one_cell(folders: Folders, *values: float | TrialState | None, metric: str = "accuracy") -> Plan:
    """A cell whose seeds have these values on validation images, and the better ones the worse test results."""
    plan = plan_of(
        folders, base=BASE, scientific={"optimizer.lr": (0.1,)}, seeds=tuple(range(len(values))), metric=metric
    )
    ended = [record_of(trial, value) for trial, value in zip(plan.trials, values, strict=True) if value is not None]
    return plan.with_records({each.identity: with_opposite_test(each) for each in ended})


def with_opposite_test(record: TrialRecord) -> TrialRecord:
    metrics = {name: -value if name.startswith("test_") else value for name, value in record.metrics.items()}
    return replace(record, metrics=metrics)


@pytest.mark.parametrize(
    ("values", "metric", "best"),
    [
        ((0.5, 0.7, 0.6), "accuracy", 1),
        ((0.5, 0.7, 0.6), "loss", 0),
        ((0.5, 0.7, 0.7), "accuracy", 1),  # of equal ones the lowest seed
        ((0.5, 0.5, 0.5), "loss", 0),
        ((0.5, TrialState.DIVERGED, 0.6, TrialState.FAILED, None), "accuracy", 2),
        ((TrialState.DIVERGED, None), "accuracy", None),
    ],
)
def test_the_best_seed_of_a_cell_has_the_best_value_on_validation_images(
    folders: Folders, values: tuple[float | TrialState | None, ...], metric: str, best: int | None
) -> None:
    trials = one_cell(folders, *values, metric=metric).trials
    for order in (trials, trials[::-1]):
        found = best_trial(order, metric)
        assert (found and found.candidate.config.seed) == best


def test_no_seed_is_the_best_while_one_lacks_the_value(folders: Folders) -> None:
    plan = one_cell(folders, 0.5, 0.7)
    first = plan.trials[0].record
    assert first is not None
    without = replace(first, metrics={"test_accuracy": 0.9})
    trials = [replace(plan.trials[0], record=without), plan.trials[1]]
    assert best_trial(trials, "accuracy") is None
