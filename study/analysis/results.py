"""Tables of a study's results: a row per trial, or a row per cell."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from revit.training.metrics import AT, METRICS, Metric, find_metric
from study.analysis.intervals import (
    LEVEL,
    NEEDS_SEEDS,
    VarianceEstimate,
    bootstrap_half_widths,
    cell_interval,
    interval_of,
    median_variances,
)
from study.ledger.schema import value_name
from study.ledger.states import TrialState
from study.plan import TRIAL_METRICS, Plan
from study.trial import Trial

CELLS = "cells"
"""Name of `cell_table` among the tables of a plan: a report shows it in many places."""
MAX_TWO_SEED_WIDTH = 0.2
"""Widest interval of two seeds that is shown: a share, or in relation to its mean."""


def trial_table(plan: Plan) -> pd.DataFrame:
    """Return a row per trial: its axes, seed, identity, state, run_id, num_test and metrics (NaN where unknown).

    The metrics are TRIAL_METRICS, the same of further test sets, and the one that the study is about.
    """
    names = dict.fromkeys((*TRIAL_METRICS, *map(value_name, further_metrics(plan)), value_name(plan.space.metric)))
    rows = [
        {
            **trial.candidate.cell,
            **_nuisance(trial, plan),
            "seed": trial.candidate.config.seed,
            "state": trial.state.value,
            "identity": trial.identity,
            "run_id": None if trial.record is None else trial.record.run_id,
            "num_test": trial.num_test,
            **{name: _metric(trial, name) for name in names},
        }
        for trial in plan.trials
    ]
    return _frame(rows, plan)


def cell_table(plan: Plan) -> pd.DataFrame:
    """Return a row per cell: its axes, selected nuisance values, n, mean, low, high, interval, diverged, missing.

    Where there is a search, the trials are those of the point that it has chosen. `mean` is the value of the study's
    metric over seeds, `low` and `high` its 95 % interval, and `interval` what that is over (`intervals.py`; NaN where
    seeds are too few). Only trials that reached their last step count.
    `missing` has the states of the cell's other trials, or says that its search is not over.

    Args:
        plan: of another metric than accuracy, as `measured.measure` returns it.
    """
    if CELLS not in plan.tables:
        cells = _group_by_cell(plan.trials)
        priors = median_variances([(each[0].candidate.config.dataset, _values(each, plan)) for each in cells])
        rows = [{**trials[0].candidate.cell, **_summary(trials, priors, plan)} for trials in cells]
        plan.tables[CELLS] = _frame(rows, plan)
    table: pd.DataFrame = plan.tables[CELLS]
    return table.copy()


def further_metrics(plan: Plan) -> list[str]:
    """Return the metrics of predictions on every further test set of a plan's trials."""
    labels = dict.fromkeys(label for trial in plan.trials for label in trial.test_sets)
    keys = [key for key, metric in METRICS.items() if metric.of_predictions]
    return [f"{key}{AT}{label}" for label in labels for key in keys]


def reported_trials(plan: Plan) -> list[Trial]:
    """Return the finished trials behind the cells' means, cell by cell."""
    return [trial for trials in _group_by_cell(plan.trials) for trial in trials if trial.has_result]


def _nuisance(trial: Trial, plan: Plan) -> dict[str, object]:
    """Return a trial's value on every nuisance axis, None where the axis does not exist."""
    return {axis: trial.candidate.nuisance.get(axis) for axis in plan.space.nuisance_axes}


def _frame(rows: Sequence[Mapping[str, object]], plan: Plan) -> pd.DataFrame:
    """Return a table of rows. Axes keep the types of their values, None and whole numbers included."""
    axes = {*plan.space.scientific, *plan.space.nuisance_axes}
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return pd.DataFrame({name: pd.Series(v, dtype=object if name in axes else None) for name, v in columns.items()})


def _metric(trial: Trial, name: str) -> float:
    return math.nan if trial.record is None else trial.record.metrics.get(name, math.nan)


def _group_by_cell(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Return trials grouped by their cell, in the order in which cells first appear."""
    groups: dict[tuple[object, ...], list[Trial]] = {}
    for trial in trials:
        groups.setdefault(tuple(trial.candidate.cell.items()), []).append(trial)
    return list(groups.values())


def _values(trials: Sequence[Trial], plan: Plan) -> list[float]:
    return [_metric(trial, value_name(plan.space.metric)) for trial in trials if trial.has_result]


def _summary(trials: list[Trial], priors: Mapping[object, VarianceEstimate], plan: Plan) -> dict[str, object]:
    values = _values(trials, plan)
    row = _nuisance(trials[0], plan)
    row |= {"n": len(values), "mean": math.nan, "low": math.nan, "high": math.nan, "interval": ""}
    if values:
        finished = [trial for trial in trials if trial.has_result]
        low, high = _interval(values, finished, priors[trials[0].candidate.config.dataset], plan.space.metric)
        row |= {"mean": _mean(values), "interval": NEEDS_SEEDS}
        if _is_shown(len(values), high - low, _mean(values), find_metric(plan.space.metric)):
            row |= {"low": low, "high": high, "interval": _scope(len(values), find_metric(plan.space.metric))}
    num_diverged = sum(trial.state == TrialState.DIVERGED for trial in trials)
    missing = Counter(trial.missing for trial in trials if trial.missing)
    reasons = [reason if trials[0].awaits else f"{count} {reason}" for reason, count in missing.items()]
    return row | {"diverged": num_diverged, "missing": ", ".join(reasons)}


def _interval(
    values: Sequence[float], trials: Sequence[Trial], prior: VarianceEstimate, name: str
) -> tuple[float, float]:
    """Return the 95 % interval of a cell."""
    metric = find_metric(name)
    if metric.is_accuracy:
        return cell_interval(values, trials[0].num_test, prior)
    replicates = [trial.replicates for trial in trials if trial.replicates is not None]
    if metric.of_predictions and not replicates:  # its trials are not measured yet
        return math.nan, math.nan
    images = bootstrap_half_widths(np.mean(replicates, axis=0), LEVEL / 2) if metric.of_predictions else (0.0, 0.0)
    return interval_of(values, images, prior, metric.limits)


def _is_shown(num_seeds: int, width: float, mean: float, metric: Metric) -> bool:
    """Return whether so many seeds show an interval: one only of images, two only where they are close."""
    if num_seeds == 2:
        return width <= MAX_TWO_SEED_WIDTH * (1 if metric.is_share else abs(mean))
    return num_seeds > 2 or metric.of_predictions is not None


def _scope(num_seeds: int, metric: Metric) -> str:
    """Return what an interval is over."""
    if num_seeds == 1:
        return "over test images, 1 seed"
    return "over seeds and test images" if metric.of_predictions else "over seeds"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
