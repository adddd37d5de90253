"""Losses of training, by name.

Validation and test always use the cross-entropy. The module imports no torch, so that a config can name a loss.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    Loss = Callable[[Tensor, Tensor], Tensor]


def _cross_entropy(logits: "Tensor", targets: "Tensor") -> "Tensor":
    from torch.nn import functional as F

    return F.cross_entropy(logits, targets, reduction="none")


def _binary_cross_entropy(logits: "Tensor", targets: "Tensor") -> "Tensor":
    """Return the mean over classes, as timm's `BinaryCrossEntropy` (Touvron et al. 2022, arXiv:2204.07118)."""
    from torch.nn import functional as F

    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=1)


LOSSES: "dict[str, Loss]" = {
    "cross_entropy": _cross_entropy,
    "binary_cross_entropy": _binary_cross_entropy,
}
"""name -> function of logits (B, K) and targets (B, K), probabilities, to the loss of each image (B,) in nats."""
