"""Analysis of variance over the scientific axes of a crossed grid."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import statsmodels.formula.api as smf
from scipy import optimize, stats
from statsmodels.stats.anova import anova_lm

from revit.training.metrics import find_metric
from study.ledger.schema import value_name

MIN_RESIDUAL_SHARE = 1e-12
"""Share of the variance below which a residual is rounding error."""
MAX_NONCENTRAL_F = 1e4
"""Largest F for `scipy.stats.ncf`, which fails far above. A chi-square approximation is then good to four digits."""
COLUMNS = ["term", "sum_sq", "df", "F", "p", "effect", "low", "high"]


def anova(frame: pd.DataFrame, axes: Sequence[str], metric: str = "accuracy") -> pd.DataFrame:
    """Test main effects and two-way interactions of the axes on a metric: a linear model, type II sums of squares.

    Type II tests a main effect adjusted for the other main effects, and an interaction adjusted for all of these, which
    is fair to a grid with holes. An interaction that the holes leave undetermined is left out.

    Args:
        frame: a row per finished trial: a column per axis, and `value_name` of the metric.
        metric: a key of METRICS.

    Returns:
        Strongest first: term, sum_sq (squared percentage points, or units), df, F, p, and the effect size: partial
        omega squared, 0 to 1, with its 95 % interval. Empty if there are too few trials, or if none differ by chance.
    """
    varied = [axis for axis in axes if len(set(frame[axis].map(str))) > 1]
    names = {axis: f"axis_{index}" for index, axis in enumerate(varied)}
    data = pd.DataFrame({name: frame[axis].map(str) for axis, name in names.items()})
    data["value"] = find_metric(metric).factor * frame[value_name(metric)].astype(float)
    terms = _estimable_terms(data, list(names.values()))
    if not terms or np.ptp(data["value"]) == 0:
        return pd.DataFrame(columns=COLUMNS)
    model = smf.ols(_formula(terms), data).fit()
    if model.ssr <= MIN_RESIDUAL_SHARE * model.centered_tss:
        return pd.DataFrame(columns=COLUMNS)
    table = anova_lm(model, typ=2)
    residual_df = table.loc["Residual", "df"]
    axis_of = {f"C({name})": axis for axis, name in names.items()}
    effects = table.drop(index="Residual").rename(columns={"PR(>F)": "p"})
    effects["term"] = [" x ".join(axis_of[part] for part in str(term).split(":")) for term in effects.index]
    effects["effect"] = [effect_size(row.F, row.df, len(data)) for row in effects.itertuples()]
    intervals = [effect_interval(row.F, row.df, residual_df, len(data)) for row in effects.itertuples()]
    effects["low"], effects["high"] = zip(*intervals, strict=True)
    strongest_first: pd.DataFrame = effects[COLUMNS].sort_values(["effect", "F"], ascending=False, ignore_index=True)
    return strongest_first


def adjusted_means(
    frame: pd.DataFrame, axes: Sequence[str], covariates: Sequence[str], metric: str = "accuracy"
) -> pd.DataFrame:
    """Return the mean of a metric at each setting of some axes, adjusted for the other axes.

    In a grid with holes a plain mean confounds axes that vary together: if only the better optimizer was run with
    little data, little data would look good. These are least-squares means (Searle, Speed and Milliken 1980,
    doi:10.1080/00031305.1980.10483031) of a model in which the covariates act additively. In a full grid they are plain
    means.

    Args:
        frame: as for `anova`.
        axes: axes whose settings are compared, as far as they were run.
        covariates: the other axes.

    Returns:
        A row per setting, in order of appearance: a column of text per axis, and mean, low, high: a 95 %
        interval, Student's t. NaN where the grid's holes, or too few trials, leave them undetermined.
    """
    fit = _fit_weights(frame, axes, covariates)
    values = frame[value_name(metric)].to_numpy(float)
    means = np.where(fit.is_estimable, fit.weights @ values, np.nan)
    residual_df = len(fit.design) - np.linalg.matrix_rank(fit.design)
    margin = np.full(len(means), np.nan)
    if residual_df > 0:
        residuals = values - fit.design @ (fit.solve @ values)  # the other order multiplies matrices of trials x trials
        variance = (residuals**2).sum() / residual_df
        margin = stats.t.ppf(0.975, residual_df) * np.sqrt(variance * (fit.weights**2).sum(axis=1))
    return fit.settings.assign(mean=means, low=means - margin, high=means + margin)


def adjusted_means_by_seed(
    frame: pd.DataFrame, axes: Sequence[str], covariates: Sequence[str], metric: str = "accuracy"
) -> pd.DataFrame:
    """Return the adjusted means of the trials of each seed: columns seed, a text per axis, mean; undetermined ones not.

    Seeds with trials in the same cells share the weights of their trials, which take most of the time.

    Args:
        frame: as for `adjusted_means`, with a column seed.
    """
    cells = frame[[*axes, *covariates]].map(str).groupby([*axes, *covariates], sort=False).ngroup()
    ordered = frame.assign(cell=cells.to_numpy()).sort_values(["seed", "cell"], kind="stable", ignore_index=True)
    by_cells: dict[tuple[int, ...], list[pd.DataFrame]] = {}
    for _, trials in ordered.groupby("seed"):
        by_cells.setdefault(tuple(trials["cell"]), []).append(trials)
    parts = []
    for alike in by_cells.values():
        fit = _fit_weights(alike[0].reset_index(drop=True), axes, covariates)
        means = [fit.weights @ trials[value_name(metric)].to_numpy(float) for trials in alike]
        seeds = [trials["seed"].iloc[0] for trials in alike]
        part = pd.concat([fit.settings] * len(alike)).assign(
            mean=np.where(fit.is_estimable, means, np.nan).ravel(), seed=np.repeat(seeds, len(fit.settings))
        )
        parts.append(part)
    return pd.concat(parts).dropna(subset="mean").sort_values("seed", kind="stable")


class _Fit(NamedTuple):
    """Least-squares means as sums over trials, for n trials and k settings.

    Attributes:
        settings: a row per setting, in order of appearance: a column of text per axis.
        weights: of each trial in the mean of each setting, (k, n).
        is_estimable: whether the trials determine the mean, (k,).
        design: the model's matrix, (n, p).
        solve: its pseudoinverse, (p, n).
    """

    settings: pd.DataFrame
    weights: npt.NDArray[np.float64]
    is_estimable: npt.NDArray[np.bool_]
    design: npt.NDArray[np.float64]
    solve: npt.NDArray[np.float64]


def _fit_weights(frame: pd.DataFrame, axes: Sequence[str], covariates: Sequence[str]) -> _Fit:
    """Return how the means at the settings of some axes follow from the trials of a frame."""
    labels = frame[[*axes, *covariates]].map(str)
    settings = labels.groupby(list(axes), sort=False).ngroup()
    own = pd.get_dummies(settings, dtype=float).to_numpy()
    others = [pd.get_dummies(labels[axis], drop_first=True, dtype=float).to_numpy() for axis in covariates]
    design = np.hstack([own, *others])
    shares = [np.full((own.shape[1], other.shape[1]), 1 / (other.shape[1] + 1)) for other in others]
    contrast_matrix = np.hstack([np.eye(own.shape[1]), *shares])
    solve = np.linalg.pinv(design)
    weights = contrast_matrix @ solve
    is_estimable = np.isclose(weights @ design, contrast_matrix, atol=1e-8).all(axis=1)
    first = labels.loc[~settings.duplicated(), list(axes)].reset_index(drop=True)
    return _Fit(first, weights, is_estimable, design, solve)


def effect_size(f: float, df: float, num_trials: int) -> float:
    """Return partial omega squared, 0 to 1: a term's share of the variance that no other term explains.

    Partial eta squared counts what chance gives a term, and so may lie above its own interval. Omega subtracts that,
    and is 0 where nothing is left (Olejnik & Algina 2003, doi:10.1037/1082-989X.8.4.434).
    """
    noncentrality = max(df * (f - 1), 0.0)
    return noncentrality / (noncentrality + num_trials)


def effect_interval(f: float, df: float, residual_df: float, num_trials: int) -> tuple[float, float]:
    """Return the 95 % interval of partial omega squared, 0 to 1, by inverting the noncentral F distribution.

    Steiger 2004, doi:10.1037/1082-989X.9.2.164. `confint_noncentrality` of statsmodels is good to three digits, up to a
    noncentrality of 10,000.
    """
    low, high = (_noncentrality(f, df, residual_df, quantile) for quantile in (0.975, 0.025))
    return low / (low + num_trials), high / (high + num_trials)


def _noncentrality(f: float, df: float, residual_df: float, quantile: float) -> float:
    """Return the noncentrality whose F distribution has `f` as this quantile, at least 0."""
    if f > MAX_NONCENTRAL_F:
        return float(f * df * stats.chi2.isf(quantile, residual_df) / residual_df)

    def root_function(noncentrality: float) -> float:
        return float(stats.ncf.cdf(f, df, residual_df, noncentrality) - quantile)

    if root_function(0) <= 0:
        return 0.0
    highest = 10.0
    while root_function(highest) > 0:
        highest *= 2
    return float(optimize.brentq(root_function, 0, highest))


def _estimable_terms(data: pd.DataFrame, names: list[str]) -> list[str]:
    """Return main effects, and the interactions that the trials can distinguish; none without a residual."""
    settings = data.drop_duplicates(names or None)  # further trials of a setting leave the rank as it is
    terms: list[str] = []
    for factors in [*itertools.combinations(names, 1), *itertools.combinations(names, 2)]:
        parts = [f"C({name})" for name in factors]
        if len(parts) > 1 and not set(parts) <= set(terms):
            continue
        design = smf.ols(_formula([*terms, ":".join(parts)]), settings).exog
        if np.linalg.matrix_rank(design) == design.shape[1] < len(data):
            terms.append(":".join(parts))
    return terms


def _formula(terms: Sequence[str]) -> str:
    return f"value ~ {' + '.join(terms)}"
