"""Values of the metrics that a study is about, where they are others than accuracy."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from revit.datasets.registry import SPECS, label_test_set
from revit.training.metrics import Metric, Predictions, bootstrap, find_metric, value_of
from study.ledger.schema import num_test_name, value_name
from study.ledger.states import TrialState
from study.plan import Plan
from study.trial import Trial

ReadPredictions = Callable[[str, Sequence[str], str], Predictions]
"""Function of a run id, columns and a split that returns the trial's predictions, in the order of its images."""

NUM_REPLICATES = 1000
BOOTSTRAP_SEED = 0
"""Seed of the images that are drawn: the same ones for all trials on as many images."""
OTHER_SEED = 1
"""Seed of the images of the own test split, where a change compares them with others."""


def about(plan: Plan, name: str) -> Plan:
    """Return a plan about another metric, without its claims; `measure` it before its tables are made.

    Raises:
        InputError: there is no such metric, or its trials are not tested on its test set.
    """
    if name == plan.space.metric:
        return plan
    return replace(plan, space=plan.space.about(name))


def measure(plan: Plan, read_predictions: ReadPredictions, metric: str | None = None) -> Plan:
    """Return the plan with a metric's value in the record of each finished trial, and its bootstrap replicates.

    So is the plan about each further metric of the study, in `further`, where none is named. A value that was not
    logged is computed from the predictions. Every finished trial has its accuracy, whose intervals need no replicates:
    for it nothing is read.

    Args:
        read_predictions: called once per finished trial and test set, and only for a metric of predictions.
        metric: as `find_metric` takes it; None for the study's.
    """
    measured = _measure_trials(plan, plan.space.metric if metric is None else metric, read_predictions)
    if metric is not None or not plan.space.metrics:
        return measured
    others = [(name, about(plan, name)) for name in plan.space.metrics]
    return replace(measured, further=[_measure_trials(each, name, read_predictions) for name, each in others])


def _measure_trials(plan: Plan, name: str, read_predictions: ReadPredictions) -> Plan:
    metric = find_metric(name)
    size = num_test_name(metric.test_set)
    trials = [
        replace(each, num_test=each.sizes.get(size, each.num_test), replicates=None, unmeasured="")
        for each in plan.trials
    ]
    if metric.is_accuracy:
        return replace(plan, trials=trials)
    finished = {trial.identity: trial for trial in trials if trial.state == TrialState.FINISHED}
    by_size = sorted(finished.values(), key=lambda trial: trial.num_test)  # `bootstrap` keeps the draws of one size
    measured = {trial.identity: _measure(trial, name, read_predictions) for trial in by_size}
    return replace(plan, trials=[_with_value(trial, measured.get(trial.identity, trial)) for trial in trials])


def measure_for_claims(plan: Plan, read_predictions: ReadPredictions) -> dict[str, Plan]:
    """Return the plan measured by each metric that claims of the study name themselves."""
    return {name: measure(plan, read_predictions, name) for name in plan.space.claim_metrics}


def _with_value(trial: Trial, same: Trial) -> Trial:
    """Return a trial with the value of the same one at another point."""
    return replace(trial, record=same.record, replicates=same.replicates, unmeasured=same.unmeasured)


def _measure(trial: Trial, name: str, read_predictions: ReadPredictions) -> Trial:
    """Return a finished trial with its value, or with why it has none."""
    assert trial.record is not None, "a finished trial has its record"
    record = trial.record
    metric = find_metric(name)
    if metric.of_predictions is None:
        return replace(trial, unmeasured="" if name in record.metrics else f"without {name}")
    try:
        predictions = read_predictions(record.run_id, metric.columns, metric.split)
        own = read_predictions(record.run_id, metric.columns, "test") if metric.is_change else None
    except KeyError as error:
        return replace(trial, unmeasured=f"without predictions: {error.args[0]}")
    except (OSError, ValueError):  # absent, or no Parquet file
        return replace(trial, unmeasured="without predictions")
    value, replicates = value_of(name, predictions), bootstrap(name, predictions, NUM_REPLICATES, BOOTSTRAP_SEED)
    if own is not None:
        value -= value_of(name, own)
        replicates = replicates - bootstrap(name, own, NUM_REPLICATES, _own_seed(metric, trial))
    metrics = {value_name(name): value, **record.metrics}
    return replace(trial, record=replace(record, metrics=metrics), replicates=replicates)


def _own_seed(metric: Metric, trial: Trial) -> int:
    """Return the seed of the images of the own test split that a change draws.

    A test set that has them in another form, in the same order, is paired with them image by image.
    """
    config = trial.candidate.config
    names = [name for name in config.test_sets if label_test_set(name) == metric.test_set]
    is_paired = any(name in SPECS and SPECS[name].original == config.dataset for name in names)
    return BOOTSTRAP_SEED if is_paired else OTHER_SEED
