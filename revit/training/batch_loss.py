"""Loss of a batch, with label smoothing, of mixed images for both labels."""

import torch
from timm.data.mixup import one_hot
from torch import Tensor

from revit.config import FineTuneConfig
from revit.datasets.mixing import Mix
from revit.datasets.registry import DATASETS
from revit.errors import InputError, first_line
from revit.functions import load_function
from revit.training.losses import LOSSES


def summed_loss(config: FineTuneConfig, logits: Tensor, labels: Tensor, part: slice, mix: Mix | None) -> Tensor:
    """Return the loss in nats, summed over a part of a batch; of mixed images, for both labels by their shares.

    Args:
        logits: of the part, (n, K) float32.
        labels: of the whole batch, (B,) int64.
    """
    own_loss = image_losses(config, logits, labels[part]).sum()
    if mix is None:
        return own_loss
    partner_loss = image_losses(config, logits, labels[mix.partner[part]]).sum()
    return mix.lam * own_loss + (1 - mix.lam) * partner_loss


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
    """Raise InputError unless the config's loss returns one loss per image, with a gradient.

    With a dataset whose number of classes is not known before its images are read, the function is only imported.
    """
    if config.dataset not in DATASETS:
        load_function(config.loss)
        return
    logits = torch.zeros(2, DATASETS[config.dataset].num_classes, requires_grad=True)
    try:
        torch.autograd.grad(image_losses(config, logits, torch.tensor([0, 1])).sum(), logits)
    except InputError:
        raise
    except Exception as error:  # a function of the user may raise anything
        raise InputError(f"loss = {config.loss!r}: fails: {first_line(error)}") from error
