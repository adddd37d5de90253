"""Results of trials, computed again from their predictions."""

import math
from collections.abc import Iterator, Mapping

from revit.datasets.registry import label_test_set
from revit.training.metrics import AT, METRICS, find_metric, name_split, value_of
from study.analysis.measured import ReadPredictions
from study.ledger.schema import value_name
from study.ledger.states import TrialState
from study.plan import Plan
from study.trial import Trial

TOLERANCE = 1e-6
"""Largest difference of a result from that of its predictions, relative to it: sums are rounded."""


def find_wrong_results(plan: Plan, read_predictions: ReadPredictions) -> Iterator[str]:
    """Yield a line for each result of a plan's finished trials that its predictions do not have.

    Args:
        read_predictions: called once per finished trial and test set.
    """
    for trial in plan.trials:
        if trial.record is not None and trial.state == TrialState.FINISHED:
            for label in ("", *map(label_test_set, trial.candidate.config.test_sets)):
                yield from _find_wrong(trial, label, trial.record.metrics, trial.record.run_id, read_predictions)


def _find_wrong(
    trial: Trial, label: str, metrics: Mapping[str, float], run_id: str, read_predictions: ReadPredictions
) -> Iterator[str]:
    """Yield a line for each wrong result on a test set."""
    keys = [key for key, metric in METRICS.items() if metric.of_predictions]
    names = [f"{key}{AT}{label}" if label else key for key in keys]
    logged = {name: metrics[value_name(name)] for name in names if value_name(name) in metrics}
    columns = sorted({column for name in logged for column in find_metric(name).columns})
    try:
        predictions = read_predictions(run_id, columns, name_split(label))
    except (OSError, ValueError, KeyError) as error:
        yield f"trial {trial.identity}: its predictions cannot be read: {type(error).__name__}"
        return
    for name, value in logged.items():
        found = value_of(name, predictions)
        if not math.isclose(value, found, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            yield f"trial {trial.identity}: {name} is {value:.6g}, and {found:.6g} by its predictions"
