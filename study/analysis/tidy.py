"""Tidy results of a study: a row per trial, its axes as columns beside its metrics."""

import math
from collections.abc import Collection
from typing import Any

import pandas as pd

from revit.errors import InputError
from revit.training.metrics import METRICS
from study.analysis.results import further_metrics
from study.ledger.schema import SELECTED_VAL_ACCURACY, value_name
from study.ledger.states import TrialState
from study.plan import Plan
from study.trial import Trial

VAL_ACCURACY_COLUMN = "val_accuracy"


def tidy_table(plan: Plan, states: Collection[str]) -> pd.DataFrame:
    """Return a row per trial in one of the states.

    Columns: axes, seed, state, METRICS, those of further test sets as `accuracy@NAME`, val_accuracy, num_test,
    identity, run_id.

    An axis whose values have one type is a column of that type; another keeps its values as objects, None where a
    nuisance axis does not exist. Shares are from 0
    to 1. What was not measured is NaN. A metric with the name of an axis, such as loss, is `test_loss`.

    Raises:
        InputError: there is no such state.
    """
    for state in states:
        if state not in list(TrialState):
            raise InputError(f"states has {state!r}; must be among {', '.join(TrialState)}")
    trials = [trial for trial in plan.trials if trial.state in states]
    columns = {axis: typed([trial.candidate.point.get(axis) for trial in trials]) for axis in _axes(plan)}
    columns["seed"] = pd.Series([trial.candidate.config.seed for trial in trials], dtype=int)
    columns["state"] = pd.Series([trial.state.value for trial in trials], dtype=str)
    for metric in (*METRICS, *further_metrics(plan)):
        name = value_name(metric)
        columns[name if metric in columns else metric] = _metric(trials, name)
    columns[VAL_ACCURACY_COLUMN] = _metric(trials, SELECTED_VAL_ACCURACY)
    columns["num_test"] = pd.Series([trial.num_test for trial in trials], dtype=int)
    columns["identity"] = pd.Series([trial.identity for trial in trials], dtype=str)
    columns["run_id"] = pd.Series([None if t.record is None else t.record.run_id for t in trials], dtype=str)
    return pd.DataFrame(columns)


def _axes(plan: Plan) -> list[str]:
    return [*plan.space.scientific, *plan.space.nuisance_axes]


def typed(values: list[object]) -> "pd.Series[Any]":
    """Return a column of the values' own type; of objects, where types differ."""
    kinds = {type(value) for value in values}
    return pd.Series(values, dtype=kinds.pop() if len(kinds) == 1 and kinds <= {bool, int, float, str} else object)


def _metric(trials: list[Trial], name: str) -> "pd.Series[float]":
    values = [math.nan if trial.record is None else trial.record.metrics.get(name, math.nan) for trial in trials]
    return pd.Series(values, dtype=float)
