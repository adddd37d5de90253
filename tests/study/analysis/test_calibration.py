"""Temperature scaling, against scikit-learn."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import special
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from revit.errors import InputError
from revit.training.metrics import value_of
from study.analysis.calibration import MAX_TEMPERATURE, calibration_table, fit_temperature
from study.analysis.probabilities import Logits, predict
from tests.study.analysis.made_logits import NUM_CLASSES, draw_logits, read_logits
from tests.study.analysis.test_measured import SPACE
from tests.study.report.small_study import finish


class Given(ClassifierMixin, BaseEstimator):
    """A classifier whose logits are its input."""

    def fit(self, logits: np.ndarray, labels: np.ndarray) -> "Given":
        self.classes_ = np.arange(NUM_CLASSES)
        return self

    def decision_function(self, logits: np.ndarray) -> np.ndarray:
        return logits

    def predict(self, logits: np.ndarray) -> np.ndarray:
        return np.asarray(logits.argmax(1))


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 8.0])
def test_the_temperature_is_that_of_scikit_learn(sharpness: float) -> None:
    labels, logits = draw_logits(3, sharpness)
    given = Given().fit(logits, labels)
    oracle = CalibratedClassifierCV(FrozenEstimator(given), method="temperature").fit(logits, labels)
    expected = oracle.predict_proba(logits)
    assert special.softmax(logits / fit_temperature(labels, logits), axis=1) == pytest.approx(expected, abs=1e-3)


def test_a_temperature_undoes_a_factor() -> None:
    labels, logits = draw_logits(4, 1.0)
    assert fit_temperature(labels, 7 * logits) == pytest.approx(7 * fit_temperature(labels, logits), rel=1e-3)
    sure = np.eye(NUM_CLASSES)[labels]
    assert fit_temperature(labels, sure) < 0.1, "all are right: the surer the better"
    assert fit_temperature(labels, -sure) == pytest.approx(MAX_TEMPERATURE, rel=0.01), "worse than chance"


@pytest.mark.parametrize("test_set", ["", "mnist_5k"])
def test_trials_are_scaled_by_validation_and_measured_on_test_images(test_set: str) -> None:
    plan = finish(SPACE, (0, 1), [0.5] * 4)
    table = calibration_table(plan, read_logits, test_set)
    trials = {(each.candidate.cell["resolution"], each.candidate.config.seed): each for each in plan.trials}
    assert [(row["resolution"], row["seed"]) for row in table.to_dict("records")] == [(8, 0), (8, 1), (28, 0), (28, 1)]
    for row in table.to_dict("records"):
        run_id = trials[row["resolution"], row["seed"]].record.run_id
        temperature = fit_temperature(*read_logits(run_id, "val"))
        labels, logits = read_logits(run_id, f"{test_set}/test" if test_set else "test")
        assert row["temperature"] == pytest.approx(temperature)
        for prefix, divisor in (("", 1), ("scaled_", temperature)):
            predictions = predict(labels, special.log_softmax(logits / divisor, axis=1))
            assert row[f"{prefix}loss"] == pytest.approx(value_of("loss", predictions))
            assert row[f"{prefix}calibration_error"] == pytest.approx(value_of("calibration_error", predictions))
    assert (table["scaled_calibration_error"] < table["calibration_error"]).all()


def test_without_validation_images_nothing_is_calibrated() -> None:
    def read(run_id: str, split: str) -> Logits:
        if split == "val":
            raise KeyError("val")
        return read_logits(run_id, split)

    plan = finish(replace(SPACE, claims=()), (0,), [0.5] * 2)
    with pytest.raises(InputError, match=r"trial 0+ keeps no predictions on 'val'"):
        calibration_table(plan, read)
