"""Intervals of an accuracy, compared with those of statsmodels."""

import math

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from study.analysis.intervals import (
    VarianceEstimate,
    cell_interval,
    median_variance,
    pooled_variance,
    seed_half_width,
)

NOTHING = VarianceEstimate(0.0, math.inf)
MANY = 10**12
"""Number of test images at which they are no source of variance."""


def test_without_image_variance_it_is_students_t_interval() -> None:
    accuracies = [0.81, 0.84, 0.80, 0.86]
    assert cell_interval(accuracies, MANY, NOTHING) == pytest.approx(DescrStatsW(accuracies).tconfint_mean(), abs=1e-6)


@pytest.mark.parametrize("count", [0, 1, 914, 1019, 1020])
def test_one_seed_has_the_exact_interval_of_its_count(count: int) -> None:
    expected = proportion_confint(count, 1020, method="beta")
    assert cell_interval([count / 1020], 1020, NOTHING) == pytest.approx(expected)


def test_seed_and_image_parts_add_in_squares() -> None:
    accuracies, num_test = [0.81, 0.84, 0.80, 0.86], 400
    mean = np.mean(accuracies)
    seeds = mean - DescrStatsW(accuracies).tconfint_mean()[0]
    low, high = proportion_confint(mean * num_test, num_test, method="beta")
    expected = (mean - math.hypot(seeds, mean - low), mean + math.hypot(seeds, high - mean))
    assert cell_interval(accuracies, num_test, NOTHING) == pytest.approx(expected)


def test_more_seeds_do_not_reduce_the_image_part() -> None:
    """A thousand seeds that agree have the image variance of one."""
    assert cell_interval([0.9] * 1000, 200, NOTHING) == pytest.approx(cell_interval([0.9], 200, NOTHING))


def test_an_interval_always_has_width_and_stays_between_0_and_1() -> None:
    for accuracy in (0.0, 1.0):
        low, high = cell_interval([accuracy] * 3, 40, NOTHING)
        assert 0 <= low < high <= 1
    low, high = cell_interval([0.9, 1.0, 1.0], 10, NOTHING)
    assert 0 <= low < high == 1


def test_the_median_variance_is_unbiased() -> None:
    rng = np.random.default_rng(0)
    for num_seeds in (2, 3, 5):
        found = median_variance(0.9 + 0.01 * rng.standard_normal((20_001, num_seeds)))
        assert found.variance == pytest.approx(1e-4, rel=0.03)
    assert median_variance([[0.9], []]) == NOTHING


def test_one_unstable_cell_does_not_change_the_median_variance() -> None:
    steady = [[0.90, 0.91, 0.92], [0.80, 0.81, 0.82], [0.70, 0.71, 0.72]]
    assert median_variance([*steady, [0.1, 0.5, 0.9]]) == pytest.approx(median_variance(steady))
    assert pooled_variance([*steady, [0.1, 0.5, 0.9]]).variance > 100 * pooled_variance(steady).variance


def test_the_pooled_variance_is_the_mean_square_within_cells() -> None:
    assert pooled_variance([[0.1, 0.3], [0.5, 0.5, 0.8], [0.4]]) == pytest.approx((0.08 / 3, 3))
    assert pooled_variance([[0.4], [0.5]]) is None


def test_seeds_that_agree_by_chance_have_the_prior_variance() -> None:
    prior = VarianceEstimate(0.02**2, math.inf)
    assert seed_half_width(0.0, 4, prior, 0.025) == pytest.approx(1.96 * 0.02 / 2 * (4 / 7) ** 0.5, rel=1e-4)
    assert seed_half_width(0.1**2, 4, prior, 0.025) == seed_half_width(0.1**2, 4, NOTHING, 0.025)
