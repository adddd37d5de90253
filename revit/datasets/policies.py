"""Augmentations of cropped uint8 images, by name.

The operations are torchvision's. Its transforms draw from torch's global generator, which all threads and dropout
share; here the same draws, in the same order, come from a generator of (seed, step).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from revit.config import FineTuneConfig
from revit.errors import InputError, first_line
from revit.functions import load_function
from revit.random_streams import Stream, make_rng

AUGMENTATIONS: dict[str, Callable[[Tensor, np.random.Generator, FineTuneConfig], Tensor]] = {
    "none": lambda images, rng, config: images,
    "randaugment": lambda images, rng, config: _apply_policy(
        v2.RandAugment(), images, rng, config.randaugment_num_ops, config.randaugment_magnitude
    ),
    "trivialaugment": lambda images, rng, config: _apply_policy(v2.TrivialAugmentWide(), images, rng),
}
"""name -> function of images (B, C, R, R) uint8, C 1 or 3, a generator, and the config, to augmented images.

RandAugment is of Cubuk et al. (2020, arXiv:1909.13719), the wide TrivialAugment of Müller and Hutter (2021,
arXiv:2103.10158).
"""


def augment(config: FineTuneConfig, images: Tensor, step: int) -> Tensor:
    """Augment the images (B, C, R, R) uint8 of training step `step` (from 0) as the config says.

    A function of the user takes images and generator. All of its random numbers must come from the generator.

    Raises:
        InputError: the user's function returns anything but uint8 images of this shape.
    """
    rng = make_rng(config.seed, Stream.AUGMENTATION, step)
    if config.augmentation in AUGMENTATIONS:
        return AUGMENTATIONS[config.augmentation](images, rng, config)
    augmented = load_function(config.augmentation)(images, rng)
    if not (isinstance(augmented, Tensor) and (augmented.shape, augmented.dtype) == (images.shape, torch.uint8)):
        right = f"must return uint8 images of shape {tuple(images.shape)}, as it was given"
        raise InputError(f"augmentation = {config.augmentation!r}: {right}")
    return augmented


def check_augmentation(config: FineTuneConfig) -> None:
    """Raise InputError unless the config's augmentation accepts images of its resolution."""
    images = torch.zeros(2, 3, config.resolution, config.resolution, dtype=torch.uint8)
    try:
        augment(config, images, 0)
    except InputError:
        raise
    except Exception as error:  # a function of the user may raise anything
        raise InputError(f"augmentation = {config.augmentation!r}: fails: {first_line(error)}") from error


def _apply_policy(
    policy: Any, images: Tensor, rng: np.random.Generator, num_ops: int = 1, magnitude: int | None = None
) -> Tensor:
    """Apply random operations of a torchvision policy to each image (B, C, R, R), one after the other.

    Args:
        magnitude: number of the magnitude of every operation, from 0; None to draw one for each.
    """

    def augment_image(image: Tensor) -> Tensor:
        for _ in range(num_ops):
            name, strength = _draw_operation(policy, image, rng, magnitude)
            image = policy._apply_image_or_video_transform(
                image, name, strength, interpolation=policy.interpolation, fill=policy._fill
            )
        return image

    return torch.stack([augment_image(image) for image in images])


def _draw_operation(policy: Any, image: Tensor, rng: np.random.Generator, magnitude: int | None) -> tuple[str, float]:
    """Draw the name of an operation and its strength, in the unit of the operation."""
    names = list(policy._AUGMENTATION_SPACE)
    name = names[rng.integers(len(names))]
    list_strengths, is_signed = policy._AUGMENTATION_SPACE[name]
    strengths = list_strengths(policy.num_magnitude_bins, *image.shape[1:])
    if strengths is None:
        return name, 0.0
    strength = float(strengths[rng.integers(len(strengths)) if magnitude is None else magnitude])
    return name, -strength if is_signed and rng.random() <= 0.5 else strength
