"""Calibration of finished trials by temperature scaling, without training.

The logits of a trial are divided by one number, which minimizes the cross-entropy on its validation images (Guo et al.
2017, arXiv:1706.04599). The predicted classes stay as they are.
"""

import math

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import optimize, special

from revit.errors import InputError
from revit.training.metrics import Array, name_split, value_of
from study.analysis.probabilities import ReadLogits, predict
from study.analysis.results import reported_trials
from study.plan import Plan

MAX_TEMPERATURE = 1000.0
"""Largest temperature; its inverse is the smallest."""


def fit_temperature(labels: npt.NDArray[np.int64], logits: Array) -> float:
    """Return the temperature that minimizes the cross-entropy of logits (n, K).

    The cross-entropy is convex in the inverse temperature, so that there is one minimum. Where all images are
    classified correctly or chance does best, it is at a limit.
    """

    def cross_entropy(log_temperature: float) -> float:
        return float(predict(labels, special.log_softmax(logits / math.exp(log_temperature), axis=1)).loss.mean())

    limit = math.log(MAX_TEMPERATURE)
    found = optimize.minimize_scalar(cross_entropy, bounds=(-limit, limit), method="bounded", options={"xatol": 1e-6})
    return math.exp(found.x)


def calibration_table(plan: Plan, read_logits: ReadLogits, test_set: str = "") -> pd.DataFrame:
    """Return a row per finished trial: axes, seed, temperature, calibration error, loss, and both after scaling.

    Columns are `calibration_error`, `loss`, `scaled_calibration_error`, `scaled_loss`; errors are shares from 0 to 1.

    Args:
        test_set: label of the further test set on which they are measured; empty for the own test split.

    Raises:
        InputError: a trial has no validation images, or no predictions on the test set.
    """
    rows = []
    for trial in reported_trials(plan):
        assert trial.record is not None, "a finished trial has its record"
        try:
            (val_labels, val_logits), (labels, logits) = (
                read_logits(trial.record.run_id, split) for split in ("val", name_split(test_set))
            )
        except (KeyError, OSError) as error:
            raise InputError(f"trial {trial.record.run_id} keeps no predictions on {error}") from error
        temperature = fit_temperature(val_labels, val_logits)
        before, after = (predict(labels, special.log_softmax(logits / each, axis=1)) for each in (1.0, temperature))
        rows.append(
            {
                **trial.candidate.point,
                "seed": trial.candidate.config.seed,
                "temperature": temperature,
                **{name: value_of(name, before) for name in ("calibration_error", "loss")},
                **{f"scaled_{name}": value_of(name, after) for name in ("calibration_error", "loss")},
            }
        )
    return pd.DataFrame(rows)
