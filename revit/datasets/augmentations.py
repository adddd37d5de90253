"""Augmentations of cropped uint8 images, by name.

The operations are torchvision's. Its transforms draw from torch's global generator, which all threads and dropout
share; here the same draws, in the same order, come from a generator of (seed, step). The module imports no torch, so
that a config can name an augmentation.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.random import Generator
    from torch import Tensor

    from revit.config import FineTuneConfig

    Augmentation = Callable[[Tensor, Generator, FineTuneConfig], Tensor]

AUGMENTATIONS: "dict[str, Augmentation]" = {
    "none": lambda images, rng, config: images,
    "randaugment": lambda images, rng, config: _apply_policy(
        "RandAugment", images, rng, config.randaugment_num_ops, config.randaugment_magnitude
    ),
    "trivialaugment": lambda images, rng, config: _apply_policy("TrivialAugmentWide", images, rng),
}
"""name -> function of images (B, C, R, R) uint8, C 1 or 3, a generator, and the config, to augmented images.

RandAugment is of Cubuk et al. (2020, arXiv:1909.13719), the wide TrivialAugment of Müller and Hutter (2021,
arXiv:2103.10158), which translates by up to 32 pixels at any resolution. Of a gray image, torchvision's operation
`Color` changes nothing.
"""


def _apply_policy(
    name: str, images: "Tensor", rng: "Generator", num_ops: int = 1, magnitude: int | None = None
) -> "Tensor":
    """Apply random operations of a torchvision policy to each image (B, C, R, R), one after the other.

    Args:
        name: of torchvision's class.
        magnitude: number of the magnitude of every operation, from 0; None to draw one for each.
    """
    import torch
    from torchvision.transforms import v2

    policy: Any = getattr(v2, name)()

    def augment_image(image: "Tensor") -> "Tensor":
        for _ in range(num_ops):
            name, strength = _draw_operation(policy, image, rng, magnitude)
            image = policy._apply_image_or_video_transform(
                image, name, strength, interpolation=policy.interpolation, fill=policy._fill
            )
        return image

    return torch.stack([augment_image(image) for image in images])


def _draw_operation(policy: Any, image: "Tensor", rng: "Generator", magnitude: int | None) -> tuple[str, float]:
    """Draw the name of an operation and its strength, in the unit of the operation."""
    names = list(policy._AUGMENTATION_SPACE)
    name = names[rng.integers(len(names))]
    list_strengths, is_signed = policy._AUGMENTATION_SPACE[name]
    strengths = list_strengths(policy.num_magnitude_bins, *image.shape[1:])
    if strengths is None:
        return name, 0.0
    strength = float(strengths[rng.integers(len(strengths)) if magnitude is None else magnitude])
    return name, -strength if is_signed and rng.random() <= 0.5 else strength
