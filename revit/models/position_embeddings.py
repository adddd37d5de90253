"""Position embeddings, resized to another resolution or removed."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from revit.errors import InputError

RESIZE_METHODS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "timm": lambda grid, side: interpolate(grid, side, mode="bicubic", antialias=True),
    "jax": lambda grid, side: interpolate(grid, side, mode="bilinear", align_corners=True),
    "hf": lambda grid, side: interpolate(grid, side, mode="bicubic"),
}
"""Interpolation of a grid (1, D, G, G) to (1, D, side, side), as in the three public implementations:
timm 1.0 (`resample_abs_pos_embed`), the original JAX code (`scipy.ndimage.zoom`, order 1: bilinear with
aligned corners), and transformers (`interpolate_pos_encoding`)."""


def resize_pos_embed(pos_embed: Tensor, num_patches: int, *, num_prefix: int, method: str) -> Tensor:
    """Resize an embedding (1, num_prefix + G*G, D) to (1, num_prefix + num_patches, D).

    Prefix tokens do not change. An embedding that fits is returned unchanged.

    Raises:
        InputError: one of the grids is not square.
    """
    prefix, patches = pos_embed[:, :num_prefix], pos_embed[:, num_prefix:]
    old, new = _side(patches.shape[1]), _side(num_patches)
    if old == new:
        return pos_embed
    grid = patches.float().reshape(1, old, old, -1).permute(0, 3, 1, 2)
    resized = RESIZE_METHODS[method](grid, new).permute(0, 2, 3, 1).flatten(1, 2)
    return torch.cat([prefix, resized.to(pos_embed.dtype)], dim=1)


def remove_pos_embed(model: Any, name: str) -> None:
    """Zero and freeze a model's position embedding, so that all other weights start the same.

    Raises:
        InputError: the model has no position embedding.
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
