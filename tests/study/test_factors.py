import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from study import plots
from study.factors import anova, effect_interval

NUM_SEEDS = 4


def grid(effect_of: dict[str, float], noise: float = 0.01, seed: int = 0) -> pd.DataFrame:
    """A full crossing of two values of a and three of b, with the stated effects on accuracy."""
    rng = np.random.default_rng(seed)
    rows = []
    for a, b, s in itertools.product(("sgd", "adam"), (8, 16, 28), range(NUM_SEEDS)):
        mean = 0.5 + effect_of.get("a", 0) * (a == "sgd") + effect_of.get("b", 0) * (b == 28)
        mean += effect_of.get("a x b", 0) * (a == "sgd") * (b == 28)
        rows.append((a, b, s, mean + noise * rng.standard_normal()))
    return pd.DataFrame(rows, columns=["a", "b", "seed", "test_accuracy"])


def test_one_factor_is_scipys_one_way_analysis() -> None:
    frame = grid({"b": 0.02})
    [row] = anova(frame, ["b"]).itertuples()
    groups = [part["test_accuracy"] for _, part in frame.groupby("b")]
    expected = stats.f_oneway(*groups)
    assert (row.F, row.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert row.df == 2


def test_a_balanced_grid_is_the_sums_of_squares_by_hand() -> None:
    frame = grid({"a": 0.03, "b": 0.02, "a x b": 0.02})
    y = 100 * frame["test_accuracy"]
    mean = y.mean()
    mean_a, mean_b = y.groupby(frame["a"]).transform("mean"), y.groupby(frame["b"]).transform("mean")
    mean_ab = y.groupby([frame["a"], frame["b"]]).transform("mean")
    within = ((y - mean_ab) ** 2).sum()
    expected = {
        "a": ((mean_a - mean) ** 2).sum(),
        "b": ((mean_b - mean) ** 2).sum(),
        "a x b": ((mean_ab - mean_a - mean_b + mean) ** 2).sum(),
    }
    table = anova(frame, ["a", "b"]).set_index("term")
    assert set(table.index) == set(expected)
    for term, sum_sq in expected.items():
        assert table.loc[term, "sum_sq"] == pytest.approx(sum_sq)
        assert table.loc[term, "effect"] == pytest.approx(sum_sq / (sum_sq + within))
        assert table.loc[term, "low"] < table.loc[term, "effect"] < table.loc[term, "high"]
    assert (table["effect"].diff().dropna() <= 0).all(), "strongest first"


def test_the_interval_of_an_effect_covers_it() -> None:
    """One-way with three groups of eight and a known noncentrality: 95 of 100 intervals hold the true effect."""
    rng = np.random.default_rng(0)
    means, per_group = np.array([0.0, 0.5, 1.0]), 8
    noncentrality = per_group * ((means - means.mean()) ** 2).sum()
    truth = noncentrality / (noncentrality + 3 * per_group)
    samples = rng.standard_normal((400, 3, per_group)) + means[:, None]
    f = stats.f_oneway(*samples.transpose(1, 2, 0)).statistic
    held = [low <= truth <= high for low, high in (effect_interval(each, 2, 21) for each in f)]
    assert np.mean(held) == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 400))


def test_a_hole_in_the_grid_takes_its_interaction_away_and_nothing_else() -> None:
    frame = grid({"a": 0.05, "b": 0.02})
    holed = frame[~((frame["a"] == "adam") & (frame["b"] == 28))]
    assert set(anova(holed, ["a", "b"])["term"]) == {"a", "b"}


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_too_few_trials_tell_nothing(rows: int) -> None:
    assert anova(grid({})[:rows], ["a", "b"]).empty


def test_an_axis_of_one_value_and_equal_results_tell_nothing() -> None:
    frame = grid({"b": 0.02})
    assert set(anova(frame[frame["a"] == "sgd"], ["a", "b"])["term"]) == {"b"}
    assert anova(frame.assign(test_accuracy=0.5), ["a", "b"]).empty


def test_main_effects_and_interactions_draw_the_means() -> None:
    frame = grid({"a": 0.03, "a x b": 0.1})
    by_a, by_b = plots.main_effects(frame, ["a", "b"]).data
    assert np.allclose(by_a.x, 100 * frame.groupby("a", sort=False)["test_accuracy"].mean(), rtol=1e-5)
    assert list(by_b.y) == ["b: 8", "b: 16", "b: 28"]
    sgd, adam = plots.interaction(frame, "b", "a").data
    assert (sgd.name, adam.name) == ("sgd", "adam")
    of_sgd = frame[frame["a"] == "sgd"].groupby("b")["test_accuracy"].mean()
    assert np.allclose(sgd.y, 100 * of_sgd, rtol=1e-5)
