"""Augmentation of a batch of cropped images, from (seed, step)."""

import math

import torch
from torch import Tensor

from revit.config import FineTuneConfig
from revit.datasets.augmentations import AUGMENTATIONS
from revit.errors import InputError, first_line
from revit.functions import load_function
from revit.random_streams import Stream, make_rng


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
    """Raise InputError unless the config's augmentation accepts images of its resolution, and repeats itself."""
    shape = (2, 3, config.resolution, config.resolution)
    images = torch.arange(math.prod(shape)).reshape(shape).to(torch.uint8)
    try:
        once, again = (augment(config, images.clone(), 0) for _ in range(2))
    except InputError:
        raise
    except Exception as error:  # a function of the user may raise anything
        raise InputError(f"augmentation = {config.augmentation!r}: fails: {first_line(error)}") from error
    if not torch.equal(once, again):
        right = "must draw all of its random numbers from the generator that it is given"
        raise InputError(f"augmentation = {config.augmentation!r}: {right}")
