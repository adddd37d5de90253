"""The models there are, as facts: names, sources, licences. Nothing here imports torch.

`models.py` builds them. Any timm classification model works by its timm name; the table holds those
that the studies name.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """What is known of a model before it is built.

    Attributes:
        patch_size: side of a square patch in pixels; every resolution must be a multiple of it.
        pretrained_resolution: side in pixels of the images that its weights were trained on.
        num_params: parameters with a 10-class head at the pretrained resolution.
    """

    name: str
    patch_size: int
    pretrained_resolution: int
    num_params: int
    source: str
    licence: str


MODELS: dict[str, ModelSpec] = {
    "vit_nano": ModelSpec(
        name="vit_nano",
        patch_size=4,
        pretrained_resolution=28,
        num_params=141_066,
        source="pretrained by this project on Fashion-MNIST (revit/pretrained/vit_nano.md)",
        licence="Apache-2.0",
    ),
}


def patch_size(name: str) -> int | None:
    """Side of a patch in pixels: from the table, or from a timm name such as `vit_tiny_patch16_224`.

    Returns None where the name does not say, as for convolutional networks.
    """
    if name in MODELS:
        return MODELS[name].patch_size
    stated = re.search(r"patch(\d+)", name)
    return int(stated.group(1)) if stated else None
