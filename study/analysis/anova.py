"""Which factors of a crossed grid matter: an analysis of variance over its scientific axes."""

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import statsmodels.formula.api as smf
from scipy import optimize, stats
from statsmodels.stats.anova import anova_lm

ROUNDING = 1e-12
"""Share of the variance below which nothing but rounding is left."""
MAX_NONCENTRAL_F = 1e4
"""From which the noncentral F is, to four digits, its noncentrality over a chi square; scipy's fails far above."""
COLUMNS = ["term", "sum_sq", "df", "F", "p", "effect", "low", "high"]


def anova(frame: pd.DataFrame, axes: Sequence[str]) -> pd.DataFrame:
    """Main effects and two-way interactions of the axes on test accuracy; an ordinary linear model, type II sums.

    Type II tests a main effect beside the other main effects, and an interaction beside all of these, so that a grid
    with holes is judged fairly. An interaction that the grid's holes leave undetermined is left out.

    Args:
        frame: a row per finished trial: a column per axis, and `test_accuracy`, 0 to 1.

    Returns:
        Strongest first: term, sum_sq (squared percentage points), df, F, p, and the effect size: partial omega squared,
        0 to 1, with its 95 % interval. Empty where there are too few trials to tell any effect from chance, or none
        differ by chance at all.
    """
    varied = [axis for axis in axes if len(set(frame[axis].map(str))) > 1]
    names = {axis: f"axis_{place}" for place, axis in enumerate(varied)}
    data = pd.DataFrame({name: frame[axis].map(str) for axis, name in names.items()})
    data["accuracy"] = 100 * frame["test_accuracy"].astype(float)
    terms = _estimable(data, list(names.values()))
    if not terms or np.ptp(data["accuracy"]) == 0:
        return pd.DataFrame(columns=COLUMNS)
    model = smf.ols(f"accuracy ~ {' + '.join(terms)}", data).fit()
    if model.ssr <= ROUNDING * model.centered_tss:
        return pd.DataFrame(columns=COLUMNS)
    table = anova_lm(model, typ=2)
    df_within = table.loc["Residual", "df"]
    axis_of = {name: axis for axis, name in names.items()}
    effects = table.drop(index="Residual").rename(columns={"PR(>F)": "p"})
    effects["term"] = [_spoken(str(term), axis_of) for term in effects.index]
    effects["effect"] = [effect_size(row.F, row.df, len(data)) for row in effects.itertuples()]
    intervals = [effect_interval(row.F, row.df, df_within, len(data)) for row in effects.itertuples()]
    effects["low"], effects["high"] = zip(*intervals, strict=True)
    strongest_first: pd.DataFrame = effects[COLUMNS].sort_values(["effect", "F"], ascending=False, ignore_index=True)
    return strongest_first


def adjusted_means(frame: pd.DataFrame, of: Sequence[str], beside: Sequence[str]) -> pd.DataFrame:
    """Test accuracy at each setting of some axes, as if it had been run with every value of the other axes alike.

    In a grid with holes a plain mean mixes up what varies together: where only the better optimizer was run with
    little data, little data would look good. These are least-squares means (Searle, Speed and Milliken 1980,
    doi:10.1080/00031305.1980.10483031) of a model in which `beside` acts additively; of a full grid, plain means.

    Args:
        frame: as for `anova`.
        of: axes whose settings are compared; only settings that were run are.
        beside: the other axes.

    Returns:
        A row per setting, in order of appearance: a column of text per axis of `of`, and mean, low, high (0 to 1; 95 %
        interval, Student's t). NaN where the grid's holes, or too few trials, leave them undetermined.
    """
    settings = frame.groupby([frame[axis].map(str) for axis in of], sort=False).ngroup().to_numpy()
    own = _indicators(settings)
    others = [_indicators(pd.factorize(frame[axis].map(str))[0])[:, 1:] for axis in beside]
    design = np.hstack([own, *others])
    shares = [np.full((own.shape[1], other.shape[1]), 1 / (other.shape[1] + 1)) for other in others]
    weights = np.hstack([np.eye(own.shape[1]), *shares])
    accuracy, solve = frame["test_accuracy"].to_numpy(float), np.linalg.pinv(design)
    use = weights @ solve
    known = np.isclose(use @ design, weights, atol=1e-8).all(axis=1)
    means = np.where(known, use @ accuracy, np.nan)
    num_spare = len(design) - np.linalg.matrix_rank(design)
    margin = np.full(len(means), np.nan)
    if num_spare > 0:
        noise = ((accuracy - design @ solve @ accuracy) ** 2).sum() / num_spare
        margin = stats.t.ppf(0.975, num_spare) * np.sqrt(noise * (use**2).sum(axis=1))
    first = frame.iloc[np.unique(settings, return_index=True)[1]]
    named = pd.DataFrame({axis: first[axis].map(str).to_numpy() for axis in of})
    return named.assign(mean=means, low=means - margin, high=means + margin)


def _indicators(codes: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """A column of 0 and 1 per code, (n,) -> (n, number of codes)."""
    return np.asarray(codes[:, None] == np.arange(codes.max(initial=-1) + 1), float)


def effect_size(f: float, df: float, num_trials: int) -> float:
    """Partial omega squared, 0 to 1: a term's share of the variance that no other term explains.

    Partial eta squared counts as the term's what chance alone gives it, and so may lie above its own interval. Omega
    takes that off, and is 0 where no more is left (Olejnik & Algina 2003, doi:10.1037/1082-989X.8.4.434).
    """
    noncentrality = max(df * (f - 1), 0.0)
    return noncentrality / (noncentrality + num_trials)


def effect_interval(f: float, df: float, df_within: float, num_trials: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of partial omega squared, 0 to 1: the noncentralities under which this F statistic is no surprise.

    Of Steiger 2004, doi:10.1037/1082-989X.9.2.164.
    """

    def noncentrality(share: float) -> float:
        if f > MAX_NONCENTRAL_F:
            return float(f * df * stats.chi2.isf(share, df_within) / df_within)

        def surplus(value: float) -> float:
            return float(stats.ncf.cdf(f, df, df_within, value) - share)

        if surplus(0) <= 0:
            return 0.0
        highest = 10.0
        while surplus(highest) > 0:
            highest *= 2
        return float(optimize.brentq(surplus, 0, highest))

    low, high = noncentrality((1 + level) / 2), noncentrality((1 - level) / 2)
    return low / (low + num_trials), high / (high + num_trials)


def _estimable(data: pd.DataFrame, names: list[str]) -> list[str]:
    """Main effects, and those interactions that the trials there are can tell apart; none without any to spare."""
    codes = {name: _indicators(pd.factorize(data[name])[0])[:, 1:] for name in names}
    terms: list[str] = []
    design = np.ones((len(data), 1))
    for term in [*itertools.combinations(names, 1), *itertools.combinations(names, 2)]:
        if len(term) > 1 and not all(f"C({name})" in terms for name in term):
            continue
        added = codes[term[0]] if len(term) == 1 else _products(codes[term[0]], codes[term[1]])
        wider = np.hstack([design, added])
        if np.linalg.matrix_rank(wider) == wider.shape[1] < len(data):
            terms.append(":".join(f"C({name})" for name in term))
            design = wider
    return terms


def _products(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Every column of the one times every column of the other, (n, A) and (n, B) -> (n, A B)."""
    return (one[:, :, None] * other[:, None, :]).reshape(len(one), -1)


def _spoken(term: str, axis_of: dict[str, str]) -> str:
    return " x ".join(axis_of[part.removeprefix("C(").removesuffix(")")] for part in term.split(":"))
