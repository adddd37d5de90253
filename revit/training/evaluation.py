"""Evaluation of a model on a split."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from revit.datasets.batches import Batch, to_input
from revit.models.normalization import Normalization
from revit.training.device import autocast


@dataclass(frozen=True)
class Predictions:
    """Predictions on a split, one per image, each (n,).

    Attributes:
        index: index in the image store.
        label: true class.
        prediction: predicted class.
        confidence: probability of the predicted class, 0 to 1.
        loss: cross-entropy in nats.
    """

    index: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]
    prediction: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float32]
    loss: npt.NDArray[np.float32]

    @property
    def accuracy(self) -> float:
        """Fraction of correct predictions, 0 to 1."""
        return float(np.mean(self.label == self.prediction))

    @property
    def mean_loss(self) -> float:
        """Mean cross-entropy in nats."""
        return float(np.mean(self.loss, dtype=np.float64))


def evaluate(
    model: nn.Module,
    batches: Iterable[Batch],
    indices: npt.NDArray[np.int64],
    normalization: Normalization,
    device: torch.device,
) -> Predictions:
    """Predict the images of `indices`, in evaluation mode; leave the model in training mode."""
    model.eval()
    outputs: list[Tensor] = []
    labels: list[Tensor] = []
    with torch.inference_mode():
        for batch in batches:
            moved = batch.to(device)
            images = to_input(moved.images, normalization, device)
            log_probability = _compute_logits(model, images, device).log_softmax(dim=1)
            confidence, prediction = log_probability.exp().max(dim=1)
            loss = -log_probability.gather(1, moved.labels[:, None])[:, 0]
            outputs.append(torch.stack([prediction.float(), confidence, loss]))
            labels.append(batch.labels)
    model.train()
    prediction, confidence, loss = torch.cat(outputs, dim=1).cpu().numpy()
    return Predictions(indices, torch.cat(labels).numpy(), prediction.astype(np.int64), confidence, loss)


def _compute_logits(model: Any, images: Tensor, device: torch.device) -> Tensor:
    """Return logits (B, K). The head runs in float32: bf16 would round close logits to the same number."""
    with autocast(device):
        features = model.forward_features(images)
    with torch.autocast(device.type, enabled=False):
        logits: Tensor = model.forward_head(features.float())
    return logits
