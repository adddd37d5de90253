"""Metrics against torchmetrics and scikit-learn, and their bootstrap against resampled images."""

from collections.abc import Callable
from math import inf

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from torchmetrics.functional import classification as oracle

from revit.errors import InputError
from revit.training.metrics import (
    METRICS,
    Metric,
    Predictions,
    bootstrap,
    find_metric,
    own_key,
    value_of,
    values_by_name,
)

K = 12
ORACLES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "accuracy": lambda p, y: oracle.multiclass_accuracy(p, y, K, average="micro"),
    "top5_accuracy": lambda p, y: oracle.multiclass_accuracy(p, y, K, average="micro", top_k=5),
    "balanced_accuracy": lambda p, y: torch.tensor(balanced_accuracy_score(y, p.argmax(1))),
    "macro_f1": lambda p, y: oracle.multiclass_f1_score(p, y, K, average="macro"),
    "loss": lambda p, y: torch.nn.functional.nll_loss(p.log(), y),
    "calibration_error": lambda p, y: oracle.multiclass_calibration_error(p, y, K, n_bins=15),
}


def predictions_of(probabilities: torch.Tensor, labels: torch.Tensor) -> Predictions:
    own = probabilities.gather(1, labels[:, None])
    confidence, prediction = probabilities.max(1)
    return Predictions(
        index=np.arange(len(labels)),
        label=labels.numpy(),
        prediction=prediction.numpy(),
        confidence=confidence.numpy(),
        loss=-own[:, 0].log().numpy(),
        rank=(probabilities > own).sum(1).numpy(),
    )


def drawn(num_images: int, seed: int, num_classes: int = K) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, num_classes, (num_images,), generator=generator) ** 2 // num_classes  # unbalanced
    logits = 2 * torch.randn(num_images, K, generator=generator)
    logits[torch.arange(num_images), labels] += 2
    return logits.softmax(1), labels


def test_a_metric_has_a_direction() -> None:
    with pytest.raises(TypeError, match="direction"):
        Metric(title="anything", unit="%")
    assert {metric.direction for metric in METRICS.values()} == {"maximize", "minimize"}


def test_values_and_effects_are_shown_in_their_unit() -> None:
    shares, nats, memory = METRICS["accuracy"], METRICS["loss"], METRICS["peak_memory_bytes"]
    assert (shares.heading, shares.format(0.91234), shares.format_effect(-1.5)) == (
        "test accuracy, %",
        "91.23",
        "-1.50",
    )
    assert (nats.heading, nats.format(0.5)) == ("test negative log-likelihood, nats", "0.5000")
    assert (memory.heading, memory.format(1.5e9)) == ("peak memory, bytes", "1,500,000,000")
    assert (shares.difference_unit, nats.difference_unit) == ("pp", "nats")


def test_every_metric_of_predictions_has_an_oracle() -> None:
    assert {name for name, metric in METRICS.items() if metric.of_predictions} == ORACLES.keys()


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize(("num_images", "num_classes"), [(500, K), (500, 8), (30, K)])
def test_a_metric_equals_its_oracle(name: str, num_images: int, num_classes: int) -> None:
    """With few images, or classes, some classes do not occur."""
    for seed in range(5):
        probabilities, labels = drawn(num_images, seed, num_classes)
        expected = ORACLES[name](probabilities, labels)
        assert value_of(name, predictions_of(probabilities, labels)) == pytest.approx(expected.item(), abs=2e-6)


@pytest.mark.parametrize("name", ORACLES)
def test_a_weight_counts_an_image_as_often(name: str) -> None:
    probabilities, labels = drawn(80, seed=0)
    chosen = np.random.default_rng(0).integers(0, 80, 80)
    counts = np.bincount(chosen, minlength=80).astype(np.float64)[None]
    function = METRICS[name].of_predictions
    assert function is not None
    repeated = value_of(name, predictions_of(probabilities[chosen], labels[chosen]))
    assert function(predictions_of(probabilities, labels), counts)[0] == pytest.approx(repeated, abs=1e-6)


def test_the_bootstrap_of_accuracy_has_the_binomial_variance() -> None:
    predictions = predictions_of(*drawn(400, seed=1))
    share = value_of("accuracy", predictions)
    replicates = bootstrap("accuracy", predictions, 4000, seed=0)
    assert replicates.mean() == pytest.approx(share, abs=3e-3)
    assert replicates.var() == pytest.approx(share * (1 - share) / 400, rel=0.1)


def test_replicates_are_paired_by_image() -> None:
    """Two models that are right on the same images differ in no replicate."""
    probabilities, labels = drawn(100, seed=2)
    one, other = predictions_of(probabilities, labels), predictions_of(probabilities**2, labels)
    assert np.array_equal(*(bootstrap("accuracy", each, 50, seed=3) for each in (one, other)))


def test_a_metric_on_a_further_test_set_has_its_own_names() -> None:
    there, change = find_metric("accuracy@cifar10.1"), find_metric("accuracy_change@cifar10.1")
    assert (there.heading, there.split, there.is_accuracy) == ("accuracy on cifar10.1, %", "cifar10.1/test", True)
    assert (change.heading, change.is_accuracy) == ("change of accuracy on cifar10.1, pp", False)
    assert (change.format(-0.125), there.format(0.125)) == ("-12.50", "12.50")
    assert (change.limits, there.limits, find_metric("loss_change@a").limits) == ((-1, 1), (0, 1), (-inf, inf))
    assert find_metric("loss_change@a").difference_unit == "nats"
    assert find_metric("accuracy") is METRICS["accuracy"]
    assert [own_key(name) for name in ("loss", "loss@a", "loss_change@a")] == ["loss"] * 3


@pytest.mark.parametrize("name", ["speed", "accuracy@", "@a", "accuracy_change", "train_time_s@a", "drop@a", ""])
def test_a_wrong_metric_is_named(name: str) -> None:
    with pytest.raises(InputError, match=f"metric = '{name}': must be one of accuracy, .*, or @NAME behind one"):
        find_metric(name)


def test_values_are_logged_by_split() -> None:
    predictions = {split: predictions_of(*drawn(40, seed)) for seed, split in enumerate(("test", "val", "a/test"))}
    values = values_by_name(predictions)
    assert values["test_loss"] == value_of("loss", predictions["test"])
    assert values["selected_val_loss"] == value_of("loss", predictions["val"])
    assert values["a/test_loss"] == value_of("loss@a", predictions["a/test"])
    assert len(values) == 3 * 6
