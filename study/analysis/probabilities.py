"""Predictions made from logits that trials keep: scaled, averaged, without training."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import special

from revit.training.metrics import Array, Predictions

Logits = tuple[npt.NDArray[np.int64], Array]
"""True classes (n,) and logits (n, K) of the images of a split, in the order of its image store."""
ReadLogits = Callable[[str, str], Logits]
"""Function of a run id and a split. Raises KeyError if a trial has no predictions on that split."""


def predict(labels: npt.NDArray[np.int64], log_probabilities: Array) -> Predictions:
    """Return predictions from log-probabilities (n, K)."""
    own = np.take_along_axis(log_probabilities, labels[:, None], 1)
    return Predictions(
        index=np.arange(len(labels)),
        label=labels,
        prediction=log_probabilities.argmax(1),
        confidence=np.exp(log_probabilities.max(1)).astype(np.float32),
        loss=-own[:, 0].astype(np.float32),
        rank=(log_probabilities > own).sum(1),
    )


def average(log_probabilities: Sequence[Array]) -> Array:
    """Return the logarithm of the mean of the probabilities of several models, (n, K)."""
    return np.asarray(special.logsumexp(log_probabilities, axis=0) - np.log(len(log_probabilities)))
