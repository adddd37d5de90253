"""Tables of a study's results: a row per trial, or a row per cell."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from revit.training.metrics import METRICS, Metric
from study.analysis.intervals import (
    LEVEL,
    NEEDS_SEEDS,
    VarianceEstimate,
    bootstrap_half_widths,
    cell_interval,
    interval_of,
    median_variances,
)
from study.ledger.schema import val_value_name, value_name
from study.ledger.states import TrialState
from study.plan import TRIAL_METRICS, Plan, Trial

MAX_TWO_SEED_WIDTH = 0.2
"""Widest interval of two seeds that is shown: a share, or in relation to its mean."""


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

    In each cell the nuisance point with the best mean validation value is selected, among those whose seeds have all
    finished. `mean` is its value of the study's metric over seeds, `low` and `high` its 95 % interval, and `interval`
    what that is over (`intervals.py`; NaN where seeds are too few). Only trials that reached their last step count.
    `missing` has the states of the cell's other trials.

    Args:
        plan: of another metric than accuracy, as `measured.measure` returns it.
    """
    cells = _selected_by_cell(plan)
    by_seed = [(each[0].candidate.config.dataset, _values(each, plan)) for _, each in cells if each]
    priors = median_variances(by_seed)
    rows = [{**trials[0].candidate.cell, **_summary(trials, selected, priors, plan)} for trials, selected in cells]
    return _frame(rows, plan)


def reported_trials(plan: Plan) -> list[Trial]:
    """Return the finished trials behind the cells' means: those of the selected nuisance points."""
    return [trial for _, selected in _selected_by_cell(plan) for trial in selected if trial.has_result]


def _selected_by_cell(plan: Plan) -> list[tuple[list[Trial], list[Trial]]]:
    """Return the trials of each cell, and those of its selected nuisance point."""
    cells = _group_by(plan.trials, lambda trial: trial.candidate.cell)
    return [(trials, _select_point(trials, plan) if plan.space.nuisance_axes else trials) for trials in cells]


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


def _select_point(trials: list[Trial], plan: Plan) -> list[Trial]:
    """Return the trials of the nuisance point with the best validation value; none if no point is complete."""
    name, sign = val_value_name(plan.space.metric), METRICS[plan.space.metric].sign
    points = _group_by(trials, lambda trial: trial.candidate.nuisance)
    complete = [point for point in points if all(trial.has_result for trial in point)]
    return max(complete, key=lambda point: sign * _mean([_metric(trial, name) for trial in point]), default=[])


def _values(trials: Sequence[Trial], plan: Plan) -> list[float]:
    return [_metric(trial, value_name(plan.space.metric)) for trial in trials if trial.has_result]


def _summary(
    trials: list[Trial], selected: list[Trial], priors: Mapping[object, VarianceEstimate], plan: Plan
) -> dict[str, object]:
    values = _values(selected, plan)
    nuisance = selected[0].candidate.nuisance if selected else {}
    row: dict[str, object] = {**dict.fromkeys(plan.space.nuisance_axes), **nuisance}
    row |= {"n": len(values), "mean": math.nan, "low": math.nan, "high": math.nan, "interval": ""}
    if values:
        finished = [trial for trial in selected if trial.has_result]
        low, high = _interval(values, finished, priors[selected[0].candidate.config.dataset], plan.space.metric)
        row |= {"mean": _mean(values), "interval": NEEDS_SEEDS}
        if _is_shown(len(values), high - low, _mean(values), METRICS[plan.space.metric]):
            row |= {"low": low, "high": high, "interval": _scope(len(values), METRICS[plan.space.metric])}
    num_diverged = sum(trial.state == TrialState.DIVERGED for trial in trials)
    missing = Counter(trial.missing for trial in trials if trial.missing)
    return row | {"diverged": num_diverged, "missing": ", ".join(f"{num} {label}" for label, num in missing.items())}


def _interval(
    values: Sequence[float], trials: Sequence[Trial], prior: VarianceEstimate, name: str
) -> tuple[float, float]:
    """Return the 95 % interval of a cell."""
    if name == "accuracy":
        return cell_interval(values, trials[0].num_test, prior)
    metric = METRICS[name]
    replicates = [trial.replicates for trial in trials if trial.replicates is not None]
    images = bootstrap_half_widths(np.mean(replicates, axis=0), LEVEL / 2) if metric.of_predictions else (0.0, 0.0)
    return interval_of(values, images, prior, 1.0 if metric.unit == "%" else math.inf)


def _is_shown(num_seeds: int, width: float, mean: float, metric: Metric) -> bool:
    """Return whether so many seeds show an interval: one only of images, two only where they are close."""
    if num_seeds == 2:
        return width <= MAX_TWO_SEED_WIDTH * (1 if metric.unit == "%" else mean)
    return num_seeds > 2 or metric.of_predictions is not None


def _scope(num_seeds: int, metric: Metric) -> str:
    """Return what an interval is over."""
    if num_seeds == 1:
        return "over test images, 1 seed"
    return "over seeds and test images" if metric.of_predictions else "over seeds"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
