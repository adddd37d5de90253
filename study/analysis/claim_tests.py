"""Statistical tests of a study's claims: each is supported, contradicted or inconclusive.

A claim rests on contrasts: weighted sums of accuracies, or of another metric, with a variance over seeds and
test images (`contrasts.py`).
All tests are two-sided at 5 %, and Holm's correction covers the claims of a study. A claim is supported if all of its
contrasts support it (intersection-union test: Berger, Technometrics 24 (1982) 295-300). One contrast contradicts it,
after Bonferroni's correction over its contrasts.

One seed does not show the variance between seeds. It is then taken from other trials of the same dataset and model
with several seeds. Without these the claim stays inconclusive.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from revit.training.metrics import METRICS, Metric
from search_spaces.framework.claims import Claim, Contrast, Gap, Matches, NoDifference, Trend
from study.analysis.contrasts import ContrastEstimate, MissingResultError, TrialResult, estimate_contrast, select
from study.analysis.intervals import LEVEL, NEEDS_SEEDS, VarianceEstimate, median_variances
from study.analysis.power import MIN_PILOT_SEEDS, ClaimContrast, PlanSeeds, SeedPlan, plan_seeds

Verdict = Literal["supported", "contradicted", "inconclusive"]

ASSUMED_SEED_SD = 0.01
"""Standard deviation of accuracy between seeds (share) assumed of published numbers, which have one run each.

Four times the widest that is published for fine-tuning a ViT on all of a small dataset: CIFAR-100 at 91.09 to 91.62 in
five runs (big_vision, configs/transfer.py), a standard deviation of about 0.23 points. Training on little data, or from
scratch, may vary more.
"""
UNKNOWN_SEED_VARIANCE = f"{NEEDS_SEEDS}, or other trials of this dataset and model with several seeds"


@dataclass(frozen=True, kw_only=True)
class ClaimResult:
    """Result of testing a claim.

    Attributes:
        effect: percentage points, or the metric's unit, positive as claimed; of the limiting contrast, where the claim
            has several. For NoDifference, the difference of that pair; for Matches, ours minus the published accuracy.
        low, high: 95 % interval of the effect, in its unit, not corrected.
        p: two-sided, of this claim alone.
        p_holm: after Holm's correction over the study's claims.
        num_seeds: seeds that every cell of that contrast has.
        required_seeds: seeds per cell, on the same images, that decide an inconclusive claim with probability POWER;
            None if more than MAX_SEEDS, or unknown.
        power: probability that `required_seeds`, else MAX_SEEDS, decide it; None if unknown.
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
    caveats: str = ""
    run_ids: tuple[str, ...] = ()


def evaluate_claims(
    claims: Sequence[Claim],
    trials: Sequence[TrialResult],
    *,
    metric: Metric = METRICS["accuracy"],
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
        comparable: whether the trials are of the scale of published numbers. If not, Matches stays inconclusive, and is
            left out of Holm's correction.
        level: two-sided, of verdicts and of intervals.
        num_waiting: claims that are not tested yet, and count in Holm's correction.
        plan: what further seeds would do for the claims that stay inconclusive.
    """
    cells = [[*by_seed.values()] for by_seed in select({}, trials).values()]
    variances = median_variances((cell[0].point.get("dataset"), [trial.value for trial in cell]) for cell in cells)
    statistics = [_test_statistic(claim, trials, variances, metric, comparable) for claim in claims]
    return _results(statistics, level, num_waiting, plan)


@dataclass(frozen=True, kw_only=True)
class _TestStatistic(ClaimContrast):
    """Test statistic of a claim.

    Attributes:
        factor: of the effect's unit.
        p_for, p_against: one-sided: small where the claim, or its opposite, is true.
        run_ids: of all of its contrasts, each once.
    """

    claim: Claim
    factor: int
    p_for: float
    p_against: float
    run_ids: tuple[str, ...]

    @property
    def p(self) -> float:
        """Two-sided p value."""
        return min(1.0, 2 * min(self.p_for, self.p_against))


def _test_statistic(
    claim: Claim,
    trials: Sequence[TrialResult],
    variances: Mapping[object, VarianceEstimate],
    metric: Metric,
    comparable: bool,
) -> _TestStatistic | ClaimResult:
    """Return the test statistic of a claim, or its result if it cannot be tested."""
    untested = ClaimResult(claim=claim, verdict="inconclusive")
    if isinstance(claim, Matches) and not comparable:
        return replace(untested, caveats="published accuracies are not of this scale: not comparable")
    published = [share / 100 for share in claim.published.values()] if isinstance(claim, Matches) else None
    claimed = _oriented(claim, metric)
    pairs = zip(claimed, published or [0.0] * len(claimed), strict=True)
    try:
        contrasts = [estimate_contrast(contrast, share, trials, variances, metric) for contrast, share in pairs]
    except MissingResultError as error:
        return replace(untested, caveats=str(error))
    bounds = effect_bounds(claim, metric.factor)
    run_ids = tuple(dict.fromkeys(run_id for contrast in contrasts for run_id in contrast.run_ids))
    if any(contrast.prior is None for contrast in contrasts):
        limiting = min(contrasts, key=lambda each: min(side * (each.effect - bound) for bound, side in bounds))
        effect = metric.factor * limiting.effect
        return replace(untested, effect=effect, caveats=UNKNOWN_SEED_VARIANCE, run_ids=run_ids)
    p_for = [max(contrast.p_value(*bound) for bound in bounds) for contrast in contrasts]
    p_against = [1 - p for p in p_for]
    return _TestStatistic(
        claim=claim,
        factor=metric.factor,
        contrast=max(zip(p_for, p_against, contrasts, strict=True), key=lambda each: (each[0], -each[1]))[2],
        num_contrasts=len(contrasts),
        bounds=bounds,
        p_for=max(p_for),
        p_against=min(1.0, len(contrasts) * min(p_against)),
        run_ids=run_ids,
    )


def _oriented(claim: Claim, metric: Metric) -> tuple[Contrast, ...]:
    """Return the contrasts of a claim, positive as claimed: where small values are better, better is less."""
    if metric.sign == 1 or isinstance(claim, Trend | NoDifference):
        return claim.contrasts
    return tuple(tuple((-weight, cell) for weight, cell in contrast) for contrast in claim.contrasts)


def effect_bounds(claim: Claim, factor: int) -> tuple[tuple[float, int], ...]:
    """Return the bounds that an effect must lie beyond, each with its direction: 1 above, -1 below.

    Args:
        factor: of the unit that the claim's margins are in: 100 for percentage points.
    """
    match claim:
        case NoDifference(margin=margin) | Matches(margin=margin):  # two one-sided tests: Schuirmann 1987
            return ((margin / factor, -1), (-margin / factor, 1))
        case Gap(at_least=at_least):
            return ((at_least / factor, 1),)
        case _:
            return ((0.0, 1),)


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
    limiting, factor = statistic.contrast, statistic.factor
    verdict: Verdict = "inconclusive"
    if plan is None:
        verdict = "supported" if statistic.p_for < statistic.p_against else "contradicted"
    is_equivalence = isinstance(statistic.claim, NoDifference | Matches)
    return ClaimResult(
        claim=statistic.claim,
        verdict=verdict,
        effect=factor * limiting.effect,
        low=factor * (limiting.effect - limiting.half_width(level / 2, -1)),
        high=factor * (limiting.effect + limiting.half_width(level / 2, 1)),
        p=statistic.p,
        p_holm=p_holm,
        test=f"equivalence (TOST), {limiting.test}" if is_equivalence else limiting.test,
        num_seeds=limiting.num_seeds,
        required_seeds=None if plan is None else plan.required_seeds,
        power=None if plan is None else plan.power,
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
