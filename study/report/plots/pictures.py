"""Pictures: filters, position embeddings, attention maps, training images.

Shapes are as in revit.models.internals_file.
"""

from collections.abc import Mapping, Sequence
from math import sqrt

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from skimage.util import montage

from study.report.plots import style
from study.report.plots.mosaic import Pixels, make_mosaic, make_picture, make_thumbnail

Floats = npt.NDArray[np.floating]

FILTERS_CAPTION = "Every filter of the patch embedding, whole, in RGB, each scaled by its own minimum and maximum."
SIMILARITY_CAPTION = (
    "The small map in row i, column j: cosine similarity of the position embedding of the patch in row i, column j "
    "to those of all patches."
)
ATTENTION_CAPTION = "The input image, bright where the class token attends; each map scaled by its own maximum."
SAMPLES_CAPTION = "Training images, a row per class, resized to squares as the model gets them in evaluation."
MIN_BRIGHTNESS = 0.12
"""Brightness of a patch with no attention, so that it can still be seen."""
PAGE_PX = 640
"""Width of a panel on a page of usual width."""
TILE_PX = 40
SAMPLE_PX = 56


def plot_filters(panels: Mapping[str, Pixels]) -> go.Figure:
    """Draw the filters of the patch embedding, a panel per model.

    Args:
        panels: by the title of each, the filters of a model: (D, P, P, 3) uint8.
    """
    mosaics = [_filter_mosaic(pictures) for pictures in panels.values()]
    heights = [round(PAGE_PX * pixels.shape[0] / pixels.shape[1]) for pixels in mosaics]
    fig = _stack_panels(list(panels), "Filters of the patch embedding", FILTERS_CAPTION, heights)
    for row, pixels in enumerate(mosaics, start=1):
        fig.add_trace(make_picture(pixels), row=row, col=1)
    return fig


def _filter_mosaic(pictures: Pixels) -> Pixels:
    """Return all filters in rows, about twice as wide as high."""
    num_columns = 2 ** round(np.log2(sqrt(2 * len(pictures))))
    return make_mosaic(pictures, num_columns, gap=max(1, pictures.shape[1] // 6))


def plot_similarity(maps: Floats) -> go.Figure:
    """Draw cosine similarity of position embeddings, as a grid of grids.

    Args:
        maps: of one model, (G, G, G, G), -1..1.
    """
    grid = len(maps)
    fig = style.new_figure("Similarity of position embeddings", SIMILARITY_CAPTION, height=440, lookup=True)
    tiles = montage(maps.reshape(-1, grid, grid), fill=np.nan, grid_shape=(grid, grid), padding_width=1)
    fig.add_heatmap(
        z=style.as_float32(tiles[1:-1, 1:-1]),
        zmin=-1,
        zmax=1,
        colorscale="RdBu_r",
        colorbar_title_text="cosine similarity",
        hovertemplate="%{z:.2f}<extra></extra>",
    )
    style.add_picture_axes(fig)
    ticks = {"showticklabels": True, "tickvals": _centers(grid, grid), "ticktext": list(range(grid))}
    fig.update_xaxes(**ticks, title_text="patch column")
    fig.update_yaxes(**ticks, title_text="patch row")
    return fig


def plot_attention(maps: Floats, image: Pixels) -> go.Figure:
    """Draw the attention of the class token to each patch, in every layer and head.

    Args:
        maps: of one image, (L, H, G, G), 0..1.
        image: (R, R, 1 or 3) uint8, that image.
    """
    num_layers, num_heads, grid, _ = maps.shape
    weights = maps.reshape(-1, grid, grid).astype(np.float32)
    weights = weights / weights.max(axis=(1, 2), keepdims=True)
    patch_px = max(1, TILE_PX // grid)
    brightness = MIN_BRIGHTNESS + (1 - MIN_BRIGHTNESS) * weights.repeat(patch_px, axis=1).repeat(patch_px, axis=2)
    shown = make_thumbnail(image, grid * patch_px)[..., :3]
    height = 110 + round(420 * max(0.4, min(1.5, num_layers / num_heads)))
    fig = _stack_panels(["input", ""], "Attention in every layer and head", ATTENTION_CAPTION, [90, height - 90])
    fig.add_trace(make_picture(make_mosaic(shown[None], 1)), row=1, col=1)
    lit = (shown[None] * brightness[..., None]).round().astype(np.uint8)
    fig.add_trace(make_picture(make_mosaic(lit, num_heads, gap=2)), row=2, col=1)
    for name, count, update in (("head", num_heads, fig.update_xaxes), ("layer", num_layers, fig.update_yaxes)):
        ticks = {"tickvals": _centers(count, grid * patch_px, 2), "ticktext": list(range(1, count + 1))}
        update(**ticks, title_text=name, showticklabels=True, row=2, col=1)
    return fig


def plot_samples(sets: Mapping[str, Mapping[str, Sequence[Pixels]]]) -> go.Figure:
    """Draw sample images of datasets, a panel per dataset, a row per class.

    Args:
        sets: images by class name by dataset, each (H, W, 1 or 3) uint8, of any sizes. A class may have fewer.
    """
    heights = [64 * len(classes) for classes in sets.values()]
    fig = _stack_panels(list(sets), "Sample images of each dataset", SAMPLES_CAPTION, heights)
    num_columns = max((len(images) for classes in sets.values() for images in classes.values()), default=0)
    for row, classes in enumerate(sets.values(), start=1):
        tiles = np.zeros((len(classes), num_columns, SAMPLE_PX, SAMPLE_PX, 4), np.uint8)
        for line, images in zip(tiles, classes.values(), strict=True):
            for tile, image in zip(line, images, strict=False):
                tile[:] = make_thumbnail(image, SAMPLE_PX)
        pixels = make_mosaic(tiles.reshape(-1, SAMPLE_PX, SAMPLE_PX, 4), num_columns, gap=3)
        fig.add_trace(make_picture(pixels), row=row, col=1)
        names = [style.shorten(name, 14) for name in classes]
        centers = _centers(len(names), SAMPLE_PX, 3)
        fig.update_yaxes(showticklabels=True, tickvals=centers, ticktext=names, row=row, col=1)
    return fig


def _stack_panels(titles: Sequence[str], title: str, caption: str, heights: Sequence[int]) -> go.Figure:
    """Return a figure of picture panels below one another, each under its own title; heights in pixels."""
    between = 34
    total = sum(heights) + between * (len(heights) - 1)
    fig = style.new_figure(title, caption, height=total, wide=True, lookup=True)
    fig.layout.margin.t += 18
    fig.set_subplots(
        rows=len(heights),
        cols=1,
        row_heights=list(heights),
        vertical_spacing=between / total,
        subplot_titles=[style.escape(each) for each in titles],
    )
    for row in range(1, len(heights) + 1):
        style.add_picture_axes(fig, row=row, col=1)
    fig.update_annotations(font_size=13)
    return fig


def _centers(count: int, size: int, gap: int = 1) -> list[float]:
    return [index * (size + gap) + (size - 1) / 2 for index in range(count)]
