"""Mosaics: many small pictures as a single PNG in a figure instead of hundreds of subplots."""

from typing import Literal

import numpy as np
import numpy.typing as npt
import plotly.express as px
import plotly.graph_objects as go
from PIL import Image
from skimage.util import montage

Pixels = npt.NDArray[np.uint8]

MAX_SHARP_PX = 360
"""Width up to which a narrow page shows a picture in full."""


def make_mosaic(tiles: Pixels, num_columns: int, gap: int = 1) -> Pixels:
    """Return tiles (n, h, w, 3 or 4) row by row as one picture (H, W, 4), `gap` transparent pixels between them."""
    opaque = np.pad(tiles, [*[(0, 0)] * 3, (0, 4 - tiles.shape[3])], constant_values=255)
    shape = (-(-len(tiles) // num_columns), num_columns)
    canvas: Pixels = montage(opaque, fill=(0, 0, 0, 0), grid_shape=shape, padding_width=gap, channel_axis=-1)
    return canvas[gap:-gap, gap:-gap]


def make_thumbnail(image: Pixels, size: int) -> Pixels:
    """Return an image (H, W, 1 or 3) resized to (size, size, 4) without keeping its aspect ratio.

    An enlarged image shows its pixels.
    """
    method = Image.Resampling.BOX if max(image.shape[:2]) > size else Image.Resampling.NEAREST
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    return np.asarray(picture.convert("RGBA").resize((size, size), method))


def make_picture(pixels: Pixels) -> go.Image:
    """Return a trace that shows pixels (H, W, 4); the center of the first lies at (0, 0).

    A picture that fits a narrow page keeps its pixels square; a wider one is shrunk smoothly.
    """
    [picture] = px.imshow(pixels, binary_compression_level=9).data
    smooth: Literal["fast", False] = "fast" if pixels.shape[1] > MAX_SHARP_PX else False
    return picture.update(zsmooth=smooth, hoverinfo="skip", hovertemplate=None)
