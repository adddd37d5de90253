"""Many small pictures as one: a single PNG in a figure instead of hundreds of subplots."""

import base64
import io
from typing import Literal

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from PIL import Image

Pixels = npt.NDArray[np.uint8]

SHRUNK_FROM_PX = 360
"""Width that a narrow page still shows in full."""


def mosaic(tiles: Pixels, num_columns: int, gap: int = 1) -> Pixels:
    """Tiles (n, h, w, 3 or 4) row by row as one picture (H, W, 4), `gap` see-through pixels between them."""
    _, height, width, num_channels = tiles.shape
    num_rows = -(-len(tiles) // num_columns)
    canvas = np.zeros((num_rows * (height + gap) - gap, num_columns * (width + gap) - gap, 4), np.uint8)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, num_columns)
        top, left = row * (height + gap), column * (width + gap)
        canvas[top : top + height, left : left + width, 3] = 255
        canvas[top : top + height, left : left + width, :num_channels] = tile
    return canvas


def thumbnail(image: Pixels, size: int) -> Pixels:
    """An image (H, W, 1 or 3) squashed to (size, size, 3); what is enlarged shows its pixels."""
    rgb = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    smaller = max(image.shape[:2]) > size
    resized = Image.fromarray(rgb).resize((size, size), Image.Resampling.BOX if smaller else Image.Resampling.NEAREST)
    return np.asarray(resized)


def picture(pixels: Pixels) -> go.Image:
    """A trace that shows pixels (H, W, 4); the center of the first lies at (0, 0).

    Where they fit on a page they stay squares; more of them are shrunk smoothly, not by leaving some out.
    """
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG", optimize=True)
    source = "data:image/png;base64," + base64.b64encode(encoded.getvalue()).decode()
    smooth: Literal["fast", False] = "fast" if pixels.shape[1] > SHRUNK_FROM_PX else False
    return go.Image(source=source, zsmooth=smooth, hoverinfo="skip")
