"""Metrics of a trial, by name. Imports no torch, so that a search space can name one.

A metric of predictions is a function of `Predictions` and of weights (B, n) of their n images, and returns (B,) values.
All weights 1 give the metric itself; counts of images that are drawn with replacement give its bootstrap replicates.
torchmetrics and scikit-learn give the same values (tests/revit/training/test_metrics.py); the former takes seconds to
import in each trial, and neither has the replicates in one call.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from revit.errors import InputError

Array = npt.NDArray[np.float64]
NUM_BINS = 15
"""Equal bins of confidence of the expected calibration error (Guo et al. 2017, arXiv:1706.04599)."""


@dataclass(frozen=True)
class Predictions:
    """Predictions of a model on a split, one per image, each (n,).

    Attributes:
        index: index in the image store.
        label: true class.
        prediction: predicted class.
        confidence: probability of the predicted class, 0 to 1.
        loss: cross-entropy in nats.
        rank: number of classes that are more probable than the true one.
    """

    index: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]
    prediction: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float32]
    loss: npt.NDArray[np.float32]
    rank: npt.NDArray[np.int64]

    @property
    def is_correct(self) -> npt.NDArray[np.bool_]:
        """Return which predictions are correct, (n,)."""
        return np.asarray(self.label == self.prediction)

    @property
    def accuracy(self) -> float:
        """Share of correct predictions, 0 to 1."""
        return float(np.mean(self.is_correct))

    @property
    def mean_loss(self) -> float:
        """Mean cross-entropy in nats."""
        return float(np.mean(self.loss, dtype=np.float64))


PredictionMetric = Callable[[Predictions, Array], Array]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """Metric that a study can be about.

    Attributes:
        title: as tables and figures name it.
        unit: of the shown value; "%" for a share, which is shown times 100.
        direction: in which it is better.
        of_predictions: its value; None for a metric that is measured while training.
        columns: what it needs of the predictions beside `index` and `label`; less is read faster, or from older files.
        decimals: of the shown value.
        test_set: label of the further test set that it is measured on; empty for the own test split.
        is_change: it is the value on that set minus the value on the own test split.
        is_correlation: its values lie from -1 to 1.
    """

    title: str
    unit: str
    direction: Literal["maximize", "minimize"]
    of_predictions: PredictionMetric | None = None
    columns: tuple[str, ...] = ("prediction", "confidence", "loss", "rank")
    decimals: int = 2
    test_set: str = ""
    is_change: bool = False
    is_correlation: bool = False

    @property
    def name(self) -> str:
        """Title with what it is measured on: `test accuracy`, `accuracy on mnist_5k`."""
        if self.test_set:
            return self.title
        return f"test {self.title}" if self.of_predictions else self.title

    @property
    def split(self) -> str:
        """Split of the predictions that it is about."""
        return name_split(self.test_set)

    @property
    def is_accuracy(self) -> bool:
        """True for the accuracy on any test set: a count of images, so that intervals are exact."""
        return self.of_predictions is accuracy and not self.is_change

    @property
    def heading(self) -> str:
        """Name and unit of a column or of an axis: `test accuracy, %`."""
        return f"{self.name}, {self.unit}"

    @property
    def val_name(self) -> str:
        """Title with the split on which points of a search are compared: `validation accuracy`."""
        return f"validation {self.title}" if self.of_predictions else self.title

    @property
    def val_heading(self) -> str:
        """`val_name` with its unit."""
        return f"{self.val_name}, {self.unit}"

    @property
    def factor(self) -> int:
        """Factor by which a value is multiplied to be in its unit."""
        return 100 if self.unit in ("%", "pp") else 1

    @property
    def is_share(self) -> bool:
        """True if its values are shares from 0 to 1, or differences of two."""
        return self.factor == 100

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest value that it can have."""
        largest = 1.0 if self.is_share or self.is_correlation else math.inf
        return (-largest if self.is_change or self.is_correlation else 0.0), largest

    @property
    def difference_unit(self) -> str:
        """Unit of a difference: percentage points for a share."""
        return "pp" if self.unit == "%" else self.unit

    @property
    def sign(self) -> int:
        """1 where larger values are better, -1 where smaller ones are."""
        return 1 if self.direction == "maximize" else -1

    @property
    def best(self) -> str:
        """Word for the best values of several."""
        return "highest" if self.direction == "maximize" else "lowest"

    def format(self, value: float) -> str:
        """Return a value in its unit, as it is shown everywhere; a change with its sign."""
        return f"{self.factor * value:{'+' if self.is_change else ''},.{self.decimals}f}"

    def format_effect(self, effect: float) -> str:
        """Return a difference that is in `difference_unit`, with its sign."""
        return f"{effect:+,.{self.decimals}f}"


def accuracy(predictions: Predictions, weights: Array) -> Array:
    """Return the share of correct predictions."""
    return _mean(predictions.is_correct, weights)


def top5_accuracy(predictions: Predictions, weights: Array) -> Array:
    """Return the share of images whose class is among the five most probable."""
    return _mean(predictions.rank < 5, weights)


def balanced_accuracy(predictions: Predictions, weights: Array) -> Array:
    """Return the mean over classes of the share of their images that are predicted correctly.

    Classes without images are left out (Brodersen et al., ICPR 2010).
    """
    num_images = _sum_by(predictions.label, weights)
    num_correct = _sum_by(predictions.label, weights, predictions.is_correct)
    recall = np.divide(num_correct, num_images, out=np.zeros_like(num_images), where=num_images > 0)
    return np.asarray(recall.sum(1) / (num_images > 0).sum(1))


def macro_f1(predictions: Predictions, weights: Array) -> Array:
    """Return the mean over classes of F1, the harmonic mean of precision and recall.

    Classes that neither occur nor are predicted are left out.
    """
    num_classes = int(max(predictions.label.max(), predictions.prediction.max())) + 1
    num_images = _sum_by(predictions.label, weights, num_groups=num_classes)
    num_predicted = _sum_by(predictions.prediction, weights, num_groups=num_classes)
    num_correct = _sum_by(predictions.label, weights, predictions.is_correct, num_groups=num_classes)
    total = num_images + num_predicted
    f1 = np.divide(2 * num_correct, total, out=np.zeros_like(total), where=total > 0)
    return np.asarray(f1.sum(1) / (total > 0).sum(1))


def negative_log_likelihood(predictions: Predictions, weights: Array) -> Array:
    """Return the mean cross-entropy in nats."""
    return _mean(predictions.loss, weights)


def calibration_error(predictions: Predictions, weights: Array) -> Array:
    """Return the expected calibration error: the mean distance of confidence from accuracy, over NUM_BINS bins."""
    bins = np.clip(np.ceil(predictions.confidence * NUM_BINS).astype(np.int64) - 1, 0, NUM_BINS - 1)
    gaps = _sum_by(bins, weights, predictions.confidence - predictions.is_correct, num_groups=NUM_BINS)
    return np.asarray(np.abs(gaps).sum(1) / weights.sum(1))


METRICS: dict[str, Metric] = {
    "accuracy": Metric(
        title="accuracy", unit="%", direction="maximize", of_predictions=accuracy, columns=("prediction",)
    ),
    "top5_accuracy": Metric(
        title="top-5 accuracy", unit="%", direction="maximize", of_predictions=top5_accuracy, columns=("rank",)
    ),
    "balanced_accuracy": Metric(
        title="balanced accuracy",
        unit="%",
        direction="maximize",
        of_predictions=balanced_accuracy,
        columns=("prediction",),
    ),
    "macro_f1": Metric(
        title="macro F1", unit="%", direction="maximize", of_predictions=macro_f1, columns=("prediction",)
    ),
    "loss": Metric(
        title="negative log-likelihood",
        unit="nats",
        direction="minimize",
        of_predictions=negative_log_likelihood,
        columns=("loss",),
        decimals=4,
    ),
    "calibration_error": Metric(
        title="expected calibration error",
        unit="%",
        direction="minimize",
        of_predictions=calibration_error,
        columns=("prediction", "confidence"),
    ),
    "peak_memory_bytes": Metric(title="peak memory", unit="bytes", direction="minimize", decimals=0),
    "train_images_per_s": Metric(title="training speed", unit="images/s", direction="maximize", decimals=1),
    "eval_images_per_s": Metric(title="evaluation speed", unit="images/s", direction="maximize", decimals=1),
    "train_time_s": Metric(title="training time", unit="s", direction="minimize"),
    "num_trained": Metric(title="trained parameters", unit="parameters", direction="minimize", decimals=0),
    "pos_embed_correlation": Metric(
        title="rank correlation of distance and position similarity",
        unit="rho",
        direction="minimize",
        decimals=3,
        is_correlation=True,
    ),
}


PREFIXES = {"test": "test_", "val": "selected_val_"}
"""Prefix by which a trial logs each metric of predictions of the tested weights, by split."""
AT, CHANGE = "@", "_change"
"""`accuracy@mnist_5k`: the metric on a further test set; `accuracy_change@mnist_5k`: minus that on the own split."""


@cache
def find_metric(name: str) -> Metric:
    """Return a metric by its key, also on a further test set: `loss`, `loss@mnist_5k`, `loss_change@mnist_5k`.

    Raises:
        InputError: there is no such metric.
    """
    key, at, test_set = name.partition(AT)
    metric, is_change = METRICS.get(own_key(name)), bool(at) and key.endswith(CHANGE)
    if metric is None or bool(at) != bool(test_set) or (at and metric.of_predictions is None):
        known = ", ".join(METRICS)
        raise InputError(f"metric = {name!r}: must be one of {known}, or {AT}NAME behind one for a further test set")
    if not at:
        return metric
    title, unit = f"{metric.title} on {test_set}", metric.unit
    if is_change:
        title, unit = f"change of {title}", metric.difference_unit
    return replace(metric, title=title, unit=unit, test_set=test_set, is_change=is_change)


def own_key(name: str) -> str:
    """Return the key of METRICS of a metric that may be on a further test set."""
    key, at, _ = name.partition(AT)
    return key.removesuffix(CHANGE) if at else key


def name_split(label: str) -> str:
    """Return the split of predictions on a further test set; without a label, on the own test split."""
    return f"{label}/test" if label else "test"


def split_prefix(split: str) -> str:
    """Return the prefix of the metrics of a split; MLflow's UI shows those of a further test set in their own group."""
    return PREFIXES.get(split) or f"{split}_"


def values_by_name(predictions: Mapping[str, Predictions]) -> dict[str, float]:
    """Return every metric of predictions of every split, by the name under which it is logged."""
    names = [name for name, metric in METRICS.items() if metric.of_predictions]
    return {
        f"{split_prefix(split)}{name}": value_of(name, each) for split, each in predictions.items() for name in names
    }


def value_of(name: str, predictions: Predictions) -> float:
    """Return the value of a metric of predictions."""
    function = METRICS[own_key(name)].of_predictions
    assert function is not None, f"{name} is measured while training"
    return float(function(predictions, np.ones((1, len(predictions.label))))[0])


def bootstrap(name: str, predictions: Predictions, num_replicates: int, seed: int) -> Array:
    """Return bootstrap replicates of a metric of predictions over their images, (num_replicates,).

    Trials on as many images draw the same ones under one seed, so that differences are paired by image.
    """
    function = METRICS[own_key(name)].of_predictions
    assert function is not None, f"{name} is measured while training"
    return function(predictions, _image_counts(len(predictions.label), num_replicates, seed))


@lru_cache(maxsize=2)  # a change needs those of two test sets
def _image_counts(num_images: int, num_replicates: int, seed: int) -> Array:
    """Return how often each image is drawn, (num_replicates, num_images): a second's work for 10,000 images."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(num_images, np.full(num_images, 1 / num_images), num_replicates)
    return counts.astype(np.float64)


def _mean(values: npt.NDArray[np.generic], weights: Array) -> Array:
    return np.asarray(weights @ values.astype(np.float64) / weights.sum(1))


def _sum_by(
    groups: npt.NDArray[np.int64],
    weights: Array,
    values: npt.NDArray[Any] | None = None,
    *,
    num_groups: int | None = None,
) -> Array:
    """Return the weighted sums of values (n,), 1 for None, by group of the images (n,): (B, num_groups)."""
    count = int(groups.max()) + 1 if num_groups is None else num_groups
    return np.stack([np.bincount(groups, row if values is None else row * values, count) for row in weights])
