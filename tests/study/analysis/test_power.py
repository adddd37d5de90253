"""Power of seeds added to a study, compared with a simulation of them."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from study.analysis.contrasts import ContrastEstimate
from study.analysis.intervals import VarianceEstimate
from study.analysis.power import MAX_SEEDS, ClaimContrast, power_by_num_seeds


def pilot(effect: float, image_sd: float = 0.005, num_seeds: int = 3, seed_sd: float = 0.01) -> ContrastEstimate:
    return ContrastEstimate(
        effect=effect,
        seed_variance=seed_sd**2,
        prior=VarianceEstimate(0.01**2, math.inf),
        image_variance=image_sd**2,
        cell=None,
        num_seeds=num_seeds,
        test="",
        excluded_seeds=(),
    )


def better(contrast: ContrastEstimate) -> ClaimContrast:
    return ClaimContrast(contrast=contrast, num_contrasts=1, bounds=[(0.0, 1)])


@pytest.mark.parametrize("effect", [0.0, 0.01, 0.02])
@pytest.mark.parametrize("num_seeds", [5, 12, 100])
def test_power_is_how_often_later_intervals_exclude_the_bound(effect: float, num_seeds: int) -> None:
    """The simulation draws what the pilot leaves open, then new seeds, then counts intervals that exclude 0."""
    rng = np.random.default_rng(0)
    size = 20_000
    true_sd = 0.01 * np.sqrt(6 / rng.chisquare(6, size))  # its own 2 degrees of freedom, and 4 of the prior
    effect_here = effect + true_sd / math.sqrt(3) * rng.standard_normal(size)  # on these images
    new = effect_here + true_sd * rng.standard_normal((num_seeds - 3, size))
    old = effect + 0.01 * np.array([-1.0, 0.0, 1.0])[:, None] * np.ones(size)
    seeds = np.concatenate([old, new])
    own = stats.t.ppf(0.975, num_seeds - 1) * seeds.std(0, ddof=1)
    floor = stats.norm.ppf(0.975) * 0.01 * math.sqrt(4 / (4 + num_seeds - 1))
    half_width = np.hypot(np.maximum(own, floor) / math.sqrt(num_seeds), stats.norm.ppf(0.975) * 0.005)
    [power] = power_by_num_seeds([better(pilot(effect))])
    assert power[num_seeds] == pytest.approx((np.abs(seeds.mean(0)) > half_width).mean(), abs=0.03)


def test_more_seeds_do_not_make_up_for_few_images() -> None:
    """No number of seeds suffices if the effect is within the image variance."""
    [power] = power_by_num_seeds([better(pilot(0.02, image_sd=0.05))])
    assert np.nanmax(power) < 0.01
    [power] = power_by_num_seeds([better(pilot(0.02, image_sd=0.0))])
    assert power[MAX_SEEDS] > 0.95


def test_other_inconclusive_claims_lower_the_power() -> None:
    [alone] = power_by_num_seeds([better(pilot(0.015))])
    beside_open, *_ = power_by_num_seeds([better(pilot(0.015)), better(pilot(0.0, image_sd=0.05))])
    beside_clear, *_ = power_by_num_seeds([better(pilot(0.015)), better(pilot(0.2))])
    assert beside_open[20] < beside_clear[20] == pytest.approx(alone[20], abs=0.001)


@pytest.mark.parametrize("num_seeds", [1, 2, MAX_SEEDS, MAX_SEEDS + 1])
def test_power_is_nan_for_too_few_or_too_many_seeds(num_seeds: int) -> None:
    [power] = power_by_num_seeds([better(pilot(0.01, num_seeds=num_seeds))])
    assert np.isnan(power).all()


def test_a_pilot_without_variance_has_a_power() -> None:
    contrast = pilot(0.001, seed_sd=0.0)
    [power] = power_by_num_seeds([better(contrast)])
    assert np.isfinite(power[4:]).all()


def test_equivalence_needs_both_bounds() -> None:
    claim = ClaimContrast(contrast=pilot(0.0), num_contrasts=1, bounds=[(0.02, -1), (-0.02, 1)])
    [power] = power_by_num_seeds([claim])
    assert 0.5 < power[20] < power[MAX_SEEDS] <= 1


def test_one_of_several_alternatives_is_found_less_often() -> None:
    """Each is tested at its share of the level, as each of several claims is."""
    claim = better(pilot(0.02))
    [alone] = power_by_num_seeds([claim])
    [of_many] = power_by_num_seeds([replace(claim, num_alternatives=10)])
    assert np.all(of_many[4:12] < alone[4:12])
