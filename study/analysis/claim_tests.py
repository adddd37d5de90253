"""Are a study's claims so? Each is judged from finished trials: supported, contradicted or inconclusive.

A claim rests on weighted sums of accuracies, each with a variance over seeds and test images (`contrasts.py`).
All tests are two-sided at 5 %, and Holm's correction covers the claims of a study. A verdict needs every comparison
that a claim rests on (an intersection-union test: Berger, Technometrics 24 (1982) 295-300); one comparison contradicts
it, after Bonferroni's correction over them.

With one seed the spread between seeds cannot be seen. A verdict then needs to know it from elsewhere: from other trials
of the same dataset and model, with several seeds. Else the claim stays inconclusive.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from search_spaces.framework.claims import Claim, Gap, Matches, NoDifference
from search_spaces.framework.published import Published
from study.analysis.contrasts import ContrastEstimate, MissingResultError, Run, compare, median_variances
from study.analysis.intervals import LEVEL, NEEDS_SEEDS, VarianceEstimate
from study.analysis.power import MAX_SEEDS, MIN_PILOT_SEEDS, POWER, InconclusiveClaim, power_by_num_seeds

Verdict = Literal["supported", "contradicted", "inconclusive"]

ASSUMED_SEED_SD = 0.01
"""Standard deviation of accuracy between seeds (share) that is assumed of published numbers, which have one run each.

Four times the widest that is published for fine-tuning a ViT on all of a small dataset: CIFAR-100 at 91.09 to 91.62 in
five runs (big_vision, configs/transfer.py), which is a standard deviation of about 0.23 points. Training on little
data, or from scratch, may spread more.
"""


@dataclass(frozen=True, kw_only=True)
class ClaimResult:
    """What became of a claim.

    Attributes:
        effect: in percentage points, positive as claimed; of the comparison that supports the claim least, where it
            rests on several. For NoDifference, the difference of that pair; for Matches, ours less what is published.
        low, high: 95 % interval of the effect, percentage points, not corrected.
        p: two-sided, of the claim alone.
        p_holm: by Holm's correction over the study's claims.
        test: in a few words.
        num_seeds: seeds that every cell of that comparison has.
        required_seeds: seeds per cell with which the study, its images kept, would decide an inconclusive claim with
            probability POWER; None where no number up to MAX_SEEDS does, or it cannot be said.
        power: the probability that so many seeds would decide it, or MAX_SEEDS; None where it cannot be said.
        reason: in a line, what to know beside the numbers; may be empty.
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
    reason: str = ""


def evaluate_claims(claims: Sequence[Claim], frame: pd.DataFrame, *, comparable: bool = True) -> list[ClaimResult]:
    """Judge a study's claims, in their order.

    Args:
        claims: of one study: Holm's correction is over them.
        frame: a row per finished trial: the study's scientific axes, in the claims' terms, and `seed`,
            `test_accuracy` (0 to 1), `num_test`, `right` (None, or bool of shape (num_test,): which test images are
            correct, in the same order in all trials of a `dataset`), and `spread` (None, or the VarianceEstimate
            between seeds from other trials of its dataset and model).
        comparable: whether the trials are of the paper's scale. If not, Matches stays inconclusive, and is left out
            of Holm's correction.

    Raises:
        ValueError: two rows are of the same cell and seed.
    """
    return _evaluate(claims, [_run(row) for row in frame.to_dict("records")], comparable)


def evaluate_published(claims: Sequence[Claim], rows: Iterable[Published]) -> list[ClaimResult]:
    """Judge claims from published numbers by the same rules: one run a cell, its count of right answers, no more.

    Args:
        claims: of one study.
        rows: of that study's table, from one source.

    Raises:
        ValueError: two rows are of the same cell.
    """
    assumed = VarianceEstimate(ASSUMED_SEED_SD**2, math.inf)
    runs = [
        Run(point=row.point, seed=0, accuracy=row.accuracy_pct / 100, num_test=row.num_test, right=None, spread=assumed)
        for row in rows
    ]
    return _evaluate(claims, runs, comparable=True)


@dataclass(frozen=True, kw_only=True)
class _TestStatistic:
    """What a claim rests on: its weakest comparison, or what is missing for one.

    Attributes:
        num_comparisons: how many it rests on.
        p_for, p_against: one-sided: small where the claim, or its contrary, is so.
        missing: why it cannot be tested; its effect may be known all the same.
    """

    claim: Claim
    weakest: ContrastEstimate | None = None
    num_comparisons: int = 0
    p_for: float = 1.0
    p_against: float = 1.0
    missing: str = ""

    @property
    def p(self) -> float:
        """Two-sided."""
        return min(1.0, 2 * min(self.p_for, self.p_against))


def _run(row: Mapping[Any, Any]) -> Run:
    right, spread = row["right"], row["spread"]
    return Run(
        point={axis: value for axis, value in row.items() if axis not in _NO_AXES},
        seed=row["seed"],
        accuracy=row["test_accuracy"],
        num_test=row["num_test"],
        right=right if isinstance(right, np.ndarray) else None,
        spread=spread if isinstance(spread, VarianceEstimate) else None,
    )


_NO_AXES = ("seed", "test_accuracy", "num_test", "right", "spread")


def _evaluate(claims: Sequence[Claim], runs: Sequence[Run], comparable: bool) -> list[ClaimResult]:
    seen: set[object] = set()
    for run in runs:
        trial = (frozenset(run.point.items()), run.seed)
        if trial in seen:
            raise ValueError(f"two results of one cell and seed: {dict(run.point)}, seed {run.seed}")
        seen.add(trial)
    usual = median_variances(runs)
    return _verdicts([_evidence(claim, runs, usual, comparable) for claim in claims])


def _evidence(
    claim: Claim, runs: Sequence[Run], usual: Mapping[object, VarianceEstimate], comparable: bool
) -> _TestStatistic:
    if isinstance(claim, Matches) and not comparable:
        return _TestStatistic(claim=claim, missing="published accuracies are of the paper's scale: not comparable")
    contrasts = zip(claim.contrasts, _published(claim), strict=True)
    try:
        comparisons = [compare(contrast, published, runs, usual) for contrast, published in contrasts]
    except MissingResultError as error:
        return _TestStatistic(claim=claim, missing=str(error))
    if any(comparison.known is None for comparison in comparisons):
        weakest = min(comparisons, key=lambda each: _least_beyond(claim, each.effect))
        return _TestStatistic(claim=claim, weakest=weakest, missing=_ONE_SEED)
    p_for = [max(comparison.p_beyond(*bound) for bound in _bounds(claim)) for comparison in comparisons]
    p_against = [1 - p for p in p_for]
    return _TestStatistic(
        claim=claim,
        weakest=max(zip(p_for, p_against, comparisons, strict=True), key=lambda each: (each[0], -each[1]))[2],
        num_comparisons=len(comparisons),
        p_for=max(p_for),
        p_against=min(1.0, len(comparisons) * min(p_against)),
    )


_ONE_SEED = (
    f"{NEEDS_SEEDS}: one does not show how much training varies, and no trials of this dataset and model with several "
    "seeds are known"
)


def _published(claim: Claim) -> tuple[float, ...]:
    """Return what is to be taken off each of a claim's contrasts (share)."""
    match claim:
        case Matches(published=published):
            return tuple(accuracy / 100 for accuracy in published.values())
        case _:
            return (0.0,) * len(claim.contrasts)


def _bounds(claim: Claim) -> tuple[tuple[float, int], ...]:
    """Return what an effect (share) is to be beyond, and in which direction: 1 above, -1 below."""
    match claim:
        case NoDifference(margin=margin) | Matches(margin=margin):  # two one-sided tests: Schuirmann 1987
            return ((margin / 100, -1), (-margin / 100, 1))
        case Gap(at_least=at_least):
            return ((at_least / 100, 1),)
        case _:
            return ((0.0, 1),)


def _least_beyond(claim: Claim, effect: float) -> float:
    return min(direction * (effect - bound) for bound, direction in _bounds(claim))


def _verdicts(evidence: Sequence[_TestStatistic]) -> list[ClaimResult]:
    """Return verdicts after Holm's correction over all claims that can be tested."""
    tested = [each for each in evidence if not each.missing]
    p_holm = {id(each): p for each, p in zip(tested, holm([each.p for each in tested]), strict=True)}
    open_ones = [each for each in tested if p_holm[id(each)] > LEVEL]
    chances = power_by_num_seeds([_open_claim(each) for each in open_ones])
    chance_of = {id(each): chance for each, chance in zip(open_ones, chances, strict=True)}
    return [
        _untested_result(each) if each.missing else _tested_result(each, p_holm[id(each)], chance_of.get(id(each)))
        for each in evidence
    ]


def _open_claim(evidence: _TestStatistic) -> InconclusiveClaim:
    assert evidence.weakest is not None, "a tested claim rests on a comparison"
    return InconclusiveClaim(
        comparison=evidence.weakest, num_comparisons=evidence.num_comparisons, bounds=_bounds(evidence.claim)
    )


def holm(p: Sequence[float]) -> list[float]:
    """Return Holm's corrected p values (Scandinavian Journal of Statistics 6 (1979)).

    The `multipletests` of statsmodels runs the garbage collector each time, which takes ten times as long as all of a
    study's verdicts.
    """
    ascending = np.argsort(p)
    stepped = np.maximum.accumulate(np.sort(p) * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[ascending] = np.minimum(stepped, 1.0)
    return [float(each) for each in corrected]


def _untested_result(evidence: _TestStatistic) -> ClaimResult:
    effect = None if evidence.weakest is None else 100 * evidence.weakest.effect
    return ClaimResult(claim=evidence.claim, verdict="inconclusive", effect=effect, reason=evidence.missing)


def _tested_result(evidence: _TestStatistic, p_holm: float, chance: NDArray[np.float64] | None) -> ClaimResult:
    """Return the verdict on a tested claim; `chance` of being decided, by number of seeds, if inconclusive."""
    weakest = evidence.weakest
    assert weakest is not None, "a tested claim rests on a comparison"
    verdict: Verdict = "inconclusive"
    if chance is None:
        verdict = "supported" if evidence.p_for < evidence.p_against else "contradicted"
    seeds, power = (None, None) if chance is None else _plan(chance)
    return ClaimResult(
        claim=evidence.claim,
        verdict=verdict,
        effect=100 * weakest.effect,
        low=100 * (weakest.effect - weakest.half_width(LEVEL / 2, -1)),
        high=100 * (weakest.effect + weakest.half_width(LEVEL / 2, 1)),
        p=evidence.p,
        p_holm=p_holm,
        test=f"equivalence, {weakest.test}" if isinstance(evidence.claim, NoDifference | Matches) else weakest.test,
        num_seeds=weakest.num_seeds,
        required_seeds=seeds,
        power=power,
        reason=_reason(weakest, verdict, seeds, power),
    )


def _plan(chance: NDArray[np.float64]) -> tuple[int | None, float | None]:
    """Return the fewest seeds with POWER for a verdict, and their power; or None, and that of MAX_SEEDS."""
    if np.isnan(chance[-1]):
        return None, None
    enough = np.flatnonzero(chance >= POWER)
    return (int(enough[0]), float(chance[enough[0]])) if len(enough) else (None, float(chance[-1]))


def _reason(comparison: ContrastEstimate, verdict: Verdict, seeds: int | None, power: float | None) -> str:
    reasons = []
    if comparison.num_seeds == 1:
        reasons.append(f"one seed does not show how much training varies: {_known(comparison)}")
    elif verdict == "inconclusive" and comparison.num_seeds < MIN_PILOT_SEEDS:
        reasons.append(f"{NEEDS_SEEDS} to tell how many would decide it")
    elif power is not None:
        limit = "" if seeds else ", as the images stay the same"
        reasons.append(f"{seeds or MAX_SEEDS} seeds would decide it with a probability of {100 * power:.0f} %{limit}")
    if comparison.left_out:
        reasons.append(f"left out, as not all of its cells have them: seeds {', '.join(map(str, comparison.left_out))}")
    return "; ".join(reasons)


def _known(comparison: ContrastEstimate) -> str:
    assert comparison.known is not None, "a tested claim's spread is known"
    if math.isinf(comparison.known.df):
        return f"a standard deviation of {100 * ASSUMED_SEED_SD:g} point between seeds is assumed"
    return "it is taken from other trials of this dataset and model"
