"""Evaluation against a plain forward pass."""

from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn

from revit.config import FineTuneConfig
from revit.datasets.batches import eval_batches, to_input
from revit.datasets.image_store import ImageStore
from revit.models.build import build_model
from revit.models.normalization import normalization_of
from revit.training.evaluation import concatenate, evaluate
from revit.training.prediction_file import Evaluation

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_the_head_is_evaluated_in_float32_under_bf16(digits: ImageStore, name: str) -> None:
    """Its logits equal the float64 product of the features: they are not rounded to eight bits."""
    config = FineTuneConfig(dataset="digits", steps=1, resolution=32).with_values(
        {"model.name": name, "model.pretrained": False, "model.head_init": "normal"}
    )
    model: Any = build_model(config, 10, None)
    seen: dict[str, torch.Tensor] = {}
    head = model.get_classifier()
    head.register_forward_hook(lambda _, given, logits: seen.update(features=given[0], logits=logits))
    indices = np.arange(8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        batches = eval_batches(digits, indices, 32, 8)
        predictions = evaluate(model, batches, indices, normalization_of(config), CPU).predictions
    exact = seen["features"].double() @ head.weight.double().T
    assert seen["logits"].dtype == torch.float32
    torch.testing.assert_close(seen["logits"].double(), exact, rtol=1e-4, atol=1e-6)
    expected = nn.functional.cross_entropy(exact, torch.from_numpy(predictions.label), reduction="none")
    torch.testing.assert_close(torch.from_numpy(predictions.loss).double(), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", ["vit_nano", "bit_nano", *timm.list_models("test_*")])
def test_evaluation_equals_the_forward_pass_of_the_model(digits: ImageStore, name: str) -> None:
    config = FineTuneConfig(dataset="digits", steps=1, resolution=160 if name.startswith("test") else 28)
    config = config.with_values({"model.name": name, "model.pretrained": False, "model.head_init": "normal"})
    model = build_model(config, 10, None).eval()
    [batch] = eval_batches(digits, np.arange(2), config.resolution, 2)
    with torch.inference_mode():
        logits = model(to_input(batch.images, normalization_of(config), CPU))
    predictions = evaluate(model, [batch], np.arange(2), normalization_of(config), CPU).predictions
    loss = nn.functional.cross_entropy(logits, batch.labels, reduction="none")
    torch.testing.assert_close(torch.from_numpy(predictions.loss), loss)


@pytest.mark.parametrize("num_classes", [10, 100, 130])
def test_logits_are_kept_in_half_precision_of_at_most_a_hundred_classes(digits: ImageStore, num_classes: int) -> None:
    logits, evaluation = evaluated(digits, num_classes)
    label = torch.from_numpy(evaluation.predictions.label)[:, None]
    order = logits.argsort(dim=1, descending=True)
    assert np.array_equal(evaluation.predictions.rank, (order == label).nonzero()[:, 1])
    assert np.array_equal(evaluation.predictions.prediction, order[:, 0])
    if num_classes <= 100:
        assert evaluation.classes is None
        assert np.array_equal(evaluation.logits, logits.half())
    else:
        assert np.array_equal(evaluation.classes, order[:, :100])
        assert np.array_equal(evaluation.logits, logits.gather(1, order[:, :100]).half())


def evaluated(digits: ImageStore, num_classes: int, scale: float = 1.0) -> tuple[torch.Tensor, Evaluation]:
    """Return the logits of a model with random weights on 24 images, and its evaluation on them."""
    config = FineTuneConfig(dataset="digits", steps=1, resolution=28).with_values({"model.head_init": "normal"})
    model = build_model(config.with_values({"model.pretrained": False}), num_classes, None).eval()
    with torch.no_grad():
        model.get_parameter("head.weight").mul_(scale)
    indices, normalization = np.arange(24), normalization_of(config)
    [batch] = eval_batches(digits, indices, 28, 24)
    with torch.inference_mode():
        logits = model(to_input(batch.images, normalization, CPU))
    batches = eval_batches(digits, indices, 28, 24)
    return logits, evaluate(model, batches, indices, normalization, CPU)


def test_logits_beyond_half_precision_are_kept_finite(digits: ImageStore) -> None:
    logits, evaluation = evaluated(digits, 10, scale=1e9)
    assert logits.abs().max() > 1e5
    assert np.abs(evaluation.logits).max() == 65504
    assert np.isfinite(evaluation.predictions.loss).all()


@pytest.mark.parametrize("num_classes", [10, 150])
def test_parts_of_a_split_are_concatenated_to_its_evaluation(digits: ImageStore, num_classes: int) -> None:
    config = FineTuneConfig(dataset="digits", steps=1).with_values({"model.head_init": "normal"})
    model = build_model(config, num_classes, None)

    def evaluate_part(indices: np.ndarray) -> Evaluation:
        return evaluate(model, eval_batches(digits, indices, 28, 4), indices, normalization_of(config), CPU)

    whole, *parts = (evaluate_part(np.arange(start, stop)) for start, stop in ((0, 10), (0, 4), (4, 8), (8, 10)))
    found = concatenate(parts)
    for name, column in vars(whole.predictions).items():
        assert (getattr(found.predictions, name) == column).all()
    assert (found.logits == whole.logits).all()
    assert (found.classes is None) == (whole.classes is None) == (num_classes == 10)
    assert found.classes is None or (found.classes == whole.classes).all()
