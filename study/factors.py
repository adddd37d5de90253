"""Which factors of a crossed grid matter: an analysis of variance over its scientific axes."""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf
from scipy import optimize, stats
from statsmodels.stats.anova import anova_lm

COLUMNS = ["term", "sum_sq", "df", "F", "p", "effect", "low", "high"]


def anova(frame: pd.DataFrame, axes: Sequence[str]) -> pd.DataFrame:
    """Main effects and two-way interactions of the axes on test accuracy; an ordinary linear model, type II sums.

    Type II tests a main effect beside the other main effects, and an interaction beside all of these, so that a grid
    with holes is judged fairly. An interaction that the grid's holes leave undetermined is left out.

    Args:
        frame: a row per finished trial: a column per axis, and `test_accuracy`, 0 to 1.

    Returns:
        Strongest first: term, sum_sq (squared percentage points), df, F, p, and the effect size: partial eta squared,
        0 to 1, with its 95 % interval (Steiger 2004, doi:10.1037/1082-989X.9.2.164, from the noncentral F). Empty
        where there are too few trials to tell any effect from chance.
    """
    varied = [axis for axis in axes if len(set(frame[axis].astype(str))) > 1]
    names = {axis: f"axis_{place}" for place, axis in enumerate(varied)}
    data = pd.DataFrame({name: frame[axis].astype(str) for axis, name in names.items()})
    data["accuracy"] = 100 * frame["test_accuracy"].astype(float)
    terms = _estimable(data, list(names.values()))
    if not terms or np.ptp(data["accuracy"]) == 0:
        return pd.DataFrame(columns=COLUMNS)
    model = smf.ols(f"accuracy ~ {' + '.join(terms)}", data).fit()
    table = anova_lm(model, typ=2)
    within = table.loc["Residual"]
    axis_of = {name: axis for axis, name in names.items()}
    effects = table.drop(index="Residual").rename(columns={"PR(>F)": "p"})
    effects["term"] = [_spoken(str(term), axis_of) for term in effects.index]
    effects["effect"] = effects["sum_sq"] / (effects["sum_sq"] + within["sum_sq"])
    intervals = [effect_interval(row.F, row.df, within["df"]) for row in effects.itertuples()]
    effects["low"], effects["high"] = zip(*intervals, strict=True)
    strongest_first: pd.DataFrame = effects[COLUMNS].sort_values("effect", ascending=False, ignore_index=True)
    return strongest_first


def effect_interval(f: float, df: float, df_within: float, level: float = 0.95) -> tuple[float, float]:
    """Interval of partial eta squared, 0 to 1: the noncentralities under which this F statistic is no surprise."""

    def noncentrality(share: float) -> float:
        def surplus(value: float) -> float:
            return float(stats.ncf.cdf(f, df, df_within, value) - share)

        if surplus(0) <= 0:
            return 0.0
        highest = 10.0
        while surplus(highest) > 0:
            highest *= 2
        return float(optimize.brentq(surplus, 0, highest))

    low, high = noncentrality((1 + level) / 2), noncentrality((1 - level) / 2)
    total = df + df_within + 1
    return low / (low + total), high / (high + total)


def _estimable(data: pd.DataFrame, names: list[str]) -> list[str]:
    """Main effects, and those interactions that the trials there are can tell apart; none without any to spare."""
    terms: list[str] = []
    candidates = [*(f"C({name})" for name in names)]
    candidates += [f"C({one}):C({other})" for one, other in itertools.combinations(names, 2)]
    for candidate in candidates:
        design = smf.ols(f"accuracy ~ {' + '.join([*terms, candidate])}", data).exog
        if np.linalg.matrix_rank(design) == design.shape[1] < len(data):
            terms.append(candidate)
    return terms


def _spoken(term: str, axis_of: dict[str, str]) -> str:
    return " x ".join(axis_of[part.removeprefix("C(").removesuffix(")")] for part in term.split(":"))
