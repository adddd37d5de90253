"""Position embeddings at another resolution than they were trained at, or none at all."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from revit.errors import InputError

RESIZES: dict[str, Callable[[Tensor, int], Tensor]] = {
    "timm": lambda grid, side: interpolate(grid, side, mode="bicubic", antialias=True),
    "jax": lambda grid, side: interpolate(grid, side, mode="bilinear", align_corners=True),
    "hf": lambda grid, side: interpolate(grid, side, mode="bicubic"),
}
"""From a grid (1, D, G, G) to (1, D, side, side), as the three public implementations do it:
timm 1.0 (`resample_abs_pos_embed`), the original JAX code (`scipy.ndimage.zoom`, order 1: bilinear with
aligned corners), and transformers (`interpolate_pos_encoding`)."""


def resize_pos_embed(pos_embed: Tensor, num_patches: int, *, num_prefix: int, how: str) -> Tensor:
    """Bring a table (1, num_prefix + G*G, D) to (1, num_prefix + num_patches, D); class token untouched.

    A table that fits is returned as it is.

    Raises:
        InputError: either grid is not square.
    """
    prefix, patches = pos_embed[:, :num_prefix], pos_embed[:, num_prefix:]
    old, new = _side(patches.shape[1]), _side(num_patches)
    if old == new:
        return pos_embed
    grid = patches.float().reshape(1, old, old, -1).permute(0, 3, 1, 2)
    resized = RESIZES[how](grid, new).permute(0, 2, 3, 1).flatten(1, 2)
    return torch.cat([prefix, resized.to(pos_embed.dtype)], dim=1)


def remove_pos_embed(model: Any, name: str) -> None:
    """Zero and freeze a model's position embedding, so that all its other weights start the same.

    Raises:
        InputError: the model has none.
    """
    if getattr(model, "pos_embed", None) is None:
        raise InputError(f"model.pos_embed = 'none': {name} has no position embedding to remove")
    nn.init.zeros_(model.pos_embed)
    model.pos_embed.requires_grad_(False)


def _side(num_patches: int) -> int:
    side = math.isqrt(num_patches)
    if side * side != num_patches:
        raise InputError(f"a position embedding of {num_patches} patches is not a square grid")
    return side
