"""From plan and ledger to numbers: a row per trial, and from those a row per cell."""

import math
from collections.abc import Sequence

import pandas as pd
from scipy import stats

from study.plan import Plan, Trial

METRICS = ("val_accuracy", "test_accuracy", "test_loss", "train_s")


def trial_table(plan: Plan) -> pd.DataFrame:
    """One row per trial: its axes, seed, identity, state, run_id, num_test and METRICS (NaN where none)."""
    return pd.DataFrame([_trial_row(trial) for trial in plan.trials])


def cell_table(plan: Plan) -> pd.DataFrame:
    """One row per cell: its axes, the nuisance values chosen, n, mean, low, high, interval, missing.

    Validation chooses: in each cell the nuisance point of best mean validation accuracy is kept, and
    its test accuracy reported, as mean over its seeds and 95 % interval; only trials that reached their
    last step count. `missing` says what became of the others.
    """
    axes, nuisance = list(plan.space.scientific), list(plan.space.nuisance)
    rows = []
    for cell, trials in trial_table(plan).groupby(axes, sort=False, dropna=False):
        chosen = _choose(trials, nuisance) if nuisance else trials
        rows.append(dict(zip(axes, cell, strict=True)) | _summary(chosen, nuisance))
    return pd.DataFrame(rows)


def seed_interval(accuracies: Sequence[float], num_test: int) -> tuple[float, float, str]:
    """95 % interval of an accuracy, 0 to 1, and what kind it is.

    Over two or more seeds: Student's t on their mean, cut to 0 and 1, `t over seeds`. With one seed only
    the test images vary: Wilson's interval of the count of right answers, `Wilson, 1 seed`.
    """
    if len(accuracies) == 1:
        right = round(accuracies[0] * num_test)
        wilson = stats.binomtest(right, num_test).proportion_ci(0.95, method="wilson")
        return wilson.low, wilson.high, "Wilson, 1 seed"
    mean = sum(accuracies) / len(accuracies)
    spread = stats.sem(accuracies) * stats.t.ppf(0.975, len(accuracies) - 1)
    return max(0.0, mean - spread), min(1.0, mean + spread), "t over seeds"


def _trial_row(trial: Trial) -> dict[str, object]:
    candidate = trial.candidate
    metrics = {} if trial.known is None else trial.known.metrics
    return {
        **candidate.cell,
        **candidate.nuisance,
        "seed": candidate.config.seed,
        "state": trial.state,
        "identity": trial.identity,
        "run_id": None if trial.known is None else trial.known.run_id,
        "num_test": trial.num_test,
        **{name: metrics.get(name, math.nan) for name in METRICS},
    }


def _choose(trials: pd.DataFrame, nuisance: list[str]) -> pd.DataFrame:
    finished = trials[trials["state"] == "finished"]
    if finished.empty:
        return trials
    means = finished.groupby(nuisance, sort=False, dropna=False)["val_accuracy"].mean()
    best = means.idxmax()
    values = best if isinstance(best, tuple) else (best,)
    keep = pd.Series(True, index=trials.index)
    for name, value in zip(nuisance, values, strict=True):
        keep &= trials[name] == value
    return trials[keep]


def _summary(trials: pd.DataFrame, nuisance: list[str]) -> dict[str, object]:
    finished = trials[trials["state"] == "finished"]
    chosen = {name: trials[name].iloc[0] for name in nuisance} if len(finished) else dict.fromkeys(nuisance)
    missing = trials.loc[trials["state"] != "finished", "state"].value_counts()
    row: dict[str, object] = {
        **chosen,
        "n": len(finished),
        "mean": math.nan,
        "low": math.nan,
        "high": math.nan,
        "interval": "",
        "missing": ", ".join(f"{count} {state}" for state, count in missing.items()),
    }
    if len(finished):
        accuracies = finished["test_accuracy"].tolist()
        low, high, kind = seed_interval(accuracies, int(finished["num_test"].iloc[0]))
        row |= {"mean": sum(accuracies) / len(accuracies), "low": low, "high": high, "interval": kind}
    return row
