"""Power of the looks that a sequential design has left, with the seeds that they take.

As in `power.py`, the seeds so far are a pilot that leaves the variance between seeds, and the effect on these images,
uncertain. Futures are drawn from what it leaves open: the variance up to its chi-square distribution, the effect up to
Student's t, then seed after seed. Each future is tested at every look, at the look's level, by the interval that the
report would have. Looks depend on each other, so the share of futures that end at each look is counted, not computed.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from search_spaces.framework.sequential_design import SequentialDesign
from study.analysis.intervals import PRIOR_DF
from study.analysis.power import MIN_PILOT_SEEDS, ClaimContrast, PlanSeeds, SeedPlan, future_half_width

Array = NDArray[np.float64]
NUM_FUTURES = 4000
"""Futures of each claim: the standard error of a power is below one percentage point."""


def planner_of_looks(design: SequentialDesign, look: int) -> PlanSeeds:
    """Return the function that plans the looks after one of them (`evaluate_claims`)."""
    return partial(plan_looks, looks=[each for each in design.looks if each > look], design=design)


def plan_looks(claims: Sequence[ClaimContrast], looks: Sequence[int], design: SequentialDesign) -> list[SeedPlan]:
    """Return the probability that looks to come decide each inconclusive claim, and the seeds expected until then.

    Holm's correction is over the claims that are still inconclusive at a look: first all of them, then the number that
    this leaves inconclusive on average.
    """
    if not looks:
        return [SeedPlan()] * len(claims)
    first = [_decided_by_look(claim, looks, design, np.full(len(looks), float(len(claims)))) for claim in claims]
    num_inconclusive = np.sum([1 - np.nan_to_num(decided) for decided in first], axis=0)
    return [
        _plan(_decided_by_look(claim, looks, design, num_inconclusive + np.nan_to_num(own)), looks)
        for claim, own in zip(claims, first, strict=True)
    ]


def _plan(decided: Array, looks: Sequence[int]) -> SeedPlan:
    """Return the plan of a claim.

    Args:
        decided: probability that it is decided at a look or before, (K,), K looks.
    """
    if np.isnan(decided[-1]):
        return SeedPlan()
    power = float(decided[-1])
    ends = np.diff([0.0, *decided[:-1], 1.0])  # the last look ends it in any case
    expected = float(ends @ np.array(looks))
    text = f"up to {looks[-1]} seeds decide it with probability {100 * power:.0f} %, {expected:.1f} expected"
    return SeedPlan(power=power, expected_seeds=expected, text=text)


def _decided_by_look(claim: ClaimContrast, looks: Sequence[int], design: SequentialDesign, num_claims: Array) -> Array:
    """Return the probability that a claim gets a verdict, either way, at each look or before: (K,); NaN if unknown.

    Args:
        num_claims: in Holm's correction, (K,).
    """
    contrast = claim.contrast
    pilot, pilot_df = contrast.num_seeds, contrast.num_seeds - 1
    if pilot < MIN_PILOT_SEEDS or contrast.prior is None:
        return np.full(len(looks), np.nan)
    rng = np.random.default_rng(0)
    df = pilot_df + PRIOR_DF
    expected = (pilot_df * contrast.seed_variance + PRIOR_DF * contrast.prior.variance) / df
    true_sd = np.sqrt(expected * df / rng.chisquare(df, NUM_FUTURES))
    effect_here = contrast.effect + true_sd / np.sqrt(pilot) * rng.standard_normal(NUM_FUTURES)
    seeds = effect_here + true_sd * rng.standard_normal((looks[-1] - pilot, NUM_FUTURES))
    is_decided, shares = np.zeros(NUM_FUTURES, bool), []
    for look, family in zip(looks, num_claims, strict=True):
        added = seeds[: look - pilot]
        difference = added.mean(0) - contrast.effect
        between = pilot * len(added) / look * difference**2
        squares = pilot_df * contrast.seed_variance + len(added) * added.var(0) + between
        effect = contrast.effect + len(added) / look * difference
        is_decided |= _is_beyond(claim, effect, squares, look, design.level_of(look) / 2 / family)
        shares.append(is_decided.mean())
    return np.array(shares)


def _is_beyond(claim: ClaimContrast, effect: Array, squares: Array, num_seeds: int, level: float) -> NDArray[np.bool_]:
    """Return which futures support a claim or contradict it, (NUM_FUTURES,).

    Args:
        effect, squares: mean of the seeds, sum of their squared deviations, (NUM_FUTURES,).
        level: one-sided.
    """
    beyond = np.array([direction * (effect - bound) for bound, direction in claim.bounds])
    supporting = future_half_width(claim.contrast, squares, num_seeds, level / claim.num_alternatives)
    contradicting = future_half_width(claim.contrast, squares, num_seeds, level / claim.num_contrasts)
    return np.asarray((beyond > supporting).all(0) | (-beyond > contradicting).any(0))
