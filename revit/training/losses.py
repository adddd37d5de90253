"""Losses of training, by name.

Validation and test always use the cross-entropy.
"""

from collections.abc import Callable

import torch
from timm.data.mixup import one_hot
from torch import Tensor
from torch.nn import functional as F

from revit.config import FineTuneConfig
from revit.errors import InputError, first_line
from revit.functions import load_function

Loss = Callable[[Tensor, Tensor], Tensor]

LOSSES: dict[str, Loss] = {
    "cross_entropy": lambda logits, targets: F.cross_entropy(logits, targets, reduction="none"),
    "binary_cross_entropy": lambda logits, targets: F.binary_cross_entropy_with_logits(
        logits, targets, reduction="none"
    ).mean(dim=1),
}
"""name -> function of logits (B, K) and targets (B, K), probabilities, to the loss of each image (B,) in nats."""


def image_losses(config: FineTuneConfig, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of each image (B,) in nats, with label smoothing.

    Args:
        logits: (B, K) float32.
        labels: (B,) int64.

    Raises:
        InputError: the user's function does not return one loss per image.
    """
    num_classes, smoothing = logits.shape[1], config.label_smoothing
    spread = smoothing / num_classes
    on, off = 1 - smoothing + spread, spread
    targets = one_hot(labels, num_classes, on, off)  # type: ignore[no-untyped-call]  # timm leaves it untyped
    losses = (LOSSES.get(config.loss) or load_function(config.loss))(logits, targets)
    if not isinstance(losses, Tensor) or losses.shape != labels.shape:
        raise InputError(f"loss = {config.loss!r}: must return one loss per image, of shape {tuple(labels.shape)}")
    return losses


def check_loss(config: FineTuneConfig) -> None:
    """Raise InputError unless the config's loss returns one loss per image, with a gradient."""
    logits = torch.zeros(2, 5, requires_grad=True)
    try:
        torch.autograd.grad(image_losses(config, logits, torch.tensor([0, 4])).sum(), logits)
    except InputError:
        raise
    except Exception as error:  # a function of the user may raise anything
        raise InputError(f"loss = {config.loss!r}: fails: {first_line(error)}") from error
