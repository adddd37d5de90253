"""Evaluation of a model on a split."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from revit.datasets.batches import Batch, to_input
from revit.models.normalization import Normalization
from revit.training.device import autocast
from revit.training.metrics import Predictions
from revit.training.prediction_file import MAX_LOGITS, Evaluation

MAX_FLOAT16 = torch.finfo(torch.float16).max


def evaluate(
    model: nn.Module,
    batches: Iterable[Batch],
    indices: npt.NDArray[np.int64],
    normalization: Normalization,
    device: torch.device,
) -> Evaluation:
    """Predict the images of `indices`, in evaluation mode; leave the model in training mode."""
    model.eval()
    outputs: list[Tensor] = []
    kept: list[Tensor] = []
    classes: list[Tensor] = []
    labels: list[Tensor] = []
    with torch.inference_mode():
        for batch in batches:
            moved = batch.to(device)
            logits = compute_logits(model, to_input(moved.images, normalization, device), device)
            log_probability = logits.log_softmax(dim=1)
            confidence, prediction = log_probability.exp().max(dim=1)
            own = log_probability.gather(1, moved.labels[:, None])
            rank = (log_probability > own).sum(dim=1)
            outputs.append(torch.stack([prediction.float(), confidence, -own[:, 0], rank.float()]))
            if logits.shape[1] > MAX_LOGITS:
                logits, largest = logits.topk(MAX_LOGITS)
                classes.append(largest.int())
            kept.append(logits.clamp(-MAX_FLOAT16, MAX_FLOAT16).half())
            labels.append(batch.labels)
    model.train()
    prediction, confidence, loss, rank = torch.cat(outputs, dim=1).cpu().numpy()
    predictions = Predictions(
        index=indices,
        label=torch.cat(labels).numpy(),
        prediction=prediction.astype(np.int64),
        confidence=confidence,
        loss=loss,
        rank=rank.astype(np.int64),
    )
    return Evaluation(predictions, _to_numpy(kept), _to_numpy(classes) if classes else None)


def concatenate(parts: Sequence[Evaluation]) -> Evaluation:
    """Return the evaluation of a split from those of its consecutive parts."""
    names = [field.name for field in fields(Predictions)]
    columns = {name: np.concatenate([getattr(each.predictions, name) for each in parts]) for name in names}
    classes = [each.classes for each in parts if each.classes is not None]
    logits = np.concatenate([each.logits for each in parts])
    return Evaluation(Predictions(**columns), logits, np.concatenate(classes) if classes else None)


def _to_numpy(parts: list[Tensor]) -> npt.NDArray[Any]:
    return np.concatenate([each.cpu().numpy() for each in parts])


def compute_logits(model: Any, images: Tensor, device: torch.device) -> Tensor:
    """Return logits (B, K). The head runs in float32: bf16 would round close logits to the same number."""
    with autocast(device):
        features = model.forward_features(images)
    with torch.autocast(device.type, enabled=False):
        logits: Tensor = model.forward_head(features.float())
    return logits
