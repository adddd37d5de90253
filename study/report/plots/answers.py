"""Figures of predictions on test images: confusion matrices, images that most seeds classify wrong."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from study.report.plots import style
from study.report.plots.mosaic import Pixels, make_mosaic, make_picture, make_thumbnail

MAX_NAMED_CLASSES = 20
"""Classes that are named beside a matrix, with numbers in it; of more, hovering shows both."""
MATRIX_PX = 460
DIFFERENCE_SCALE = [[0, style.COLORS[1]], [0.5, "#F7F7F7"], [1, style.COLORS[0]]]
"""Orange for less over white to blue for more: distinct for the color-blind."""
NUM_MISTAKES, NUM_COLUMNS, TILE_PX, TEXT_PX = 12, 4, 72, 38
ROW_PX = 132
"""Height of a row of pictures that fills a narrow page."""


def plot_confusion_matrix(shares: npt.NDArray[np.float64], class_names: Sequence[str], title: str) -> go.Figure:
    """Draw a confusion matrix in percent of the true class.

    Args:
        shares: (K, K) share 0 to 1 of the test images of each true class (rows), by predicted class (columns).
        title: names the cell, and what the shares are a mean over.
    """
    caption = "A row adds up to 100 % of the test images of its class; the diagonal is the recall."
    fig = style.new_figure(title, caption, height=MATRIX_PX, lookup=True)
    _add_matrix(fig, shares, class_names, ".2f", zmin=0, zmax=100, colorscale="Blues", colorbar_title_text="% of class")
    return fig


def plot_confusion_difference(
    difference: npt.NDArray[np.float64], class_names: Sequence[str], title: str, note: str
) -> go.Figure:
    """Draw the difference of two confusion matrices in percentage points.

    Args:
        difference: (K, K) as for `plot_confusion_matrix`, -1 to 1.
        title: names both cells.
        note: what each is a mean over.
    """
    largest = max(1.0, 100 * float(np.abs(difference).max()))
    caption = f"{note} A row adds up to 0; above 0 on the diagonal: more images of the class are recognized."
    fig = style.new_figure(title, caption, height=MATRIX_PX, lookup=True)
    scale = {"zmin": -largest, "zmax": largest, "colorscale": DIFFERENCE_SCALE, "colorbar_title_text": "pp"}
    _add_matrix(fig, difference, class_names, "+.2f", **scale)
    return fig


def _add_matrix(
    fig: go.Figure, shares: npt.NDArray[np.float64], class_names: Sequence[str], digits: str, **colors: object
) -> None:
    """Add a matrix of shares between classes, which are named beside it, with numbers in it, unless they are many."""
    is_named = len(class_names) <= MAX_NAMED_CLASSES
    percent = 100 * shares
    fig.add_heatmap(
        z=style.as_float32(percent),
        text=[[f"{value:.0f}" if abs(value) >= 0.5 else "" for value in row] for row in percent] if is_named else None,
        texttemplate="%{text}" if is_named else "",
        hovertemplate=f"true: %{{y}}<br>predicted: %{{x}}<br>%{{z:{digits}}}<extra></extra>",
        **colors,
    )
    names = [style.shorten(name, 14 if is_named else 40) for name in class_names]
    ticks = {
        "tickvals": list(range(len(names))),
        "ticktext": names,
        "showgrid": False,
        "ticks": "",
        "constrain": "domain",
        "tickfont": {"size": 10},
    }
    fig.update_xaxes(**ticks, showticklabels=is_named, title_text="predicted class")
    fig.update_yaxes(**ticks, showticklabels=is_named, title_text="true class", autorange="reversed", scaleanchor="x")
    fig.update_yaxes(constraintoward="top")


def plot_mistakes(
    mistakes: pd.DataFrame, read_image: Callable[[int], Pixels], class_names: Sequence[str], title: str, note: str
) -> go.Figure:
    """Draw the images that most seeds classified wrong.

    Args:
        mistakes: a row per test image that a seed classified wrong, the worst first: columns index (its position),
            label, prediction (the wrong class of most seeds), text (below it).
        read_image: returns the image at a position, (H, W, 1 or 3) uint8, of any size. Only those drawn are read.
        title: names the cell.
        note: says what the order and the text are.
    """
    worst = mistakes[:NUM_MISTAKES]
    caption = f"{note} Below each: true class, predicted class (italic), seeds that classified it wrong."
    num_rows = -(-len(worst) // NUM_COLUMNS)
    fig = style.new_figure(title, caption, height=num_rows * ROW_PX, lookup=True)
    style.add_picture_axes(fig)
    if not len(worst):
        return fig
    images = np.stack([make_thumbnail(read_image(position), TILE_PX) for position in worst["index"]])
    tiles = np.pad(images, ((0, 0), (0, TEXT_PX), (0, 0), (0, 0)))
    gap = 10
    names = [style.shorten(name, 14) for name in class_names]
    fig.add_trace(make_picture(make_mosaic(tiles, NUM_COLUMNS, gap)))
    rows, columns = np.divmod(np.arange(len(worst)), NUM_COLUMNS)
    fig.add_scatter(
        x=columns * (TILE_PX + gap) + TILE_PX / 2,
        y=rows * (TILE_PX + TEXT_PX + gap) + TILE_PX + 1,
        text=[
            f"{names[row['label']]}<br><i>{names[row['prediction']]}</i><br>{style.escape(row['text'])}"
            for row in worst.to_dict("records")
        ],
        mode="text",
        textposition="bottom center",
        textfont={"size": 10},
        cliponaxis=False,
        hoverinfo="skip",
        showlegend=False,
    )
    return fig
