"""Looks at claims, replayed from trials."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from search_spaces.framework.claims import BetterThan, Claim
from search_spaces.framework.sequential_design import SequentialDesign
from study.analysis.claim_tests import ClaimResult, evaluate_claims
from study.analysis.contrasts import TrialResult
from study.analysis.sequential import ClaimProgress, LookOptions, find_obstacle, num_seeds_of, replay_looks
from tests.study.analysis.claim_frames import MANY, matches

DESIGN = SequentialDesign.between(3, 10)
A_BETTER, C_BETTER = (
    BetterThan(better={"arm": better}, worse={"arm": worse}, quote="") for better, worse in (("a", "b"), ("c", "d"))
)


def trials(means: dict[str, float], sd: float = 0.01, num_seeds: int = 10) -> list[TrialResult]:
    """Return trials whose seeds differ by fixed amounts: the same ones for each number of arms."""
    rng = np.random.default_rng(0)
    return [
        TrialResult(
            point={"arm": arm}, seed=seed, value=mean + sd * rng.standard_normal(), num_test=MANY, correct=None,
            prior_variance=None,
        )
        for arm, mean in means.items()
        for seed in range(num_seeds)
    ]  # fmt: skip


def replay(
    claims: Sequence[Claim],
    results: Sequence[TrialResult],
    design: SequentialDesign = DESIGN,
    is_ready: Callable[[Claim, int], bool] | None = None,
) -> list[ClaimProgress]:
    def evaluate(
        tested: Sequence[Claim], is_read: Callable[[TrialResult], bool], options: LookOptions
    ) -> list[ClaimResult]:
        return evaluate_claims(tested, [each for each in results if is_read(each)], **options)

    num_seeds = 1 + max(each.seed for each in results)
    return replay_looks(claims, design, evaluate, is_ready or (lambda _, look: look <= num_seeds))


def test_a_claim_is_decided_at_the_first_look_that_it_passes() -> None:
    results = trials({"a": 0.95, "b": 0.88})
    [first] = replay([A_BETTER], results)
    assert (first.result.verdict, first.num_seeds, first.awaits_look) == ("supported", 4, False)
    alone = {}
    for look in (3, 4):
        read = [each for each in results if each.seed < look]
        [alone[look]] = evaluate_claims([A_BETTER], read, level=DESIGN.level_of(look))
    assert [alone[look].verdict for look in (3, 4)] == ["inconclusive", "supported"]
    factor = 0.05 / DESIGN.level_of(4)
    assert first.result.p == pytest.approx(factor * (alone[4].p or 0))
    assert (first.result.low, first.result.high) == (alone[4].low, alone[4].high)
    assert first.result.caveats == "decided at the look at 4 of up to 10 seeds; interval and p corrected for the looks"


def test_seeds_after_a_verdict_do_not_change_it() -> None:
    """The later seeds say the opposite: a fixed plan of all of them would contradict the claim."""
    results = trials({"a": 0.95, "b": 0.88})
    turned = [replace(each, value=0.1) if each.seed >= 4 and each.point["arm"] == "a" else each for each in results]
    assert replay([A_BETTER], turned) == replay([A_BETTER], results)
    assert evaluate_claims([A_BETTER], turned)[0].verdict != "supported"


def test_each_look_has_its_level_and_the_seeds_up_to_it() -> None:
    looks: list[tuple[float, int]] = []
    results = trials({"a": 0.9, "b": 0.9})

    def evaluate(
        tested: Sequence[Claim], is_read: Callable[[TrialResult], bool], options: LookOptions
    ) -> list[ClaimResult]:
        looks.append((options["level"], sum(map(is_read, results))))
        return [ClaimResult(claim=each, verdict="inconclusive", p=0.5, p_holm=0.5) for each in tested]

    replay_looks([A_BETTER], DESIGN, evaluate, lambda *_: True)
    assert looks == [(DESIGN.level_of(look), 2 * look) for look in DESIGN.looks]


def test_holms_correction_is_over_the_claims_without_a_verdict() -> None:
    results = trials({"a": 0.95, "b": 0.70, "c": 0.9, "d": 0.893})
    both, alone = replay([A_BETTER, C_BETTER], results), replay([C_BETTER], results)
    assert both[0].result.verdict == "supported"
    assert both[0].num_seeds < both[1].num_seeds == 10
    assert both[1].result.p == both[1].result.p_holm, "alone in the last looks"
    assert both[1].result.p_holm == pytest.approx(alone[0].result.p_holm, rel=0.2)  # other cells' variance is the floor


def test_a_claim_whose_trials_have_not_ended_counts_in_holms_correction() -> None:
    results = trials({"a": 0.95, "b": 0.80, "c": 0.9, "d": 0.893})
    known, waiting = replay([A_BETTER, C_BETTER], results, is_ready=lambda claim, look: claim is A_BETTER)
    assert (waiting.result.p, waiting.awaits_look, waiting.num_seeds) == (None, True, 3)
    assert waiting.result.caveats == "no look yet: the first awaits 3 seeds of its cells"
    assert known.result.p_holm == pytest.approx(2 * (known.result.p or 0))


def test_a_look_awaits_all_trials_of_its_cells() -> None:
    [claim] = replay([A_BETTER], trials({"a": 0.9, "b": 0.899}), is_ready=lambda _, look: look < 6)
    assert (claim.awaits_look, claim.num_seeds) == (True, 6)
    assert claim.result.num_seeds == 4
    assert claim.result.caveats.startswith("inconclusive at 4 seeds, next look at 6; up to 10 seeds decide it with")
    assert num_seeds_of({"arm": "a"}, [claim], DESIGN) == 6
    assert num_seeds_of({"arm": "z"}, [claim], DESIGN) == 3


def test_seeds_of_other_cells_do_not_change_a_look() -> None:
    """The cells of a claim with a verdict may have further seeds, of which the usual variance of a cell is not."""
    means = {"a": 0.95, "b": 0.70, "c": 0.9, "d": 0.893}
    few = [each for each in trials(means) if each.seed < 4 or each.point["arm"] in "cd"]
    assert replay([A_BETTER, C_BETTER], few) == replay([A_BETTER, C_BETTER], trials(means))


def test_a_claim_that_cannot_be_tested_awaits_no_look() -> None:
    [claim] = replay([BetterThan(better={"arm": "a"}, worse={"arm": "z"}, quote="")], trials({"a": 0.9, "b": 0.8}))
    assert (claim.awaits_look, claim.num_seeds, claim.result.caveats) == (False, 3, "no result for arm z")


def test_the_last_look_ends_a_claim() -> None:
    [claim] = replay([A_BETTER], trials({"a": 0.9, "b": 0.9}))
    assert (claim.result.verdict, claim.num_seeds, claim.awaits_look) == ("inconclusive", 10, False)
    assert "inconclusive at the last look, at 10 seeds" in claim.result.caveats
    assert claim.result.power is claim.result.expected_seeds is None
    assert not math.isnan(claim.result.p or 0)


def test_what_keeps_a_claim_from_ever_being_decided() -> None:
    arms = [{"arm": arm} for arm in "ab"]
    assert find_obstacle(A_BETTER, arms, comparable=False) == ""
    assert find_obstacle(C_BETTER, arms, comparable=True) == "the study lacks one of its cells: no result for arm c"
    published = matches(a=90.0)
    assert find_obstacle(published, arms, comparable=True) == ""
    assert find_obstacle(published, arms, comparable=False) == "published accuracies are not of this scale"


def test_a_look_reads_no_further_seeds_of_cells_whose_claims_have_a_verdict() -> None:
    results, read = trials(dict.fromkeys("abcd", 0.9)), []

    def evaluate(tested: Sequence[Claim], is_read: Callable[[TrialResult], bool], _: LookOptions) -> list[ClaimResult]:
        read.append([sum(is_read(each) for each in results if each.point["arm"] == arm) for arm in "ac"])
        unsettled = [ClaimResult(claim=each, verdict="inconclusive", p=0.5, p_holm=0.5) for each in tested]
        return [replace(each, verdict="supported") if each.claim is A_BETTER else each for each in unsettled]

    replay_looks([A_BETTER, C_BETTER], DESIGN, evaluate, lambda *_: True)
    assert read == [[3, 3], [3, 4], [3, 6], [3, 10]]
