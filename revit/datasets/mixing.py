"""Mixing of the images of a batch: mixup or CutMix, as timm's `Mixup` with one draw per batch.

Only the partners differ: timm pairs the first image with the last, here they are a random permutation.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from revit.config import FineTuneConfig
from revit.random_streams import Stream, make_rng

Box = tuple[int, int, int, int]
"""Top, left, height, width in pixels."""


class Mix(NamedTuple):
    """Mixing of one batch: image and label keep the share `lam`, the rest is image `partner` (B,) int64.

    Attributes:
        box: area that CutMix takes from the partner; None for mixup.
    """

    partner: Tensor
    lam: float
    box: Box | None = None


def draw_mix(config: FineTuneConfig, step: int, count: int) -> Mix | None:
    """Draw the mixing of training step `step` (from 0) with `count` images; None without mixup and CutMix."""
    rng = make_rng(config.seed, Stream.MIXING, step)
    is_cutmix = config.cutmix > 0 and (config.mixup == 0 or rng.random() < 0.5)
    alpha = config.cutmix if is_cutmix else config.mixup
    if alpha == 0:
        return None
    lam = float(rng.beta(alpha, alpha))
    box = _draw_box(rng, lam, config.resolution) if is_cutmix else None
    if box is not None:
        lam = 1 - box[2] * box[3] / config.resolution**2
    return Mix(torch.from_numpy(rng.permutation(count)), lam, box)


def _draw_box(rng: np.random.Generator, lam: float, side: int) -> Box:
    """Place a square of the area 1 - lam around a pixel of an image, clipped by its borders."""
    cut = int(side * math.sqrt(1 - lam))
    middles = rng.integers(0, side, 2).tolist()
    (top, bottom), (left, right) = ((max(0, at - cut // 2), min(side, at + (cut + 1) // 2)) for at in middles)
    return top, left, bottom - top, right - left


def mix_images(images: Tensor, partners: Tensor, mix: Mix) -> Tensor:
    """Mix images (n, C, H, W) with their partners. CutMix changes `images` in place."""
    if mix.box is None:
        return mix.lam * images + (1 - mix.lam) * partners
    top, left, height, width = mix.box
    area = (..., slice(top, top + height), slice(left, left + width))
    images[area] = partners[area]
    return images
