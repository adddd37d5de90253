"""Statistical tests of a study's claims: each is supported, contradicted or inconclusive.

A claim rests on contrasts: weighted sums of accuracies, or of another metric, with a variance over seeds and
test images (`contrasts.py`).
All tests are two-sided at 5 %, and Holm's correction covers the claims of a study. A claim is supported if all of its
contrasts support it (intersection-union test: Berger, Technometrics 24 (1982) 295-300). One contrast contradicts it,
after Bonferroni's correction over its contrasts.

One seed does not show the variance between seeds. It is then taken from other trials of the same dataset and model
with several seeds. Without these the claim stays inconclusive.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np

from revit.training.metrics import METRICS, Metric, find_metric
from search_spaces.framework.claims import BetterThan, Claim, InRange, LargerGap, Matches, NoDifference, Trend
from study.analysis.claim_samples import Sample, Unit, unit_of
from study.analysis.contrasts import (
    ContrastEstimate,
    MissingResultError,
    TrialResult,
    estimate_contrast,
    weighted_cells,
)
from study.analysis.intervals import LEVEL, NEEDS_SEEDS
from study.analysis.power import MIN_PILOT_SEEDS, ClaimContrast, PlanSeeds, SeedPlan, plan_seeds

Verdict = Literal["supported", "contradicted", "inconclusive"]

ASSUMED_SEED_SD = 0.01
"""Standard deviation of accuracy between seeds (share) assumed of published numbers, which have one run each.

Four times the widest that is published for fine-tuning a ViT on all of a small dataset: CIFAR-100 at 91.09 to 91.62 in
five runs (big_vision, configs/transfer.py), a standard deviation of about 0.23 points. Training on little data, or from
scratch, may vary more.
"""
UNKNOWN_SEED_VARIANCE = f"{NEEDS_SEEDS}, or other trials of this dataset and model with several seeds"
UNKNOWN_NUM_TEST = "the number of test images is unknown"


@dataclass(frozen=True, kw_only=True)
class ClaimResult:
    """Result of testing a claim.

    Attributes:
        effect: percentage points, or the metric's unit, positive as claimed; of the limiting contrast, where the claim
            has several. For NoDifference, the difference of that pair; for Matches, ours minus the published accuracy.
        low, high: 95 % interval of the effect, in its unit, not corrected for other claims; for the looks of a
            sequential design it is, and so are p and p_holm.
        p: two-sided, of this claim alone.
        p_holm: after Holm's correction over the study's claims.
        num_seeds: seeds that every cell of that contrast has.
        required_seeds: seeds per cell, on the same images, that decide an inconclusive claim with probability POWER;
            None if more than MAX_SEEDS, or unknown.
        power: probability that `required_seeds`, else MAX_SEEDS, decide it; None if unknown. In a sequential design,
            that one of the looks to come does.
        expected_seeds: mean number of seeds at which a sequential design decides it or ends; None if unknown.
        caveats: one line, may be empty.
        run_ids: MLflow runs of the trials that its contrasts are estimated from.
    """

    claim: Claim
    verdict: Verdict
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    test: str = ""
    num_seeds: int = 0
    required_seeds: int | None = None
    power: float | None = None
    expected_seeds: float | None = None
    caveats: str = ""
    run_ids: tuple[str, ...] = ()


def evaluate_claims(
    claims: Sequence[Claim],
    trials: Sequence[TrialResult],
    *,
    metric: Metric = METRICS["accuracy"],
    by_metric: Mapping[str, Sequence[TrialResult]] = MappingProxyType({}),
    comparable: bool = True,
    level: float = LEVEL,
    num_waiting: int = 0,
    plan: PlanSeeds = plan_seeds,
) -> list[ClaimResult]:
    """Test a study's claims, in their order.

    Args:
        claims: of one study: Holm's correction is over them.
        trials: its finished trials, each cell and seed once; their points are in the claims' terms.
        metric: what their values are of.
        by_metric: the same trials with their values of another metric, for claims that name one of their own.
        comparable: whether the trials are of the scale of published numbers. If not, Matches stays inconclusive, and is
            left out of Holm's correction.
        level: two-sided, of verdicts and of intervals.
        num_waiting: claims that are not tested yet, and count in Holm's correction.
        plan: what further seeds would do for the claims that stay inconclusive.
    """
    samples: dict[str | None, Sample] = {name: Sample.of(find_metric(name), each) for name, each in by_metric.items()}
    samples[None] = Sample.of(metric, trials)
    statistics = [_test_statistic(each, samples.get(each.metric), comparable) for each in claims]
    return _results(statistics, level, num_waiting, plan)


@dataclass(frozen=True, kw_only=True)
class _TestStatistic(ClaimContrast):
    """Test statistic of a claim.

    Attributes:
        p_for, p_against: one-sided: small where the claim, or its opposite, is true.
        run_ids: of all of its contrasts, each once.
    """

    claim: Claim
    unit: Unit
    p_for: float
    p_against: float
    run_ids: tuple[str, ...]

    @property
    def p(self) -> float:
        """Two-sided p value."""
        return min(1.0, 2 * min(self.p_for, self.p_against))


def _test_statistic(claim: Claim, sample: Sample | None, comparable: bool) -> _TestStatistic | ClaimResult:
    """Return the test statistic of a claim, or its result if it cannot be tested."""
    untested = ClaimResult(claim=claim, verdict="inconclusive")
    if sample is None:
        return replace(untested, caveats=f"no result with {claim.metric}")
    if isinstance(claim, Matches) and not comparable:
        return replace(untested, caveats="published accuracies are not of this scale: not comparable")
    unit = unit_of(claim, sample.metric)
    sample = sample.in_logs() if unit.relative else sample
    try:
        clauses = _estimate(claim, sample)
    except MissingResultError as error:
        return replace(untested, caveats=str(error))
    bounds = tuple((unit.read(bound), side) for bound, side in effect_bounds(claim))
    contrasts = [*itertools.chain(*clauses)]
    run_ids = tuple(dict.fromkeys(run_id for contrast in contrasts for run_id in contrast.run_ids))
    if unknown := _unknown(contrasts):
        limiting = _limiting(clauses, lambda each: min(side * (each.effect - bound) for bound, side in bounds))
        return replace(untested, effect=unit.show(limiting.effect), caveats=unknown, run_ids=run_ids)
    p_for = [[max(contrast.p_value(*bound) for bound in bounds) for contrast in clause] for clause in clauses]
    by_contrast = dict(zip(map(id, contrasts), itertools.chain(*p_for), strict=True))
    return _TestStatistic(
        claim=claim,
        unit=unit,
        contrast=_limiting(clauses, lambda each: -by_contrast[id(each)]),
        num_contrasts=len(clauses),
        num_alternatives=len(clauses[0]),
        bounds=bounds,
        p_for=min(1.0, max(len(each) * min(each) for each in p_for)),
        p_against=min(1.0, len(clauses) * min(1 - min(each) for each in p_for)),
        run_ids=run_ids,
    )


def _estimate(claim: Claim, sample: Sample) -> list[list[ContrastEstimate]]:
    """Estimate the contrasts of each clause of a claim, positive as claimed: less is better where the metric says so.

    Raises:
        MissingResultError: one of them cannot be estimated.
    """
    has_sign = isinstance(claim, Trend | NoDifference | InRange | Matches)
    sign = 1 if has_sign else sample.metric.sign
    published = [share / 100 for share in claim.published.values()] if isinstance(claim, Matches) else [0.0]
    return [
        [
            estimate_contrast(
                weighted_cells(tuple((sign * weight, cell) for weight, cell in contrast), sample.by_point),
                sample.variances,
                sample.metric,
                share,
            )
            for contrast in clause
        ]
        for clause, share in zip(claim.clauses, itertools.cycle(published))
    ]


def _unknown(contrasts: Sequence[ContrastEstimate]) -> str:
    """Return what is not known of the variance of contrasts; empty if all is."""
    if any(contrast.image_variance is None for contrast in contrasts):
        return UNKNOWN_NUM_TEST
    return UNKNOWN_SEED_VARIANCE if any(contrast.prior is None for contrast in contrasts) else ""


def _limiting(
    clauses: Sequence[Sequence[ContrastEstimate]], support: Callable[[ContrastEstimate], float]
) -> ContrastEstimate:
    """Return the contrast that a claim hangs on: in each clause the one that supports it most, of these the least."""
    return min((max(clause, key=support) for clause in clauses), key=support)


def effect_bounds(claim: Claim) -> list[tuple[float, int]]:
    """Return the bounds that an effect must lie beyond, in its unit, each with its direction: 1 above, -1 below."""
    bounds: tuple[tuple[float | None, int], ...]
    match claim:
        case NoDifference(margin=margin) | Matches(margin=margin):  # two one-sided tests: Schuirmann 1987
            bounds = ((margin, -1), (-margin, 1))
        case InRange(above=above, below=below):
            bounds = ((below, -1), (above, 1))
        case BetterThan(at_least=at_least, at_most=at_most):
            bounds = ((at_most, -1), (at_least, 1))
        case LargerGap(at_least=at_least):
            bounds = ((at_least, 1),)
        case _:
            bounds = ((0.0, 1),)
    return [(bound, side) for bound, side in bounds if bound is not None]


def _results(
    statistics: Sequence[_TestStatistic | ClaimResult], level: float, num_waiting: int, plan: PlanSeeds
) -> list[ClaimResult]:
    tested = {index: each for index, each in enumerate(statistics) if isinstance(each, _TestStatistic)}
    p_holm = dict(zip(tested, holm([each.p for each in tested.values()], num_waiting), strict=True))
    inconclusive = {index: each for index, each in tested.items() if p_holm[index] > level}
    plans = dict(zip(inconclusive, plan([*inconclusive.values()]), strict=True))
    return [
        each if isinstance(each, ClaimResult) else _result(each, p_holm[index], plans.get(index), level)
        for index, each in enumerate(statistics)
    ]


def holm(p: Sequence[float], num_waiting: int = 0) -> list[float]:
    """Return p values after Holm's correction (Scandinavian Journal of Statistics 6 (1979)).

    `multipletests` of statsmodels runs the garbage collector in each call, far slower than all tests of a study.

    Args:
        num_waiting: further tests of the family, whose p values are 1 for now.
    """
    order = np.argsort(p)
    corrected = np.empty(len(p))
    num_left = np.arange(len(p) + num_waiting, num_waiting, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(np.sort(p) * num_left), 1.0)
    return corrected.tolist()


def _result(statistic: _TestStatistic, p_holm: float, plan: SeedPlan | None, level: float) -> ClaimResult:
    """Return the result of a claim.

    Args:
        plan: None if the claim is decided.
    """
    limiting, unit = statistic.contrast, statistic.unit
    verdict: Verdict = "inconclusive"
    if plan is None:
        verdict = "supported" if statistic.p_for < statistic.p_against else "contradicted"
    is_equivalence = isinstance(statistic.claim, NoDifference | Matches)
    return ClaimResult(
        claim=statistic.claim,
        verdict=verdict,
        effect=unit.show(limiting.effect),
        low=unit.show(limiting.effect - limiting.half_width(level / 2, -1)),
        high=unit.show(limiting.effect + limiting.half_width(level / 2, 1)),
        p=statistic.p,
        p_holm=p_holm,
        test=f"equivalence (TOST), {limiting.test}" if is_equivalence else limiting.test,
        num_seeds=limiting.num_seeds,
        required_seeds=None if plan is None else plan.required_seeds,
        power=None if plan is None else plan.power,
        expected_seeds=None if plan is None else plan.expected_seeds,
        caveats=_caveats(limiting, verdict, plan),
        run_ids=statistic.run_ids,
    )


def _caveats(contrast: ContrastEstimate, verdict: Verdict, plan: SeedPlan | None) -> str:
    lines = []
    if contrast.num_seeds == 1:
        assert contrast.prior is not None, "a tested claim has a variance between seeds"
        assumed = f"a standard deviation of {100 * ASSUMED_SEED_SD:g} point between seeds is assumed"
        found = "the variance between seeds is that of other trials of this dataset and model"
        lines.append(f"1 seed: {assumed if math.isinf(contrast.prior.df) else found}")
    elif verdict == "inconclusive" and contrast.num_seeds < MIN_PILOT_SEEDS:
        lines.append(f"{NEEDS_SEEDS} to estimate the required seeds")
    elif plan is not None and plan.text:
        lines.append(plan.text)
    if contrast.excluded_seeds:
        lines.append(f"excluded, not finished in every cell: seeds {', '.join(map(str, contrast.excluded_seeds))}")
    return "; ".join(lines)
