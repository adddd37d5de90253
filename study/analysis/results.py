"""Tables of a study's results: a row per trial, or a row per cell."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import pandas as pd

from study.analysis.intervals import NEEDS_SEEDS, VarianceEstimate, cell_interval, median_variances
from study.ledger.schema import SELECTED_VAL_ACCURACY, TEST_ACCURACY
from study.ledger.states import TrialState
from study.plan import TRIAL_METRICS, Plan, Trial

MAX_TWO_SEED_WIDTH = 0.2
"""Widest interval (share) of two seeds that is shown."""


def trial_table(plan: Plan) -> pd.DataFrame:
    """Return a row per trial: its axes, seed, identity, state, run_id, num_test and TRIAL_METRICS (or NaN)."""
    rows = [
        {
            **trial.candidate.point,
            "seed": trial.candidate.config.seed,
            "state": trial.state.value,
            "identity": trial.identity,
            "run_id": None if trial.record is None else trial.record.run_id,
            "num_test": trial.num_test,
            **{name: _metric(trial, name) for name in TRIAL_METRICS},
        }
        for trial in plan.trials
    ]
    return _frame(rows, plan)


def cell_table(plan: Plan) -> pd.DataFrame:
    """Return a row per cell: its axes, selected nuisance values, n, mean, low, high, interval, diverged, missing.

    In each cell the nuisance point with the best mean validation accuracy is selected, among those whose seeds have all
    finished. `mean` is its test accuracy over seeds, `low` and `high` its 95 % interval, and `interval` what that is
    over (`intervals.py`; NaN where two seeds are too few). Only trials that reached their last step count. `missing`
    has the states of the cell's other trials.
    """
    cells = _selected_by_cell(plan)
    by_seed = [(each[0].candidate.config.dataset, _accuracies(each)) for _, each in cells if each]
    priors = median_variances(by_seed)
    axes = plan.space.nuisance_axes
    rows = [{**trials[0].candidate.cell, **_summary(trials, selected, priors, axes)} for trials, selected in cells]
    return _frame(rows, plan)


def reported_trials(plan: Plan) -> list[Trial]:
    """Return the finished trials behind the cells' means: those of the selected nuisance points."""
    return [
        trial for _, selected in _selected_by_cell(plan) for trial in selected if trial.state == TrialState.FINISHED
    ]


def _selected_by_cell(plan: Plan) -> list[tuple[list[Trial], list[Trial]]]:
    """Return the trials of each cell, and those of its selected nuisance point."""
    cells = _group_by(plan.trials, lambda trial: trial.candidate.cell)
    return [(trials, _select_point(trials) if plan.space.nuisance_axes else trials) for trials in cells]


def _frame(rows: Sequence[Mapping[str, object]], plan: Plan) -> pd.DataFrame:
    """Return a table of rows. Axes keep the types of their values, None and whole numbers included."""
    axes = {*plan.space.scientific, *plan.space.nuisance_axes}
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return pd.DataFrame({name: pd.Series(v, dtype=object if name in axes else None) for name, v in columns.items()})


def _metric(trial: Trial, name: str) -> float:
    return math.nan if trial.record is None else trial.record.metrics.get(name, math.nan)


def _group_by(trials: Sequence[Trial], key: Callable[[Trial], Mapping[str, object]]) -> list[list[Trial]]:
    """Return trials grouped by an equal key, in the order in which keys first appear."""
    groups: dict[tuple[object, ...], list[Trial]] = {}
    for trial in trials:
        groups.setdefault(tuple(key(trial).items()), []).append(trial)
    return list(groups.values())


def _select_point(trials: list[Trial]) -> list[Trial]:
    """Return the trials of the nuisance point with the best validation accuracy; none if no point is complete."""
    points = _group_by(trials, lambda trial: trial.candidate.nuisance)
    complete = [point for point in points if all(trial.state == TrialState.FINISHED for trial in point)]
    return max(complete, key=lambda point: _mean([_metric(t, SELECTED_VAL_ACCURACY) for t in point]), default=[])


def _accuracies(trials: Sequence[Trial]) -> list[float]:
    return [_metric(trial, TEST_ACCURACY) for trial in trials if trial.state == TrialState.FINISHED]


def _summary(
    trials: list[Trial], selected: list[Trial], priors: Mapping[object, VarianceEstimate], nuisance_axes: Iterable[str]
) -> dict[str, object]:
    accuracies = _accuracies(selected)
    row: dict[str, object] = {**dict.fromkeys(nuisance_axes), **(selected[0].candidate.nuisance if selected else {})}
    row |= {"n": len(accuracies), "mean": math.nan, "low": math.nan, "high": math.nan, "interval": ""}
    if accuracies:
        prior = priors[selected[0].candidate.config.dataset]
        low, high = cell_interval(accuracies, selected[0].num_test, prior)
        row |= {"mean": _mean(accuracies), "interval": NEEDS_SEEDS}
        if len(accuracies) != 2 or high - low <= MAX_TWO_SEED_WIDTH:
            scope = "over test images, 1 seed" if len(accuracies) == 1 else "over seeds and test images"
            row |= {"low": low, "high": high, "interval": scope}
    num_diverged = sum(trial.state == TrialState.DIVERGED for trial in trials)
    missing = Counter(trial.missing for trial in trials if trial.missing)
    return row | {"diverged": num_diverged, "missing": ", ".join(f"{num} {label}" for label, num in missing.items())}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
