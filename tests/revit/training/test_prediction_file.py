"""The file of predictions, by which metrics are computed after training, against the trial and torch."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from revit.config import FineTuneConfig
from revit.errors import InputError
from revit.training.fine_tune import FineTuneResult
from revit.training.metrics import METRICS, Predictions, values_by_name
from revit.training.prediction_file import (
    Evaluation,
    read_columns,
    read_logits,
    read_predictions,
    write_predictions,
)


@pytest.fixture
def result(small: FineTuneConfig, train: Callable) -> FineTuneResult:
    return train(small.with_values({"resolution": 28}))[0]


@pytest.fixture
def path(tmp_path: Path, result: FineTuneResult) -> Path:
    write_predictions(tmp_path / "predictions.parquet", result.evaluations)
    return tmp_path / "predictions.parquet"


def test_every_metric_of_predictions_follows_from_the_file_alone(path: Path, result: FineTuneResult) -> None:
    values = values_by_name({split: read_predictions(path, split) for split in ("test", "val")})
    of_predictions = [name for name, metric in METRICS.items() if metric.of_predictions]
    assert values.keys() == {f"{prefix}_{name}" for prefix in ("test", "selected_val") for name in of_predictions}
    assert values == {name: result.metrics[name] for name in values}
    assert 0.2 < values["test_accuracy"] < values["test_top5_accuracy"] < 1, "the test needs such a case"


@pytest.mark.parametrize("split", ["test", "val"])
def test_predictions_follow_from_the_logits_within_half_precision(path: Path, split: str) -> None:
    """A metric that needs other numbers than those of `Predictions` has the logits."""
    predictions, (logits, classes) = read_predictions(path, split), read_logits(path, split)
    assert classes is None
    assert logits.dtype == np.float16
    log_probability = torch.tensor(logits).float().log_softmax(1)
    loss = torch.nn.functional.nll_loss(log_probability, torch.tensor(predictions.label), reduction="none")
    np.testing.assert_allclose(loss, predictions.loss, atol=5e-3)
    np.testing.assert_allclose(log_probability.exp().amax(1), predictions.confidence, atol=2e-3)
    assert (log_probability.argmax(1).numpy() == predictions.prediction).mean() > 0.99


def test_the_file_has_a_row_per_test_and_validation_image(path: Path, result: FineTuneResult) -> None:
    frame = pd.read_parquet(path)
    assert [*frame] == ["split", *(field.name for field in fields(Predictions)), "logits"]
    assert frame["split"].value_counts().to_dict() == {"test": 359, "val": len(result.evaluations["val"].logits)}
    assert frame["index"].is_unique
    for split, evaluation in result.evaluations.items():
        np.testing.assert_array_equal(np.stack(frame["logits"][frame["split"] == split]), evaluation.logits)


def test_of_many_classes_the_largest_logits_are_kept_with_their_classes(tmp_path: Path, path: Path) -> None:
    predictions = read_predictions(path)
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(len(predictions.label), 100)).astype(np.float16)
    classes = rng.permuted(np.tile(np.arange(100, dtype=np.int32) * 9, (len(logits), 1)), axis=1)
    write_predictions(tmp_path / "many.parquet", {"test": Evaluation(predictions, logits, classes)})
    for array, expected in zip(read_logits(tmp_path / "many.parquet"), (logits, classes), strict=True):
        assert array is not None
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)
    assert len(read_predictions(tmp_path / "many.parquet", "val").label) == 0


def test_a_file_of_an_earlier_version_has_test_images_only(tmp_path: Path) -> None:
    path = tmp_path / "old.parquet"
    pd.DataFrame({"index": [4, 2], "label": [0, 1], "prediction": [1, 1]}).to_parquet(path, index=False)
    columns = read_columns(path, ("index", "prediction"))
    assert {name: values.tolist() for name, values in columns.items()} == {"index": [4, 2], "prediction": [1, 1]}
    with pytest.raises(InputError, match=r"old.parquet has no column confidence, loss, rank: an earlier version"):
        read_predictions(path)
