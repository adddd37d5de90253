"""How many seeds would decide a claim, added to a study that has some: its test images stay the same.

The study's seeds are a pilot. What more seeds would show is predicted from it: the effect on these images, known up to
what the pilot's seeds leave open, and the variance between seeds, known up to its chi-square distribution. New images
are not among what more seeds show, so their part of an interval stays as wide as it is. The prediction is the mean
over all that the pilot leaves open, of how often the seeds' interval would end beyond the claim's bounds.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from study.analysis.contrasts import ContrastEstimate
from study.analysis.intervals import LEVEL, PRIOR_DF, variance_floor

Array = NDArray[np.float64]

POWER = 0.8
MAX_SEEDS = 100
MIN_PILOT_SEEDS = 3
"""Seeds from which on the spread between them says enough to plan with."""


@dataclass(frozen=True, kw_only=True)
class InconclusiveClaim:
    """A claim that its study's seeds leave inconclusive.

    Attributes:
        comparison: that it rests on.
        num_comparisons: how many it rests on.
        bounds: that the effect is to be beyond, each with the direction (1 above, -1 below).
    """

    comparison: ContrastEstimate
    num_comparisons: int
    bounds: Sequence[tuple[float, int]]


def power_by_num_seeds(claims: Sequence[InconclusiveClaim]) -> list[Array]:
    """Return the probability of a verdict on each open claim, either way, by number of seeds: (MAX_SEEDS + 1,).

    Holm's correction is over the claims that are open with so many seeds: first all of them, then as many as this
    leaves open on average. NaN where a claim cannot be planned, and up to the seeds that there are.
    """
    first = [_chance(claim, np.full(MAX_SEEDS + 1, float(len(claims)))) for claim in claims]
    still_open = np.sum([1 - np.nan_to_num(chance) for chance in first], axis=0)
    return [_chance(claim, still_open + np.nan_to_num(chance)) for claim, chance in zip(claims, first, strict=True)]


def _chance(claim: InconclusiveClaim, num_open: Array) -> Array:
    """Return the probability of a verdict by number of seeds, where so many claims are open."""
    pilot, chance = claim.comparison.num_seeds, np.full(MAX_SEEDS + 1, np.nan)
    if pilot < MIN_PILOT_SEEDS:
        return chance
    num_seeds = np.arange(pilot + 1, MAX_SEEDS + 1)
    level = LEVEL / 2 / num_open[pilot + 1 :]
    beyond = [direction * (claim.comparison.effect - bound) for bound, direction in claim.bounds]
    for_it = [_chance_beyond(claim.comparison, each, level, num_seeds) for each in beyond]
    against_it = [_chance_beyond(claim.comparison, -each, level / claim.num_comparisons, num_seeds) for each in beyond]
    all_bounds = np.maximum(np.sum(for_it, axis=0) - (len(for_it) - 1), 0)
    chance[pilot + 1 :] = np.minimum(all_bounds + np.sum(against_it, axis=0), 1)
    return chance


def _chance_beyond(comparison: ContrastEstimate, distance: float, level: Array, num_seeds: NDArray[np.int_]) -> Array:
    """Return the probability that the limit of the effect lies beyond a bound which it is `distance` beyond now.

    The share of equally likely futures, (K,) for K numbers of seeds: of true variances that the pilot leaves open, and
    of differences between the new seeds' mean and the pilot's. New seeds far from the pilot's also widen the interval.
    """
    assert comparison.known is not None, "several seeds"
    pilot, pilot_df, num_new = comparison.num_seeds, comparison.num_seeds - 1, num_seeds - comparison.num_seeds
    planned = (pilot_df * comparison.seed_variance + PRIOR_DF * comparison.known.variance) / (pilot_df + PRIOR_DF)
    true = planned * _variance_ratios(pilot_df + PRIOR_DF)
    difference = _deviates() * np.sqrt(true * num_seeds / (pilot * num_new))
    squares = pilot_df * comparison.seed_variance + (num_new - 1) * true + pilot * num_new / num_seeds * difference**2
    student, normal = special.stdtrit(num_seeds - 1, level), special.ndtri(level)
    floor = variance_floor(comparison.known.variance, num_seeds)
    by_seed = np.maximum(student**2 * squares / (num_seeds - 1), normal**2 * floor) / num_seeds
    half_width = np.sqrt(by_seed + normal**2 * comparison.image_variance)
    return np.asarray((distance + num_new / num_seeds * difference > half_width).mean((0, 1)))


@functools.cache
def _variance_ratios(df: int) -> Array:
    """Return true over sample variance, equally likely values: (9, 1, 1)."""
    return np.asarray(df / special.chdtri(df, (np.arange(9) + 0.5) / 9))[:, None, None]


@functools.cache
def _deviates() -> Array:
    """Return equally likely values of a standard normal number: (19, 1)."""
    return np.asarray(special.ndtri((np.arange(19) + 0.5) / 19))[:, None]
