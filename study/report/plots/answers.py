"""Figures of a trial's answers on test images: which classes it confuses, where it errs most confidently."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from study.report.plots import style
from study.report.plots.mosaic import Pixels, mosaic, picture, thumbnail

MAX_CLASS_NAMES = 20
"""Classes that can be named beside a matrix; of more, hovering tells."""
MAX_COUNTS = 12
"""Classes of a matrix whose cells have room for their counts."""
NUM_MISTAKES, NUM_COLUMNS, TILE_PX, TEXT_PX = 12, 4, 72, 38
ROW_PX = 132
"""Height of a row of pictures on a narrow page, which they fill."""

BLUES = [[0, "rgba(0, 114, 178, 0)"], [1, "rgba(0, 114, 178, 1)"]]
"""From the page's own color."""
DARK_SHARE = 0.85
"""From which a cell is so blue that white shows better on it than a light page's text does."""


def confusion(matrix: npt.NDArray[np.int64], class_names: Sequence[str], cell: str) -> go.Figure:
    """Draw how the images of each class were classified, as shares of that class.

    Args:
        matrix: (K, K) number of test images, by true class (rows) and predicted class (columns).
        class_names: K.
        cell: whose answers they are.
    """
    few = len(class_names) <= MAX_CLASS_NAMES
    counted = len(class_names) <= MAX_COUNTS
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    detail = "The numbers are images." if counted else "Hover for names and numbers of images."
    caption = f"Color: share of the test images of a true class, so that every row adds up to 100 %. {detail}"
    fig = style.figure(f"Confusion matrix, {cell}", caption, height=460)
    fig.add_heatmap(
        z=style.numbers(100 * shares),
        customdata=np.asarray(matrix, np.int32),
        zmin=0,
        zmax=100,
        colorscale=BLUES,
        colorbar=style.color_bar("share of the true class, %"),
        hovertemplate="true: %{y}<br>predicted: %{x}<br>%{customdata} images, %{z:.1f} %<extra></extra>",
    )
    if counted:
        _add_counts(fig, matrix, shares < DARK_SHARE, None)
        _add_counts(fig, matrix, shares >= DARK_SHARE, "#ffffff")
    names = [style.short(name, 14 if few else 40) for name in class_names]
    ticks = {
        "tickvals": list(range(len(names))),
        "ticktext": names,
        "showgrid": False,
        "ticks": "",
        "constrain": "domain",
        "tickfont": {"size": 10},
    }
    fig.update_xaxes(**ticks, showticklabels=few, title_text="predicted class")
    fig.update_yaxes(**ticks, showticklabels=few, title_text="true class", autorange="reversed", scaleanchor="x")
    return fig


def _add_counts(fig: go.Figure, matrix: npt.NDArray[np.int64], where: npt.NDArray[np.bool_], color: str | None) -> None:
    rows, columns = np.nonzero(where & (matrix > 0))
    fig.add_scatter(
        x=columns,
        y=rows,
        text=[str(count) for count in matrix[rows, columns]],
        mode="text",
        textfont={"color": color, "size": 11},
        hoverinfo="skip",
        showlegend=False,
    )


def most_confident_mistakes(
    labels: npt.NDArray[np.int64], predictions: npt.NDArray[np.int64], confidences: npt.NDArray[np.floating], count: int
) -> npt.NDArray[np.intp]:
    """Positions of the `count` wrong answers given most confidently, the most confident first; fewer where fewer."""
    wrong = np.flatnonzero(labels != predictions)
    return wrong[np.argsort(-confidences[wrong], kind="stable")][:count]


def mistakes(
    images: Sequence[Pixels],
    labels: npt.NDArray[np.int64],
    predictions: npt.NDArray[np.int64],
    confidences: npt.NDArray[np.floating],
    class_names: Sequence[str],
    cell: str,
) -> go.Figure:
    """Draw the images that were classified wrong with the greatest confidence.

    Args:
        images: of each answer, (H, W, 1 or 3) uint8, of any sizes. Only those shown are looked at.
        labels: (n,) right class.
        predictions: (n,) class answered.
        confidences: (n,) probability given to the answer, 0 to 1.
        class_names: K.
        cell: whose answers they are.
    """
    worst = most_confident_mistakes(labels, predictions, confidences, NUM_MISTAKES)
    num_wrong = int((labels != predictions).sum())
    caption = (
        f"The {len(worst)} wrong answers given with the greatest confidence, of {num_wrong:,} wrong ones among "
        f"{len(labels):,} test images. Below each: the true class, then the answer and its confidence."
    )
    num_rows = -(-len(worst) // NUM_COLUMNS)
    fig = style.figure(f"Most confident mistakes, {cell}", caption, height=num_rows * ROW_PX)
    style.add_picture_axes(fig)
    if not len(worst):
        return fig
    tiles = np.zeros((len(worst), TILE_PX + TEXT_PX, TILE_PX, 4), np.uint8)
    for tile, index in zip(tiles, worst, strict=True):
        tile[:TILE_PX, :, :3] = thumbnail(images[index], TILE_PX)
        tile[:TILE_PX, :, 3] = 255
    gap = 10
    fig.add_trace(picture(mosaic(tiles, NUM_COLUMNS, gap)))
    rows, columns = np.divmod(np.arange(len(worst)), NUM_COLUMNS)
    fig.add_scatter(
        x=columns * (TILE_PX + gap) + TILE_PX / 2,
        y=rows * (TILE_PX + TEXT_PX + gap) + TILE_PX + 1,
        text=[_told(class_names[labels[at]], class_names[predictions[at]], float(confidences[at])) for at in worst],
        mode="text",
        textposition="bottom center",
        textfont={"size": 10},
        cliponaxis=False,
        hoverinfo="skip",
        showlegend=False,
    )
    return fig


def _told(label: str, prediction: str, confidence: float) -> str:
    return f"{style.short(label, 14)}<br><i>{style.short(prediction, 14)}</i><br>{100 * confidence:.0f} %"
