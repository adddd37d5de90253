"""Power of seeds added to a study: the probability that they decide a claim, on the same test images.

The study's seeds are a pilot. More seeds show the effect on these images, of which the pilot leaves some uncertainty,
with a variance between seeds that is known up to its chi-square distribution. They show no new images, so the image
part of an interval keeps its width. Power is the mean, over what the pilot leaves open, of how often the new interval
ends beyond the claim's bounds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from study.analysis.contrasts import ContrastEstimate
from study.analysis.intervals import LEVEL, PRIOR_DF, variance_floor

Array = NDArray[np.float64]

POWER = 0.8
MAX_SEEDS = 100
MIN_PILOT_SEEDS = 3
"""Fewest seeds whose variance is good enough to plan with."""


@dataclass(frozen=True, kw_only=True)
class ClaimContrast:
    """A claim's limiting contrast, with the bounds that decide it.

    Attributes:
        contrast: the limiting one, which supports the claim least.
        num_contrasts: all of which must hold.
        num_alternatives: contrasts in the place of each, of which one must hold.
        bounds: that the effect must lie beyond, each with its direction (1 above, -1 below).
    """

    contrast: ContrastEstimate
    num_contrasts: int
    num_alternatives: int = 1
    bounds: Sequence[tuple[float, int]]


class SeedPlan(NamedTuple):
    """Forecast of what further seeds do for an inconclusive claim.

    Attributes:
        required_seeds: seeds per cell that decide it with probability POWER; None if too many, or unknown.
        power: probability that they decide it, else the most seeds there may be; None if unknown.
        expected_seeds: mean number of seeds at which a sequential design ends; None where there is none.
        text: the same in words; empty if unknown.
    """

    required_seeds: int | None = None
    power: float | None = None
    expected_seeds: float | None = None
    text: str = ""


PlanSeeds = Callable[[Sequence[ClaimContrast]], list[SeedPlan]]
"""Function of all inconclusive claims of a study, which plans the seeds of each."""


def plan_seeds(claims: Sequence[ClaimContrast]) -> list[SeedPlan]:
    """Return the fewest seeds that reach POWER for each inconclusive claim; without any, the power of MAX_SEEDS."""
    return [_plan(curve) for curve in power_by_num_seeds(claims)]


def _plan(curve: Array) -> SeedPlan:
    if np.isnan(curve[-1]):
        return SeedPlan()
    enough = np.flatnonzero(curve >= POWER)
    required = int(enough[0]) if len(enough) else None
    power = float(curve[-1 if required is None else required])
    number = f"required seeds {required}" if required else f"required seeds > {MAX_SEEDS}"
    text = f"{number} at the observed effect (power {100 * power:.0f} % with {required or MAX_SEEDS})"
    return SeedPlan(required, power, text=text)


def power_by_num_seeds(claims: Sequence[ClaimContrast]) -> list[Array]:
    """Return the probability of a verdict on each inconclusive claim, either way, by number of seeds: (MAX_SEEDS + 1,).

    Holm's correction is over the claims that are still inconclusive with so many seeds: first all of them, then the
    number that this leaves inconclusive on average. NaN where a claim cannot be planned, and up to the seeds there are.
    """
    first = [_power(claim, np.full(MAX_SEEDS + 1, float(len(claims)))) for claim in claims]
    num_inconclusive = np.sum([1 - np.nan_to_num(power) for power in first], axis=0)
    return [_power(claim, num_inconclusive + np.nan_to_num(power)) for claim, power in zip(claims, first, strict=True)]


def _power(claim: ClaimContrast, num_claims: Array) -> Array:
    pilot, power = claim.contrast.num_seeds, np.full(MAX_SEEDS + 1, np.nan)
    if pilot < MIN_PILOT_SEEDS:
        return power
    num_seeds = np.arange(pilot + 1, MAX_SEEDS + 1)
    level = LEVEL / 2 / num_claims[pilot + 1 :]
    beyond = [direction * (claim.contrast.effect - bound) for bound, direction in claim.bounds]
    supported = [
        _probability_beyond(claim.contrast, each, level / claim.num_alternatives, num_seeds) for each in beyond
    ]
    contradicted = [
        _probability_beyond(claim.contrast, -each, level / claim.num_contrasts, num_seeds) for each in beyond
    ]
    all_bounds = np.maximum(np.sum(supported, axis=0) - (len(supported) - 1), 0)
    power[pilot + 1 :] = np.minimum(all_bounds + np.sum(contradicted, axis=0), 1)
    return power


def _probability_beyond(
    contrast: ContrastEstimate, distance: float, level: Array, num_seeds: NDArray[np.int_]
) -> Array:
    """Return the probability that the limit of the effect will lie beyond a bound, by number of seeds: (K,).

    It is the share of equally likely futures: of true variances that the pilot leaves open, and of differences between
    the new seeds' mean and the pilot's. New seeds far from the pilot's also widen the interval.

    Args:
        distance: by which the effect is beyond the bound now.
        level: one-sided, (K,).
        num_seeds: pilot included, (K,).
    """
    assert contrast.prior is not None, "several seeds"
    pilot, pilot_df, num_new = contrast.num_seeds, contrast.num_seeds - 1, num_seeds - contrast.num_seeds
    expected = (pilot_df * contrast.seed_variance + PRIOR_DF * contrast.prior.variance) / (pilot_df + PRIOR_DF)
    df = pilot_df + PRIOR_DF
    variance_ratios = df / special.chdtri(df, (np.arange(9) + 0.5) / 9)  # true to sample variance, equally likely
    normal_quantiles = special.ndtri((np.arange(19) + 0.5) / 19)
    true = expected * variance_ratios[:, None, None]
    difference = normal_quantiles[:, None] * np.sqrt(true * num_seeds / (pilot * num_new))
    squares = pilot_df * contrast.seed_variance + (num_new - 1) * true + pilot * num_new / num_seeds * difference**2
    half_width = future_half_width(contrast, squares, num_seeds, level)
    return np.asarray((distance + num_new / num_seeds * difference > half_width).mean((0, 1)))


def future_half_width(
    contrast: ContrastEstimate, squares: Array, num_seeds: int | NDArray[np.int_], level: float | Array
) -> Array:
    """Return the half width of an interval of the same contrast with other seeds (`ContrastEstimate.half_width`).

    Args:
        squares: sum of squared deviations between the seeds.
        level: one-sided.
    """
    assert contrast.prior is not None, "several seeds"
    student, normal = special.stdtrit(num_seeds - 1, level), special.ndtri(level)
    floor = variance_floor(contrast.prior.variance, num_seeds)
    by_seed = np.maximum(student**2 * squares / (num_seeds - 1), normal**2 * floor) / num_seeds
    return np.asarray(np.sqrt(by_seed + normal**2 * contrast.image_variance))
