"""Values of the metric that a study is about, where it is another than accuracy."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from revit.training.metrics import METRICS, Predictions, bootstrap, value_of
from study.ledger.schema import value_name
from study.ledger.states import TrialState
from study.plan import Plan
from study.trial import Trial

ReadPredictions = Callable[[str, Sequence[str], str], Predictions]
"""Function of a run id, columns and a split that returns the trial's predictions, in the order of its images."""

NUM_REPLICATES = 1000
BOOTSTRAP_SEED = 0
"""Seed of the images that are drawn: the same ones for all trials on as many images."""


def measure(plan: Plan, read_predictions: ReadPredictions, metric: str | None = None) -> Plan:
    """Return the plan with a metric's value in the record of each finished trial, and its bootstrap replicates.

    A value that was not logged is computed from the predictions. Every finished trial has its accuracy, whose intervals
    need no replicates: for it nothing is read.

    Args:
        read_predictions: called once per finished trial, and only for a metric of predictions.
        metric: a key of METRICS; None for the study's.
    """
    name = plan.space.metric if metric is None else metric
    trials = [replace(trial, replicates=None, unmeasured="") for trial in plan.trials]
    if name == "accuracy":
        return replace(plan, trials=trials)
    finished = {trial.identity: trial for trial in trials if trial.state == TrialState.FINISHED}
    by_size = sorted(finished.values(), key=lambda trial: trial.num_test)  # `bootstrap` keeps the draws of one size
    measured = {trial.identity: _measure(trial, name, read_predictions) for trial in by_size}
    return replace(plan, trials=[_with_value(trial, measured.get(trial.identity, trial)) for trial in trials])


def _with_value(trial: Trial, same: Trial) -> Trial:
    """Return a trial with the value of the same one at another point."""
    return replace(trial, record=same.record, replicates=same.replicates, unmeasured=same.unmeasured)


def _measure(trial: Trial, name: str, read_predictions: ReadPredictions) -> Trial:
    """Return a finished trial with its value, or with why it has none."""
    assert trial.record is not None, "a finished trial has its record"
    record = trial.record
    if METRICS[name].of_predictions is None:
        return replace(trial, unmeasured="" if name in record.metrics else f"without {name}")
    columns = METRICS[name].columns
    try:
        predictions = read_predictions(record.run_id, columns, "test")
        metrics = {value_name(name): value_of(name, predictions), **record.metrics}
    except KeyError as error:
        return replace(trial, unmeasured=f"without predictions: {error.args[0]}")
    except (OSError, ValueError):  # absent, or no Parquet file
        return replace(trial, unmeasured="without predictions")
    replicates = bootstrap(name, predictions, NUM_REPLICATES, BOOTSTRAP_SEED)
    return replace(trial, record=replace(record, metrics=metrics), replicates=replicates)
