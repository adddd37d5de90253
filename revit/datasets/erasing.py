"""Random erasing of a rectangle per image (Zhong et al. 2017, arXiv:1708.04896), as timm's in mode `const`."""

import math

import numpy as np
import torch
from torch import Tensor

from revit.config import FineTuneConfig
from revit.random_streams import Stream, make_rng

AREA = (0.02, 1 / 3)
"""Smallest and largest area, as fractions of the image."""
LOG_RATIO = (math.log(0.3), math.log(1 / 0.3))
"""Logarithms of the smallest and largest height over width."""
NUM_ATTEMPTS = 10


def draw_erased(config: FineTuneConfig, step: int, count: int) -> Tensor | None:
    """Draw what is erased at training step `step` (from 0) from each of `count` images.

    Returns:
        (B, 4) int64 top, left, height, width in pixels, zero for an image that stays whole; None without erasing.
    """
    if config.random_erasing == 0:
        return None
    rng = make_rng(config.seed, Stream.ERASING, step)
    return torch.tensor([_draw_box(rng, config.random_erasing, config.resolution) for _ in range(count)])


def _draw_box(rng: np.random.Generator, probability: float, side: int) -> tuple[int, int, int, int]:
    if rng.random() > probability:
        return 0, 0, 0, 0
    for _ in range(NUM_ATTEMPTS):
        area = rng.uniform(*AREA) * side**2
        ratio = math.exp(rng.uniform(*LOG_RATIO))
        height, width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if height < side and width < side:
            return int(rng.integers(0, side - height + 1)), int(rng.integers(0, side - width + 1)), height, width
    return 0, 0, 0, 0


def erase(images: Tensor, boxes: Tensor) -> Tensor:
    """Set a box (n, 4) of each normalized image (n, C, H, W) to zero, the mean pixel, in place."""
    rows, columns = (torch.arange(size, device=images.device) for size in images.shape[2:])
    top, left, height, width = boxes[..., None].unbind(1)
    in_rows = (rows >= top) & (rows < top + height)
    in_columns = (columns >= left) & (columns < left + width)
    return images.masked_fill_(in_rows[:, None, :, None] & in_columns[:, None, None, :], 0)
