"""Analysis of variance, compared with scipy, statsmodels or sums of squares by hand."""

import itertools
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.stats.oneway import confint_noncentrality

from study.analysis import anova as anova_module
from study.analysis.anova import adjusted_means, adjusted_means_by_seed, anova, effect_interval, effect_size

NUM_SEEDS = 4


def grid(effect_of: dict[str, float], noise: float = 0.01, seed: int = 0) -> pd.DataFrame:
    """Return a full grid of two values of a and three of b, with these effects on accuracy."""
    rng = np.random.default_rng(seed)
    rows = []
    for a, b, s in itertools.product(("sgd", "adam"), (8, 16, 28), range(NUM_SEEDS)):
        mean = 0.5 + effect_of.get("a", 0) * (a == "sgd") + effect_of.get("b", 0) * (b == 28)
        mean += effect_of.get("a x b", 0) * (a == "sgd") * (b == 28)
        rows.append((a, b, s, mean + noise * rng.standard_normal()))
    return pd.DataFrame(rows, columns=["a", "b", "seed", "test_accuracy"])


def test_one_factor_is_the_one_way_anova_of_scipy() -> None:
    frame = grid({"b": 0.02})
    [row] = anova(frame, ["b"]).itertuples()
    groups = [part["test_accuracy"] for _, part in frame.groupby("b")]
    expected = stats.f_oneway(*groups)
    assert (row.F, row.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert row.df == 2


def test_a_balanced_grid_has_the_sums_of_squares_computed_by_hand() -> None:
    frame = grid({"a": 0.03, "b": 0.02, "a x b": 0.03})
    y = 100 * frame["test_accuracy"]
    mean = y.mean()
    mean_a, mean_b = y.groupby(frame["a"]).transform("mean"), y.groupby(frame["b"]).transform("mean")
    mean_ab = y.groupby([frame["a"], frame["b"]]).transform("mean")
    noise = ((y - mean_ab) ** 2).sum() / (len(y) - 6)
    expected = {
        "a": ((mean_a - mean) ** 2).sum(),
        "b": ((mean_b - mean) ** 2).sum(),
        "a x b": ((mean_ab - mean_a - mean_b + mean) ** 2).sum(),
    }
    table = anova(frame, ["a", "b"]).set_index("term")
    assert set(table.index) == set(expected)
    for term, sum_sq in expected.items():
        df = table.loc[term, "df"]
        omega_squared = (sum_sq - df * noise) / (sum_sq + (len(y) - df) * noise)
        assert table.loc[term, "sum_sq"] == pytest.approx(sum_sq)
        assert table.loc[term, "effect"] == pytest.approx(omega_squared)
        assert table.loc[term, "low"] < table.loc[term, "effect"] < table.loc[term, "high"]
    assert (table["effect"].diff().dropna() <= 0).all(), "strongest first"


def test_the_interval_of_an_effect_covers_it() -> None:
    """95 % of the intervals cover the true effect, in three groups of eight with a known noncentrality."""
    rng = np.random.default_rng(0)
    means, per_group = np.array([0.0, 0.5, 1.0]), 8
    noncentrality = per_group * ((means - means.mean()) ** 2).sum()
    truth = noncentrality / (noncentrality + 3 * per_group)
    samples = rng.standard_normal((400, 3, per_group)) + means[:, None]
    f = stats.f_oneway(*samples.transpose(1, 2, 0)).statistic
    assert np.mean([effect_size(each, 2, 24) for each in f]) == pytest.approx(truth, abs=0.02)
    held = [low <= truth <= high for low, high in (effect_interval(each, 2, 21, 24) for each in f)]
    assert np.mean(held) == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 400))


def test_an_interval_ends_where_the_statistic_is_a_quantile_of_the_noncentral_f() -> None:
    """The F that 2.5 % of studies with noncentrality 10 exceed gives 10 as the low end, and vice versa."""
    low, _ = effect_interval(stats.ncf.ppf(0.975, 2, 9, 10), 2, 9, 12)
    _, high = effect_interval(stats.ncf.ppf(0.025, 2, 9, 10), 2, 9, 12)
    assert (low, high) == pytest.approx((10 / 22, 10 / 22))


def test_an_effect_is_the_share_of_variance_between_group_means() -> None:
    """The share is the variance of the means, minus that of chance, over the sum with the variance within groups."""
    frame = grid({"b": 0.02}, noise=0.02)
    [row] = anova(frame, ["b"]).itertuples()
    groups = frame.groupby("b")["test_accuracy"]
    within = groups.var().mean()
    between = (groups.mean().var() - within / 8) * 2 / 3
    assert row.effect == pytest.approx(between / (between + within))
    noncentralities = confint_noncentrality(row.F, (2, 21))
    assert (row.low, row.high) == pytest.approx([each / (each + 24) for each in noncentralities], rel=1e-3)


@pytest.mark.parametrize(("f", "df", "df_within"), [(0.2, 1, 40), (1, 3, 8), (4, 2, 21), (9, 1, 64), (30, 6, 12)])
def test_an_interval_has_the_noncentralities_of_statsmodels(f: float, df: int, df_within: int) -> None:
    noncentralities = np.maximum(confint_noncentrality(f, (df, df_within)), 0)
    expected = noncentralities / (noncentralities + 100)
    assert effect_interval(f, df, df_within, 100) == pytest.approx(expected, rel=2e-3, abs=1e-6)


@pytest.mark.parametrize("df", [1, 2, 3, 6, 12])
@pytest.mark.parametrize("df_within", [1, 2, 5, 20, 100, 1000])
def test_an_effect_lies_within_its_interval(df: int, df_within: int) -> None:
    """This holds for any F. An effect of 0 is at the low end. Partial eta squared lies outside."""
    for f in (0.0, 1e-6, 0.01, 0.1, 0.5, 0.9, 1.0, 1.001, 1.1, 1.5, 2, 3, 5, 10, 100, 1e3, 0.99e4, 1.01e4, 1e6, 1e9):
        for num_trials in (df + df_within + 1, 3 * (df + df_within + 1)):
            effect, (low, high) = effect_size(f, df, num_trials), effect_interval(f, df, df_within, num_trials)
            assert 0 <= low <= effect <= high <= 1
            assert (effect == 0) == (f <= 1)
            assert low < effect < high or effect == low == 0


def test_in_an_uneven_grid_a_factor_has_the_squares_that_it_adds() -> None:
    uneven = grid({"a": 0.03, "b": 0.02}).iloc[[*range(9), *range(12, 24)]]
    table = anova(uneven, ["a", "b"]).set_index("term")
    percent = uneven.assign(y=100 * uneven["test_accuracy"])
    without_a, both = smf.ols("y ~ C(b)", percent).fit(), smf.ols("y ~ C(a) + C(b)", percent).fit()
    assert table.loc["a", "sum_sq"] == pytest.approx(without_a.ssr - both.ssr)
    without_b = smf.ols("y ~ C(a)", percent).fit()
    assert table.loc["b", "sum_sq"] == pytest.approx(without_b.ssr - both.ssr)


def test_a_hole_in_the_grid_removes_only_its_interaction() -> None:
    frame = grid({"a": 0.05, "b": 0.02})
    holed = frame[~((frame["a"] == "adam") & (frame["b"] == 28))]
    assert set(anova(holed, ["a", "b"])["term"]) == {"a", "b"}


def test_none_is_a_value_like_any_other() -> None:
    frame = grid({"a": 0.03})
    renamed = frame.assign(a=pd.Series([None if a == "sgd" else a for a in frame["a"]], dtype=object))
    pd.testing.assert_frame_equal(anova(renamed, ["a", "b"]), anova(frame, ["a", "b"]))


def test_results_without_variance_within_cells_have_no_effects() -> None:
    assert anova(grid({"a": 0.03}, noise=0), ["a", "b"]).empty
    strongest = anova(grid({"a": 0.3}, noise=1e-6), ["a", "b"]).iloc[0]
    assert (strongest["term"], strongest["high"]) == ("a", pytest.approx(1))
    assert 0.999 < strongest["low"] < 1


def test_the_approximation_for_strong_effects_is_continuous(monkeypatch: pytest.MonkeyPatch) -> None:
    near = effect_interval(9000, 2, 18, 21)
    monkeypatch.setattr(anova_module, "MAX_NONCENTRAL_F", 1000)
    assert effect_interval(9000, 2, 18, 21) == pytest.approx(near, rel=1e-4)


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_too_few_trials_have_no_effects(rows: int) -> None:
    assert anova(grid({})[:rows], ["a", "b"]).empty


def test_an_axis_of_one_value_has_no_effect() -> None:
    frame = grid({"b": 0.02})
    assert set(anova(frame[frame["a"] == "sgd"], ["a", "b"])["term"]) == {"b"}
    assert anova(frame.assign(test_accuracy=0.5), ["a", "b"]).empty


def test_in_a_full_grid_adjusted_means_are_plain_means() -> None:
    frame = grid({"a": 0.03, "b": 0.02, "a x b": 0.05})
    means = adjusted_means(frame, ["b"], ["a"])
    assert means["b"].tolist() == ["8", "16", "28"]
    assert means["mean"].tolist() == pytest.approx(frame.groupby("b")["test_accuracy"].mean().tolist())
    cells = adjusted_means(frame, ["a", "b"], [])
    plain = frame.groupby(["a", "b"], sort=False)["test_accuracy"].mean()
    assert list(zip(cells["a"], cells["b"].astype(int), strict=True)) == list(plain.index)
    assert cells["mean"].tolist() == pytest.approx(plain.tolist())


def test_adjusted_means_of_one_axis_have_the_intervals_of_statsmodels() -> None:
    frame = grid({"b": 0.02})
    expected = smf.ols("test_accuracy ~ C(b) - 1", frame).fit().conf_int()
    means = adjusted_means(frame, ["b"], [])
    assert means[["low", "high"]].to_numpy() == pytest.approx(expected.to_numpy())


def test_a_value_run_only_with_the_better_optimizer_has_no_better_adjusted_mean() -> None:
    """Value 28 of b has no effect, but was run only with the good optimizer."""
    frame = grid({"a": 0.1}, noise=0.001)
    holed = frame[~((frame["a"] == "adam") & (frame["b"] == 28))]
    plain = holed.groupby("b")["test_accuracy"].mean()
    assert plain[28] - plain[8] > 0.04, "plain means mix it up"
    adjusted = adjusted_means(holed, ["b"], ["a"]).set_index("b")["mean"]
    assert adjusted["28"] - adjusted["8"] == pytest.approx(0, abs=0.002)


def test_adjusted_means_of_many_trials_need_no_matrix_of_trials_by_trials() -> None:
    frame = pd.DataFrame({"a": [0, 1] * 2000, "b": [0, 0, 1, 1] * 1000, "test_accuracy": np.arange(4000) / 4000})
    tracemalloc.start()
    try:
        adjusted_means(frame, ["a"], ["b"])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 4000**2 / 10


def test_adjusted_means_by_seed_are_those_of_its_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seeds lack a trial each, and one has trials that determine no mean: four designs, of five seeds."""
    frame = grid({"a": 0.1, "a x b": 0.05}).query("not (seed == 1 and b == 28) and not (seed == 2 and a == 'sgd')")
    lone = frame[(frame["a"] == "sgd") == (frame["b"] == 28)].query("b != 16 and seed == 0").assign(seed=9)
    frame = pd.concat([frame, lone]).sample(frac=1, random_state=0)
    by_hand = {
        seed: adjusted_means(trials, ["b"], ["a"]).set_index("b")["mean"].dropna()
        for seed, trials in frame.reset_index(drop=True).groupby("seed")
    }
    fits = []
    fit = anova_module._fit_weights
    monkeypatch.setattr(anova_module, "_fit_weights", lambda *given: fits.append(1) or fit(*given))
    means = adjusted_means_by_seed(frame, ["b"], ["a"])
    assert list(means["seed"].unique()) == [0, 1, 2, 3]
    for seed, own in means.groupby("seed"):
        assert own.set_index("b")["mean"].to_dict() == pytest.approx(by_hand[seed].to_dict())
    assert by_hand[9].empty
    assert len(fits) == 4, "seeds 0 and 3 are alike"


def test_adjusted_means_that_the_holes_leave_undetermined_are_nan() -> None:
    """Each value of a was run with one value of b: their effects cannot be separated."""
    frame = grid({"a": 0.1})
    tied = frame[(frame["a"] == "sgd") == (frame["b"] == 28)].query("b != 16")
    assert adjusted_means(tied, ["b"], ["a"])["mean"].isna().all()
    lone = frame.drop_duplicates(["a", "b"])[:1]
    assert adjusted_means(lone, ["b"], ["a"])["mean"].notna().all()
    assert adjusted_means(lone, ["b"], ["a"])["low"].isna().all()
