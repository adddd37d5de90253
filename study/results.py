"""From plan and ledger to numbers: a row per trial, and from those a row per cell."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, stdev

import pandas as pd
from scipy.special import ndtri, stdtrit  # scipy.stats has the same as intervals, and takes half a second to import

from study.plan import Plan, Trial

METRICS = ("chosen_val_accuracy", "test_accuracy", "test_loss", "train_s")


def trial_table(plan: Plan) -> pd.DataFrame:
    """One row per trial: its axes, seed, identity, state, run_id, num_test and METRICS (NaN where none)."""
    return _frame([_trial_row(trial) for trial in plan.trials], plan)


def cell_table(plan: Plan) -> pd.DataFrame:
    """One row per cell: its axes, the nuisance values chosen, n, mean, low, high, interval, missing.

    Validation chooses: in each cell the nuisance point with the best mean validation accuracy is kept, of
    those whose seeds have all finished, and its test accuracy reported: mean over its seeds and 95 %
    interval. Only trials that reached their last step count; `missing` says what became of the cell's others.
    """
    cells = _grouped(plan.trials, lambda trial: trial.candidate.cell)
    rows = [{**trials[0].candidate.cell, **_summary(trials, list(plan.space.tuned))} for trials in cells]
    return _frame(rows, plan)


def counting_trials(plan: Plan) -> list[Trial]:
    """The finished trials behind the cells' means: of nuisance points, those that validation prefers."""
    cells = _grouped(plan.trials, lambda trial: trial.candidate.cell)
    counting = [_choose(trials) if plan.space.tuned else trials for trials in cells]
    return [trial for trials in counting for trial in trials if trial.state == "finished"]


def seed_interval(accuracies: Sequence[float], num_test: int) -> tuple[float, float, str]:
    """95 % interval of an accuracy, 0 to 1, and what kind it is.

    Over two or more seeds: Student's t on their mean, cut to 0 and 1, `t over seeds`. With one seed only
    the test images vary: Wilson's interval of the count of right answers, `Wilson, 1 seed`.
    """
    if len(accuracies) == 1:
        return *_wilson(accuracies[0], num_test), "Wilson, 1 seed"
    mean = fmean(accuracies)
    spread = stdev(accuracies) / math.sqrt(len(accuracies)) * float(stdtrit(len(accuracies) - 1, 0.975))
    return max(0.0, mean - spread), min(1.0, mean + spread), "t over seeds"


def _wilson(share: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of `count` images: those that a score test does not refuse."""
    z = float(ndtri(0.975))
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    spread = z / (1 + z**2 / count) * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return max(0.0, centre - spread), min(1.0, centre + spread)


def _frame(rows: list[dict[str, object]], plan: Plan) -> pd.DataFrame:
    """A table of rows; axes keep their values as they are, None and whole numbers included."""
    axes = {*plan.space.scientific, *plan.space.tuned}
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return pd.DataFrame({name: pd.Series(v, dtype=object if name in axes else None) for name, v in columns.items()})


def _trial_row(trial: Trial) -> dict[str, object]:
    return {
        **trial.candidate.point,
        "seed": trial.candidate.config.seed,
        "state": trial.state,
        "identity": trial.identity,
        "run_id": None if trial.known is None else trial.known.run_id,
        "num_test": trial.num_test,
        **{name: _metric(trial, name) for name in METRICS},
    }


def _metric(trial: Trial, name: str) -> float:
    return math.nan if trial.known is None else trial.known.metrics.get(name, math.nan)


def _grouped(trials: Sequence[Trial], key: Callable[[Trial], Mapping[str, object]]) -> list[list[Trial]]:
    """Trials with an equal key together, in the order in which keys first appear."""
    groups: dict[tuple[object, ...], list[Trial]] = {}
    for trial in trials:
        groups.setdefault(tuple(key(trial).items()), []).append(trial)
    return list(groups.values())


def _choose(trials: list[Trial]) -> list[Trial]:
    """The trials of the nuisance point that validation prefers; none where no point has finished whole."""
    points = _grouped(trials, lambda trial: trial.candidate.nuisance)
    whole = [point for point in points if all(trial.state == "finished" for trial in point)]
    return max(whole, key=lambda point: _mean([_metric(t, "chosen_val_accuracy") for t in point]), default=[])


def _summary(trials: list[Trial], nuisance: list[str]) -> dict[str, object]:
    chosen = _choose(trials) if nuisance else trials
    finished = [trial for trial in chosen if trial.state == "finished"]
    missing = Counter(trial.missing for trial in trials if trial.missing)
    row: dict[str, object] = {**dict.fromkeys(nuisance), **(chosen[0].candidate.nuisance if chosen else {})}
    row |= {"n": len(finished), "mean": math.nan, "low": math.nan, "high": math.nan, "interval": ""}
    if finished:
        accuracies = [_metric(trial, "test_accuracy") for trial in finished]
        low, high, kind = seed_interval(accuracies, finished[0].num_test)
        row |= {"mean": _mean(accuracies), "low": low, "high": high, "interval": kind}
    return row | {"missing": ", ".join(f"{count} {why}" for why, count in missing.items())}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
