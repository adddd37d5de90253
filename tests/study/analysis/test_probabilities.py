"""Predictions from logits, against scikit-learn."""

import numpy as np
import pytest
from scipy import special
from sklearn.metrics import accuracy_score, log_loss, top_k_accuracy_score

from revit.training.metrics import value_of
from study.analysis.probabilities import average, predict
from tests.study.analysis.made_logits import NUM_CLASSES, draw_logits


def test_predictions_have_the_metrics_of_their_probabilities() -> None:
    labels, logits = draw_logits(0)
    predictions = predict(labels, special.log_softmax(logits, axis=1))
    probabilities = special.softmax(logits, axis=1)
    assert value_of("accuracy", predictions) == pytest.approx(accuracy_score(labels, logits.argmax(1)))
    assert value_of("loss", predictions) == pytest.approx(log_loss(labels, probabilities))
    assert np.allclose(predictions.confidence, probabilities.max(1))
    by_rank = np.mean(predictions.rank < 2)
    assert by_rank == pytest.approx(top_k_accuracy_score(labels, probabilities, k=2, labels=range(NUM_CLASSES)))


def test_an_average_is_of_probabilities_not_of_logits() -> None:
    one, other = (special.log_softmax(draw_logits(seed)[1], axis=1) for seed in (1, 2))
    assert np.allclose(np.exp(average([one, other])), (np.exp(one) + np.exp(other)) / 2)
    assert np.allclose(average([one]), one)
