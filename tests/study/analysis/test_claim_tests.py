"""Verdicts on claims of every kind."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

import search_spaces
from revit.training.metrics import METRICS
from search_spaces.framework.claims import Best, BetterThan, Claim, InRange, LargerGap, NoDifference, Trend
from study.analysis.claim_tests import evaluate_claims, holm
from study.analysis.contrasts import TrialResult
from study.analysis.intervals import VarianceEstimate
from tests.study.analysis.claim_frames import (
    A_BETTER,
    AMONG,
    CLEAR,
    SAME,
    A,
    B,
    discordant,
    evaluate_one,
    matches,
    table,
    trial_results,
)


def test_holms_correction_is_that_of_statsmodels() -> None:
    p = list(np.random.default_rng(0).uniform(0, 0.1, 12))
    assert holm(p) == pytest.approx(list(multipletests(p, method="holm")[1]))
    assert holm([]) == []


@pytest.mark.parametrize(
    ("claim", "accuracies", "verdict", "effect"),
    [
        (A_BETTER, CLEAR, "supported", 4.9),
        (BetterThan(better=B, worse=A, quote=""), CLEAR, "contradicted", -4.9),
        (A_BETTER, SAME, "inconclusive", 0),
        (BetterThan(better=A, worse=B, at_least=4, quote=""), CLEAR, "supported", 4.9),
        (BetterThan(better=A, worse=B, at_least=6, quote=""), CLEAR, "contradicted", 4.9),
        (BetterThan(better=A, worse=B, at_least=4.9, quote=""), CLEAR, "inconclusive", 4.9),
        (Best(axis="arm", value="a", among=AMONG, quote=""), CLEAR, "supported", 4.9),
        (Best(axis="arm", value="b", among=AMONG, quote=""), CLEAR, "contradicted", -4.9),
        (Best(axis="arm", value="a", among=AMONG, quote=""), SAME, "inconclusive", 0),
        (BetterThan(better=A, worse=B, at_most=6, quote=""), CLEAR, "supported", 4.9),
        (BetterThan(better=A, worse=B, at_least=1, at_most=4, quote=""), CLEAR, "contradicted", 4.9),
        (BetterThan(better=A, worse={"arm": ("b", "c")}, at_least=6, quote=""), CLEAR, "contradicted", 4.9),
        (BetterThan(better=A, worse={"arm": ("b", "c")}, at_least=4, quote=""), CLEAR, "supported", 4.9),
        (Best(axis="arm", value=("a", "c"), among=AMONG, quote=""), CLEAR, "supported", 4.9),
        (Best(axis="arm", value=("b", "c"), among=AMONG, quote=""), CLEAR, "contradicted", -4.9),
        (InRange(where=A, above=94, quote=""), CLEAR, "supported", 95.0),
        (InRange(where=A, above=94, below=94.5, quote=""), CLEAR, "contradicted", 95.0),
        (InRange(where={"arm": AMONG}, below=96, quote=""), CLEAR, "supported", 95.0),
        (InRange(below=91, quote=""), CLEAR, "supported", 90.07),
        (Trend(axis="arm", direction="decreasing", values=AMONG, quote=""), CLEAR, "supported", 9.9),
        (Trend(axis="arm", direction="increasing", values=AMONG, quote=""), CLEAR, "contradicted", -9.9),
        (Trend(axis="arm", direction="increasing", values=AMONG, quote=""), SAME, "inconclusive", 0),
        (NoDifference(axis="arm", among=AMONG, margin=0.25, quote=""), SAME, "supported", 0),
        (NoDifference(axis="arm", among=AMONG, margin=0.25, quote=""), CLEAR, "contradicted", 9.9),
        (NoDifference(axis="arm", among=("c", "b", "a"), margin=0.25, quote=""), CLEAR, "contradicted", -9.9),
        (NoDifference(axis="arm", among=AMONG, margin=0.01, quote=""), SAME, "inconclusive", 0),
        (matches(a=94.8, b=90.3, c=85.1), CLEAR, "supported", -0.2),
        (matches(a=94.8, b=92.0, c=85.1), CLEAR, "contradicted", -1.9),
        (matches(a=94.8, b=88.2, c=85.1), CLEAR, "contradicted", 1.9),
        (matches(a=94.8, b=89.1, c=85.1), CLEAR, "inconclusive", 1.0),
    ],
)
def test_verdicts(claim: Claim, accuracies: Mapping[str, Sequence[float]], verdict: str, effect: float) -> None:
    result = evaluate_one(claim, table(accuracies))
    assert result.verdict == verdict
    assert result.effect == pytest.approx(effect, abs=0.02)


def test_contradicting_a_best_value_is_corrected_for_the_number_of_other_values() -> None:
    order, best = BetterThan(better=B, worse=A, quote=""), Best(axis="arm", value="b", among=AMONG, quote="")
    assert evaluate_one(best, table(CLEAR)).p == pytest.approx(2 * evaluate_one(order, table(CLEAR)).p)


def test_one_of_several_best_values_is_tested_with_bonferronis_correction() -> None:
    """It is a union: small p values of one alternative, or for its opposite of all of them."""
    arms = {"a": [0.951, 0.955, 0.949], "b": [0.94, 0.946, 0.937], "c": [0.90, 0.906, 0.894]}
    one = evaluate_one(A_BETTER, table(arms))
    either = evaluate_one(Best(axis="arm", value=("a", "c"), among=AMONG, quote=""), table(arms))
    assert (either.effect, either.p) == (pytest.approx(one.effect), pytest.approx(2 * one.p))
    b_or_c = evaluate_one(Best(axis="arm", value=("b", "c"), among=AMONG, quote=""), table(arms))
    assert (b_or_c.effect, b_or_c.p) == (pytest.approx(-one.effect), pytest.approx(one.p))


def results(values: Mapping[str, Sequence[float]]) -> list[TrialResult]:
    return trial_results(table(values).assign(num_test=None))


BYTES = {"a": [900e6, 902e6, 897e6], "b": [1003e6, 1001e6, 1005e6]}


@pytest.mark.parametrize(
    ("name", "values", "margins", "verdict", "effect"),
    [
        ("peak_memory_bytes", BYTES, (8, None), "supported", 10.3),
        ("peak_memory_bytes", BYTES, (12, None), "contradicted", 10.3),
        ("peak_memory_bytes", BYTES, (8, 12), "supported", 10.3),
        ("train_images_per_s", {"a": [220.0, 221.0, 219.0], "b": [100.0] * 3}, (100, 150), "supported", 120.0),
        ("train_images_per_s", {"a": [90.0, 90.5, 89.5], "b": [100.0] * 3}, (0, None), "contradicted", -10.0),
    ],
)  # fmt: skip
def test_relative_differences_are_in_percent_of_the_worse(
    name: str,
    values: Mapping[str, Sequence[float]],
    margins: tuple[float, float | None],
    verdict: str,
    effect: float,
) -> None:
    at_least, at_most = margins
    claim = BetterThan(better=A, worse=B, at_least=at_least, at_most=at_most, relative=True, metric=name, quote="")
    (result,) = evaluate_claims((claim,), (), by_metric={name: results(values)})
    assert result.verdict == verdict
    assert result.effect == pytest.approx(effect, abs=0.05)
    assert result.low < result.effect < result.high
    logs = [np.log(values[arm]) for arm in "ba"]
    sign = -1 if METRICS[name].sign == 1 else 1
    oracle = stats.ttest_rel(*logs).confidence_interval()
    assert sorted((result.low, result.high)) == pytest.approx(
        sorted(100 * sign * (1 - math.exp(-end)) for end in oracle), rel=0.02
    )


def test_a_claim_is_about_its_own_metric_and_the_correction_covers_all() -> None:
    less = BetterThan(better=A, worse=B, metric="peak_memory_bytes", quote="")
    losses = {"a": [0.2, 0.21, 0.19], "b": [0.1, 0.11, 0.12]}
    own = {"peak_memory_bytes": results(BYTES), "train_time_s": results(losses)}
    family = (A_BETTER, less, replace(less, metric="train_time_s"), replace(less, metric="loss"))
    accuracy, memory, time, loss = evaluate_claims(family, trial_results(table(CLEAR)), by_metric=own)
    assert [each.verdict for each in (accuracy, memory, time)] == ["supported", "supported", "contradicted"]
    assert memory.effect == pytest.approx(np.mean(BYTES["b"]) - np.mean(BYTES["a"]))
    assert (loss.verdict, loss.caveats) == ("inconclusive", "no result with loss")
    assert max(accuracy.p_holm / accuracy.p, memory.p_holm / memory.p) == pytest.approx(3)


def test_the_effect_of_an_unknown_number_of_test_images_has_no_interval() -> None:
    result = evaluate_one(A_BETTER, table(CLEAR).assign(num_test=None))
    assert (result.verdict, result.effect, result.low, result.p) == ("inconclusive", pytest.approx(4.9), None, None)
    assert result.caveats == "the number of test images is unknown"


@pytest.mark.parametrize(("larger", "smaller", "verdict"), [("a", "b", "supported"), ("b", "a", "contradicted")])
def test_verdicts_on_interactions(larger: str, smaller: str, verdict: str) -> None:
    whole, part = table({"a": [0.95, 0.951], "b": [0.9, 0.902]}), table({"a": [0.5, 0.501], "b": [0.8, 0.801]})
    frame = pd.concat([whole.assign(fraction=1.0), part.assign(fraction=0.1)])
    gap, than = (({"arm": arm, "fraction": 1.0}, {"arm": arm, "fraction": 0.1}) for arm in (larger, smaller))
    claim = LargerGap(gap=gap, than=(than,), quote="")
    result = evaluate_one(claim, frame)
    assert result.verdict == verdict
    assert abs(result.effect or 0) == pytest.approx(45 - 10.05)


def test_one_seed_decides_only_beyond_the_variance_of_other_trials_seeds() -> None:
    """2 points on 10,000 images are significant over the images, but not over seeds."""
    prior = VarianceEstimate(0.01**2, math.inf)
    frames = (discordant(only_a, 50, 10_000).assign(prior_variance=[prior] * 2) for only_a in (250, 800))
    close, far = (evaluate_one(A_BETTER, frame) for frame in frames)
    assert (close.verdict, far.verdict) == ("inconclusive", "supported")
    assert close.required_seeds is close.power is None
    images = (800 + 50) / 10_000 - 0.075**2 + 1 / 10_000
    half_width = stats.norm.ppf(0.975) * math.sqrt(2 * 0.01**2 + images / 10_000)
    assert far.high - far.effect == pytest.approx(100 * half_width, rel=1e-3)
    prior = VarianceEstimate(0.01**2, 2.0)
    few = evaluate_one(A_BETTER, discordant(800, 50, 10_000).assign(prior_variance=[prior] * 2))
    assert few.high - few.effect > 1.5 * (far.high - far.effect), "Student's t, if the variance is of few seeds"
    assert few.caveats == "1 seed: the variance between seeds is that of other trials of this dataset and model"


def test_one_seed_decides_nothing_where_the_seed_variance_is_unknown() -> None:
    """However large the effect. The claim is left out of Holm's correction."""
    frame = pd.concat(
        [discordant(5_000, 0, 10_000).assign(prior_variance=None), table(CLEAR).assign(arm=lambda f: f["arm"] + "3")]
    )
    apart, clear = evaluate_claims(
        (A_BETTER, BetterThan(better={"arm": "a3"}, worse={"arm": "b3"}, quote="")), trial_results(frame)
    )
    assert (apart.verdict, apart.effect, apart.low, apart.p) == ("inconclusive", pytest.approx(50), None, None)
    assert apart.caveats == "needs 3 seeds, or other trials of this dataset and model with several seeds"
    assert clear.p == clear.p_holm


def test_two_seeds_are_too_few_to_estimate_the_required_seeds() -> None:
    result = evaluate_one(A_BETTER, table({"a": [0.91, 0.93], "b": [0.90, 0.91]}))
    assert result.caveats == "needs 3 seeds to estimate the required seeds"
    assert result.required_seeds is result.power is None


def test_holm_covers_the_claims_of_a_study() -> None:
    arms = {"a": [0.912, 0.915, 0.911], "b": [0.90, 0.90, 0.90], "c": [0.905, 0.895, 0.90]}
    family = (
        A_BETTER,
        BetterThan(better={"arm": "c"}, worse=B, quote=""),
        BetterThan(better=A, worse={"arm": "z"}, quote=""),
    )
    alone, (first, second, missing) = (
        evaluate_one(A_BETTER, table(arms)),
        evaluate_claims(family, trial_results(table(arms))),
    )
    assert first.p == alone.p == alone.p_holm
    assert first.p_holm == pytest.approx(2 * first.p)
    assert (alone.verdict, first.verdict) == ("supported", "supported" if first.p_holm < 0.05 else "inconclusive")
    assert second.p_holm == pytest.approx(max(second.p, first.p_holm))
    assert missing.p_holm is None


def test_claims_on_a_grid_with_a_hole_use_its_complete_part() -> None:
    """The claims hold by 4 points with SGD. With Adam, half of which is not run, the opposite holds."""
    space = search_spaces.load("ablation_grid")
    worse = {"data_fraction": 0.25, "resolution": 128, "model.pos_embed": "none"}
    rng = np.random.default_rng(0)
    rows = []
    for candidate in space.candidates((0, 1, 2)):
        cell = candidate.requested_values
        loss = 0.04 * len(worse.items() & cell.items()) * (1 if cell["optimizer"] == "sgd" else -1)
        accuracy = 0.8 - loss + 0.002 * rng.standard_normal()
        rows.append({**cell, "seed": candidate.config.seed, "value": accuracy})
    frame = pd.DataFrame(rows).assign(num_test=10_000, correct=None, prior_variance=None)
    results = evaluate_claims(space.claims, trial_results(frame))
    assert [result.verdict for result in results] == ["supported"] * 3
    assert [result.effect for result in results] == pytest.approx([4, 4, 4], abs=0.2)
