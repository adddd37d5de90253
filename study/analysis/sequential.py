"""Looks at the claims of a study with a sequential design, replayed from its trials.

At each look the claims without a verdict are tested as in a fixed plan, at the level of the look, with Holm's
correction over them. A claim keeps its first verdict, whatever later looks would say, and its cells get no further seed
for it. No more than `level` of studies get a wrong verdict. Let T be the claims of which no verdict would be right.
Until the first wrong verdict, all of T are without one, so Holm divides the look's level by at least |T|, and that
verdict needs one of |T| p values to be below level_k / |T| at some look k. By the union bound over T and over looks,
the probability is at most the sum of all level_k, however looks, claims, seeds and images depend on each other.

A look reads the seeds 0 .. look - 1 of the cells of claims without a verdict, and of the other cells what they had
when they last were of such a claim: seeds that are trained ahead, or added later, do not change a look. So the
verdicts follow from the trials and from the design, and nothing else is stored.

Intervals are those of the look's level: all looks' intervals cover together at least as often as one interval of a
fixed plan (repeated confidence intervals: Jennison & Turnbull, Journal of the Royal Statistical Society B 51 (1989)
305-361). A p value is multiplied by level / level_k, so that it is compared with 5 % as elsewhere.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

from search_spaces.framework.claims import Claim, Matches
from search_spaces.framework.sequential_design import SequentialDesign
from study.analysis.claim_tests import ClaimResult
from study.analysis.contrasts import MissingResultError, TrialResult, group_by_point, weighted_cells
from study.analysis.power import PlanSeeds
from study.analysis.sequential_power import planner_of_looks

Point = Mapping[str, Any]


class LookOptions(TypedDict, total=False):
    """Keywords of `evaluate_claims` that a look sets."""

    level: float
    num_waiting: int
    plan: PlanSeeds


Evaluate = Callable[[Sequence[Claim], Callable[[TrialResult], bool], LookOptions], list[ClaimResult]]
"""Function of claims and of which trials are read, that tests the claims on these (`claim_tests.evaluate_claims`)."""


@dataclass(frozen=True, kw_only=True)
class ClaimProgress:
    """Progress of a claim in a sequential design.

    Attributes:
        result: of its last look, corrected for the looks.
        num_seeds: seeds that its cells need: of the look that it awaits, else of its last one.
        awaits_look: True if it has no verdict, and trials of its next look have not ended.
    """

    claim: Claim
    result: ClaimResult
    num_seeds: int
    awaits_look: bool = False


def replay_looks(
    claims: Sequence[Claim],
    design: SequentialDesign,
    evaluate: Evaluate,
    is_ready: Callable[[Claim, int], bool],
) -> list[ClaimProgress]:
    """Return how far each claim has come.

    Args:
        claims: of one study, in the terms of its trials.
        is_ready: whether all trials of a claim's cells with so many seeds have ended.
    """
    found = [_begin(claim, design) for claim in claims]
    for look in design.looks:
        waiting = [index for index, each in enumerate(found) if each.awaits_look]
        tested = [index for index in waiting if is_ready(claims[index], look)]
        for index in tested:
            found[index] = replace(found[index], num_seeds=look)
        results = evaluate(
            [claims[index] for index in tested],
            lambda trial: trial.seed < num_seeds_of(trial.point, found, design),
            {
                "level": design.level_of(look),
                "num_waiting": len(waiting) - len(tested),
                "plan": planner_of_looks(design, look),
            },
        )
        for index, result in zip(tested, results, strict=True):
            found[index] = _after_look(found[index], result, design, look)
    return found


def num_seeds_of(point: Point, found: Sequence[ClaimProgress], design: SequentialDesign) -> int:
    """Return the seeds that the cell at a point needs, for the claims about it."""
    return max((each.num_seeds for each in found if covers(each.claim, point)), default=design.smallest)


def covers(claim: Claim, point: Point) -> bool:
    """Return whether a claim compares the cell at a point with others."""
    return any(cell.items() <= point.items() for contrast in claim.contrasts for _, cell in contrast)


def find_obstacle(claim: Claim, points: Sequence[Point], *, comparable: bool) -> str:
    """Return why no number of seeds can decide a claim; empty if some may.

    Args:
        points: of all cells of the study.
        comparable: whether the study is of the scale of published numbers.
    """
    if isinstance(claim, Matches) and not comparable:
        return "published accuracies are not of this scale"
    by_point = group_by_point(
        TrialResult(point=point, seed=0, value=0.5, num_test=1, correct=None, prior_variance=None) for point in points
    )
    try:
        for contrast in claim.contrasts:
            weighted_cells(contrast, by_point)
    except MissingResultError as error:
        return f"the study lacks one of its cells: {error}"
    return ""


def _begin(claim: Claim, design: SequentialDesign) -> ClaimProgress:
    caveats = f"no look yet: the first awaits {design.smallest} seeds of its cells"
    result = ClaimResult(claim=claim, verdict="inconclusive", caveats=caveats)
    return ClaimProgress(claim=claim, result=result, num_seeds=design.smallest, awaits_look=True)


def _after_look(before: ClaimProgress, result: ClaimResult, design: SequentialDesign, look: int) -> ClaimProgress:
    """Return how far a claim has come after a look. One that cannot be tested awaits no other."""
    if result.p is None or result.p_holm is None:
        return replace(before, result=result, awaits_look=False)
    factor = design.level / design.level_of(look)
    following = None if result.verdict != "inconclusive" else design.next_look(look)
    if result.verdict != "inconclusive":
        note = f"decided at the look at {look} of up to {design.largest} seeds"
    elif following is None:
        note = f"inconclusive at the last look, at {look} seeds"
    else:
        note = f"inconclusive at {look} seeds, next look at {following}"
    corrected = replace(
        result,
        p=min(1.0, factor * result.p),
        p_holm=min(1.0, factor * result.p_holm),
        caveats="; ".join(part for part in (note, result.caveats, "interval and p corrected for the looks") if part),
    )
    return replace(before, result=corrected, num_seeds=following or look, awaits_look=following is not None)
