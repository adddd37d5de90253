"""Models that write down when they compute: on a CPU, the time between is what a GPU would be idle."""

import os
import time
from itertools import count
from pathlib import Path
from typing import Any

import timm
from torch import Tensor, nn

FOLDER = "REVIT_TIMES"
"""Variable with the folder of the files: one per process, a line per forward pass with model number, start, end."""

_numbers = count()


def vit_base(num_classes: int, resolution: int) -> nn.Module:
    """Return a ViT-B/16."""
    return _timed(timm.create_model("vit_base_patch16_224", num_classes=num_classes, img_size=resolution))


def vit_small(num_classes: int, resolution: int) -> nn.Module:
    """Return a ViT of width 64 with 4 layers, as of the nano scale."""
    return _timed(
        timm.create_model(
            "vit_base_patch16_224",
            num_classes=num_classes,
            img_size=resolution,
            patch_size=4,
            embed_dim=64,
            depth=4,
            num_heads=4,
        )
    )


def _timed(model: Any) -> nn.Module:
    number, forward_features = next(_numbers), model.forward_features

    def timed(images: Tensor, **options: Any) -> Tensor:
        start = time.time()
        features: Tensor = forward_features(images, **options)
        if not images.is_meta:
            with (Path(os.environ[FOLDER]) / str(os.getpid())).open("a") as file:
                file.write(f"{number} {start} {time.time()}\n")
        return features

    model.forward_features = timed
    built: nn.Module = model
    return built
