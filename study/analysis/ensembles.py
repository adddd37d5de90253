"""Ensembles of the seeds of a cell, without training.

An ensemble predicts by the mean of the probabilities of its members (Lakshminarayanan et al. 2017, arXiv:1612.01474).
"""

import numpy as np
import pandas as pd
from scipy import special

from revit.errors import InputError
from revit.training.metrics import Predictions, bootstrap, find_metric, value_of
from search_spaces.framework.claim_cells import Value
from study.analysis.intervals import LEVEL, bootstrap_half_widths, image_half_widths
from study.analysis.measured import BOOTSTRAP_SEED, NUM_REPLICATES
from study.analysis.probabilities import ReadLogits, average, predict
from study.analysis.results import reported_trials
from study.plan import Plan
from study.trial import Trial


def ensemble_table(plan: Plan, read_logits: ReadLogits) -> pd.DataFrame:
    """Return a row per cell: axes, n, mean, ensemble, low, high.

    `mean` is the value of the study's metric over the n seeds, `ensemble` that of their ensemble, and `low` and `high`
    its 95 % interval over test images: these models, tested on other images of the same kind.

    Raises:
        InputError: the study's metric is not one of predictions, or a trial keeps no predictions on its test set.
    """
    name = plan.space.metric
    metric = find_metric(name)
    if metric.of_predictions is None or metric.is_change:
        raise InputError(f"metric = {name!r}: an ensemble has metrics of predictions on one test set only")
    cells: dict[tuple[tuple[str, Value], ...], list[Trial]] = {}
    for trial in reported_trials(plan):
        cells.setdefault(tuple(trial.candidate.cell.items()), []).append(trial)
    return pd.DataFrame([{**dict(cell), **_row(name, trials, read_logits)} for cell, trials in cells.items()])


def _row(name: str, trials: list[Trial], read_logits: ReadLogits) -> dict[str, float]:
    members = []
    for trial in trials:
        assert trial.record is not None, "a finished trial has its record"
        try:
            labels, logits = read_logits(trial.record.run_id, find_metric(name).split)
        except (KeyError, OSError) as error:
            raise InputError(f"trial {trial.record.run_id} keeps no predictions on {error}") from error
        members.append(special.log_softmax(logits, axis=1))
    ensemble = predict(labels, average(members))
    value = value_of(name, ensemble)
    below, above = _half_widths(name, ensemble)
    mean = float(np.mean([value_of(name, predict(labels, each)) for each in members]))
    return {"n": len(members), "mean": mean, "ensemble": value, "low": value - below, "high": value + above}


def _half_widths(name: str, predictions: Predictions) -> tuple[float, float]:
    """Return the distances from a value to its 95 % limits over test images."""
    if find_metric(name).is_accuracy:
        return image_half_widths(predictions.accuracy, len(predictions.label), LEVEL / 2)
    return bootstrap_half_widths(bootstrap(name, predictions, NUM_REPLICATES, BOOTSTRAP_SEED), LEVEL / 2)
