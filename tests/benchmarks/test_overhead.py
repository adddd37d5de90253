"""A handful of trials, in the Ray that tests share: it says nothing about speed."""

import math

import pytest

from benchmarks.overhead import SPACE, measure
from revit.training.fine_tune import NUM_REPORTS


@pytest.mark.long  # short: test_study_time.py
def test_both_ways_train_and_are_timed(ray_cluster: None, one_slot: None) -> None:
    lines = measure(tiny=True)
    assert [line.what for line in lines] == [
        "overhead per trial, 2 trials, with MLflow",
        "overhead per trial, 2 trials, with MLflow",
        "overhead per trial, 2 trials",
        "growth of the driver's memory from trial 1 to 2",
    ]
    assert all(math.isfinite(line.ratio) for line in lines)


def test_a_trial_reports_five_times() -> None:
    assert SPACE.base is not None
    assert SPACE.base.steps == 5 <= NUM_REPORTS
