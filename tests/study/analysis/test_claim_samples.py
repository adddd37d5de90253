"""Samples of claims, with their units."""

import math

import pytest

from revit.training.metrics import METRICS
from search_spaces.framework.claims import BetterThan
from study.analysis.claim_samples import Sample, Unit, metric_of, unit_of
from study.analysis.contrasts import TrialResult
from study.analysis.intervals import VarianceEstimate

LESS = BetterThan(better={"a": 1}, worse={"a": 2}, metric="peak_memory_bytes", relative=True, quote="")
MORE = BetterThan(better={"a": 1}, worse={"a": 2}, metric="train_images_per_s", relative=True, quote="")
PLAIN = BetterThan(better={"a": 1}, worse={"a": 2}, quote="")


@pytest.mark.parametrize(("claim", "better", "worse", "percent"), [(LESS, 90, 100, 10), (MORE, 110, 100, 10)])
def test_relative_effects_are_in_percent_of_the_worse(
    claim: BetterThan, better: float, worse: float, percent: float
) -> None:
    metric = metric_of(claim, METRICS["accuracy"])
    unit = unit_of(claim, metric)
    effect = metric.sign * (math.log(better) - math.log(worse))
    assert unit.show(effect) == pytest.approx(percent)
    assert unit.read(percent) == pytest.approx(effect)


def test_other_effects_are_in_the_unit_of_the_metric() -> None:
    assert metric_of(PLAIN, METRICS["loss"]) is METRICS["loss"]
    assert unit_of(PLAIN, METRICS["accuracy"]) == Unit(100)
    assert (Unit(100).show(0.05), Unit(100).read(5)) == (5, 0.05)


def test_logarithms_have_relative_variances() -> None:
    prior = VarianceEstimate(4.0, 3)
    trial = TrialResult(point={}, seed=0, value=200.0, num_test=None, correct=None, prior_variance=prior)
    sample = Sample.of(METRICS["peak_memory_bytes"], [trial]).in_logs()
    (log,) = sample.by_point[frozenset()].values()
    assert (log.value, log.prior_variance) == (math.log(200), VarianceEstimate(4 / 200**2, 3))
