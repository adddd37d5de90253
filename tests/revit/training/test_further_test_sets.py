"""Evaluation of a trial on further test sets."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from revit.config import FineTuneConfig
from revit.datasets.batches import eval_batches
from revit.datasets.image_store import ImageStore, open_store
from revit.models.normalization import NORMALIZATIONS
from revit.models.weights import find_weights
from revit.training.evaluation import evaluate
from revit.training.fine_tune import TrialData, fine_tune

CPU = torch.device("cpu")


def test_a_further_test_set_is_evaluated_with_the_tested_weights(
    small: FineTuneConfig, digits: ImageStore, cache_dir: Path, train: Callable
) -> None:
    """Its predictions are those of the returned model on its test images; all else keeps its bits."""
    mnist = open_store("mnist_5k", data_dir=cache_dir, cache_dir=cache_dir)
    config = small.with_values({"test_sets": ("mnist_5k",), "steps": 4})
    data = TrialData.from_store(config, digits, find_weights(config.model), test_sets={"mnist_5k": mnist})
    result = fine_tune(config, data, lambda rows, state: None, device=CPU)
    alone, _ = train(config.with_values({"test_sets": ()}))
    assert (alone.predictions.loss == result.predictions.loss).all()
    indices = np.flatnonzero(mnist.is_test)
    batches = eval_batches(mnist, indices, config.resolution, config.batch_size)
    oracle = evaluate(result.model, batches, indices, NORMALIZATIONS["inception"], CPU).predictions
    found = result.evaluations["mnist_5k/test"].predictions
    assert all((getattr(found, name) == values).all() for name, values in vars(oracle).items())
    assert result.metrics["mnist_5k/test_accuracy"] == pytest.approx(oracle.accuracy)
    [(_, first)] = data.with_one_eval_batch(16).test_sets.values()
    assert first.tolist() == indices[:16].tolist()
