"""Contrasts, compared with tests of scipy or statsmodels."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import test_proportions_2indep as two_proportions

from search_spaces.framework.claims import Best
from tests.study.analysis.claim_frames import (
    A_BETTER,
    AMONG,
    CLEAR,
    STEADY,
    discordant,
    evaluate_one,
    predicted,
    table,
)


def test_without_image_variance_the_test_is_the_paired_t_test() -> None:
    ours, theirs = [0.91, 0.93, 0.92, 0.95], [0.92, 0.91, 0.92, 0.90]
    result = evaluate_one(A_BETTER, table({"a": ours, "b": theirs}))
    oracle = stats.ttest_rel(ours, theirs)
    assert result.p == pytest.approx(oracle.pvalue, rel=1e-4)
    assert (result.low, result.high) == pytest.approx([100 * end for end in oracle.confidence_interval()], rel=1e-4)
    assert result.test == "paired t over seeds, binomial over test images"
    assert result.num_seeds == 4


@pytest.mark.parametrize(("only_a", "only_b"), [(90, 60), (40, 75), (300, 300)])
def test_one_seed_with_predictions_is_mcnemars_test(only_a: int, only_b: int) -> None:
    result = evaluate_one(A_BETTER, discordant(only_a, only_b, 10_000))
    oracle = mcnemar([[0, only_a], [only_b, 0]], exact=False, correction=False)
    assert result.p == pytest.approx(oracle.pvalue, abs=0.003)
    assert result.test == "McNemar over test images, 1 seed"


def test_one_seed_is_not_significant_where_mcnemars_mid_p_test_is_not() -> None:
    """Wald's test alone is, with few images. Fagerland, Lydersen & Laake 2013 recommend the mid-p test."""
    for only_a in range(1, 26):
        for only_b in range(10):
            counts = stats.binom(only_a + only_b, 0.5)
            mid_p = 2 * counts.cdf(min(only_a, only_b)) - counts.pmf(only_a)
            p = evaluate_one(A_BETTER, discordant(only_a, only_b, 99)).p
            assert p is not None
            assert p > 0.05 or mid_p <= 0.05


def test_one_seed_without_predictions_is_the_test_of_two_proportions() -> None:
    result = evaluate_one(A_BETTER, table({"a": [0.95], "b": [0.943]}, num_test=10_000, prior_variance=STEADY))
    oracle = two_proportions(9500, 10_000, 9430, 10_000, compare="diff", method="wald")
    assert result.p == pytest.approx(oracle.pvalue, abs=1e-3)
    assert result.test == "binomial over test images, 1 seed"


def test_the_image_variance_is_the_component_of_the_analysis_of_variance() -> None:
    rng = np.random.default_rng(0)
    easy = rng.normal(0, 1, 40)
    right = (easy + rng.normal(0, 0.7, (2, 3, 40)) + rng.normal(0, 0.5, (2, 1, 40))) > 0
    d = right[0].astype(float) - right[1]
    long = pd.DataFrame([(s, i, d[s, i]) for s in range(3) for i in range(40)], columns=["seed", "image", "d"])
    anova = anova_lm(ols("d ~ C(seed) + C(image)", long).fit())
    squares = anova["sum_sq"] / anova["df"]
    component = (squares["C(image)"] - squares["Residual"]) / (3 * 40)
    assert component > 0
    half_width = stats.t.ppf(0.975, 2) ** 2 * d.mean(1).var(ddof=1) / 3
    half_width += stats.norm.ppf(0.975) ** 2 * (component + 1 / 40**2)  # and Agresti's half an image in each cell
    result = evaluate_one(A_BETTER, predicted({"a": right[0], "b": right[1]}))
    assert result.test == "two-way random effects (seed x test image)"
    assert result.effect is not None
    assert result.high == pytest.approx(result.effect + 100 * half_width**0.5)


def test_p_is_significant_where_the_interval_excludes_zero() -> None:
    """p is 0.05 where the interval ends at 0."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b = rng.random((2, 3, 200)) < rng.uniform(0.5, 0.8, (2, 3, 1))
        result = evaluate_one(A_BETTER, predicted({"a": a, "b": b}))
        assert result.low is not None
        assert result.high is not None
        assert result.p is not None
        assert (result.p <= 0.05) == (result.low > 0 or result.high < 0)


def test_predictions_give_a_smaller_p_than_counts() -> None:
    rng = np.random.default_rng(0)
    easy = rng.normal(0, 1, 2000)
    right = {arm: easy + rng.normal(0, 0.3, (4, 2000)) > bound for arm, bound in (("a", -1.0), ("b", -0.9))}
    frame = predicted(right)
    by_image, by_count = evaluate_one(A_BETTER, frame), evaluate_one(A_BETTER, frame.assign(correct=None))
    assert by_image.effect == by_count.effect
    assert by_image.p < by_count.p


def test_many_images_do_not_outweigh_seeds_that_disagree() -> None:
    """The difference of each seed is significant over 50,000 images, but its sign varies."""
    rng = np.random.default_rng(0)
    shares = {"a": [0.95, 0.90, 0.94], "b": [0.90, 0.91, 0.90]}
    frame = predicted({arm: rng.random((3, 50_000)) < np.array(by_seed)[:, None] for arm, by_seed in shares.items()})
    for seed in range(3):
        assert (
            evaluate_one(A_BETTER, frame[frame["seed"] == seed].assign(prior_variance=[STEADY] * 2)).p < 0.05
            or seed == 1
        )
    assert evaluate_one(A_BETTER, frame).verdict == "inconclusive"


def test_many_seeds_do_not_outweigh_few_images() -> None:
    """20 seeds get the same 2 more of 99 images right."""
    b = np.ones((20, 99), bool)
    b[:, :2] = False
    result = evaluate_one(A_BETTER, predicted({"a": np.ones((20, 99), bool), "b": b}))
    assert result.verdict == "inconclusive"
    assert result.required_seeds is None
    assert result.caveats == "required seeds > 100 at the observed effect (power 0 % with 100)"


def test_two_seeds_that_agree_by_chance_decide_nothing() -> None:
    """The difference is equal for both seeds, but the cells' own accuracies vary."""
    frame = table({"a": [0.90, 0.95], "b": [0.88, 0.93]})
    assert evaluate_one(A_BETTER, frame).verdict == "inconclusive"
    assert evaluate_one(A_BETTER, table({"a": [0.95, 0.95], "b": [0.93, 0.93]})).verdict == "supported"


def test_a_missing_cell_leaves_a_claim_inconclusive_and_is_named() -> None:
    result = evaluate_one(Best(axis="arm", value="a", among=(*AMONG, "d"), quote=""), table(CLEAR))
    assert (result.verdict, result.caveats, result.p) == ("inconclusive", "no result for arm d", None)
    assert evaluate_one(A_BETTER, table(CLEAR).iloc[:0]).caveats == "no result for arm a"


def test_seeds_are_paired_and_unpaired_seeds_are_excluded() -> None:
    result = evaluate_one(A_BETTER, table({"a": [0.95, 0.96, 0.97, 0.99], "b": [0.90, 0.91, 0.92]}))
    assert (result.verdict, result.num_seeds, result.effect) == ("supported", 3, pytest.approx(5))
    assert result.caveats == "excluded, not finished in every cell: seeds 3"
    apart = pd.concat([table({"a": [0.9]}), table({"b": [0.8]}).assign(seed=7)])
    assert evaluate_one(A_BETTER, apart).caveats == "no seed is finished in all of its cells"


def test_axes_that_a_claim_does_not_name_are_averaged_over() -> None:
    """The datasets have different numbers of images; all of their cells are needed."""
    rng = np.random.default_rng(0)
    small = predicted({"a": rng.random((3, 500)) < 0.9, "b": rng.random((3, 500)) < 0.6}, dataset="small")
    large = predicted({"a": rng.random((3, 900)) < 0.8, "b": rng.random((3, 900)) < 0.5}, dataset="large")
    result = evaluate_one(A_BETTER, pd.concat([small, large]))
    effects = [evaluate_one(A_BETTER, frame).effect for frame in (small, large)]
    assert result.effect == pytest.approx(np.mean(effects))
    assert result.verdict == "supported"
    assert (
        evaluate_one(A_BETTER, pd.concat([small, large[large["arm"] == "a"]])).caveats
        == "no result for arm b, dataset large"
    )


def test_images_of_different_datasets_are_independent() -> None:
    """Two datasets halve the image variance, even if each trial has equal predictions on both."""
    alone = evaluate_one(A_BETTER, discordant(30, 20, 200))
    both = evaluate_one(A_BETTER, pd.concat([discordant(30, 20, 200).assign(dataset=name) for name in ("x", "y")]))
    assert both.high - both.effect == pytest.approx((alone.high - alone.effect) / 2**0.5)


def test_predictions_on_different_images_are_compared_by_count() -> None:
    frame = pd.concat([predicted({"a": np.ones((2, 50), bool)}), predicted({"b": np.ones((2, 60), bool)})])
    assert evaluate_one(A_BETTER, frame).test == "paired t over seeds, binomial over test images"
