"""From plan and ledger to numbers: a row per trial, and from those a row per cell."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import pandas as pd

from study.analysis.intervals import (
    NEEDS_SEEDS,
    VarianceEstimate,
    cell_interval,
    interval_scope,
    is_too_wide,
    median_variance,
)
from study.ledger.states import TrialState
from study.plan import Plan, Trial
from study.table_columns import TRIAL_METRICS


def trial_table(plan: Plan) -> pd.DataFrame:
    """One row per trial: its axes, seed, identity, state, run_id, num_test and TRIAL_METRICS (NaN where none)."""
    return _frame([_trial_row(trial) for trial in plan.trials], plan)


def cell_table(plan: Plan) -> pd.DataFrame:
    """Return a row per cell: its axes, the nuisance values chosen, n, mean, low, high, interval, diverged, missing.

    Validation chooses: in each cell the nuisance point with the best mean validation accuracy is kept, of
    those whose seeds have all finished, and its test accuracy reported: mean over its seeds and 95 %
    interval, with what it is over (`intervals.py`; NaN where two seeds are too few). Only trials that reached
    their last step count; `missing` says what became of the cell's others.
    """
    cells = _grouped(plan.trials, lambda trial: trial.candidate.cell)
    chosen = [_choose(trials) if plan.space.nuisance_axes else trials for trials in cells]
    known = _median_variances(chosen)
    rows = [
        {**trials[0].candidate.cell, **_summary(trials, reported, known, list(plan.space.nuisance_axes))}
        for trials, reported in zip(cells, chosen, strict=True)
    ]
    return _frame(rows, plan)


def reported_trials(plan: Plan) -> list[Trial]:
    """The finished trials behind the cells' means: of nuisance points, those that validation prefers."""
    cells = _grouped(plan.trials, lambda trial: trial.candidate.cell)
    counting = [_choose(trials) if plan.space.nuisance_axes else trials for trials in cells]
    return [trial for trials in counting for trial in trials if trial.state == TrialState.FINISHED]


def _frame(rows: list[dict[str, object]], plan: Plan) -> pd.DataFrame:
    """A table of rows; axes keep their values as they are, None and whole numbers included."""
    axes = {*plan.space.scientific, *plan.space.nuisance_axes}
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return pd.DataFrame({name: pd.Series(v, dtype=object if name in axes else None) for name, v in columns.items()})


def _trial_row(trial: Trial) -> dict[str, object]:
    return {
        **trial.candidate.point,
        "seed": trial.candidate.config.seed,
        "state": trial.state.value,
        "identity": trial.identity,
        "run_id": None if trial.record is None else trial.record.run_id,
        "num_test": trial.num_test,
        **{name: _metric(trial, name) for name in TRIAL_METRICS},
    }


def _metric(trial: Trial, name: str) -> float:
    return math.nan if trial.record is None else trial.record.metrics.get(name, math.nan)


def _grouped(trials: Sequence[Trial], key: Callable[[Trial], Mapping[str, object]]) -> list[list[Trial]]:
    """Trials with an equal key together, in the order in which keys first appear."""
    groups: dict[tuple[object, ...], list[Trial]] = {}
    for trial in trials:
        groups.setdefault(tuple(key(trial).items()), []).append(trial)
    return list(groups.values())


def _choose(trials: list[Trial]) -> list[Trial]:
    """The trials of the nuisance point that validation prefers; none where no point has finished whole."""
    points = _grouped(trials, lambda trial: trial.candidate.nuisance)
    whole = [point for point in points if all(trial.state == TrialState.FINISHED for trial in point)]
    return max(whole, key=lambda point: _mean([_metric(t, "selected_val_accuracy") for t in point]), default=[])


def _median_variances(cells: Iterable[Sequence[Trial]]) -> dict[str, VarianceEstimate]:
    """Return what the study knows of the variance between seeds, by dataset."""
    by_dataset: dict[str, list[list[float]]] = {}
    for trials in cells:
        if trials:
            by_dataset.setdefault(trials[0].candidate.config.dataset, []).append(_accuracies(trials))
    return {dataset: median_variance(accuracies) for dataset, accuracies in by_dataset.items()}


def _accuracies(trials: Sequence[Trial]) -> list[float]:
    return [_metric(trial, "test_accuracy") for trial in trials if trial.state == TrialState.FINISHED]


def _summary(
    trials: list[Trial], chosen: list[Trial], known: Mapping[str, VarianceEstimate], nuisance: list[str]
) -> dict[str, object]:
    accuracies = _accuracies(chosen)
    missing = Counter(trial.missing for trial in trials if trial.missing)
    row: dict[str, object] = {**dict.fromkeys(nuisance), **(chosen[0].candidate.nuisance if chosen else {})}
    row |= {"n": len(accuracies), "mean": math.nan, "low": math.nan, "high": math.nan, "interval": ""}
    if accuracies:
        spread = known[chosen[0].candidate.config.dataset]
        row |= {"mean": _mean(accuracies)} | _interval(accuracies, chosen[0].num_test, spread)
    num_diverged = sum(trial.state == TrialState.DIVERGED for trial in trials)
    return row | {"diverged": num_diverged, "missing": ", ".join(f"{count} {why}" for why, count in missing.items())}


def _interval(accuracies: Sequence[float], num_test: int, known: VarianceEstimate) -> dict[str, object]:
    low, high = cell_interval(accuracies, num_test, known)
    if is_too_wide(len(accuracies), low, high):
        return {"interval": NEEDS_SEEDS}
    return {"low": low, "high": high, "interval": interval_scope(len(accuracies))}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
