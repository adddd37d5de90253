"""Figures of a trial's predictions on test images: confusion matrix, most confident mistakes."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from study.report.plots import style
from study.report.plots.mosaic import Pixels, make_mosaic, make_picture, make_thumbnail

MAX_CLASS_NAMES = 20
"""Classes that are named beside a matrix; of more, hovering shows the names."""
MAX_COUNTS = 12
"""Classes of a matrix whose fields have room for their counts."""
NUM_MISTAKES, NUM_COLUMNS, TILE_PX, TEXT_PX = 12, 4, 72, 38
ROW_PX = 132
"""Height of a row of pictures that fills a narrow page."""
BLUES = [[0, "rgba(0, 114, 178, 0)"], [1, "rgba(0, 114, 178, 1)"]]
"""Transparent to blue."""
DARK_SHARE = 0.85
"""Share from which a field is so blue that its count is white."""


def plot_confusion_matrix(matrix: npt.NDArray[np.int64], class_names: Sequence[str], cell: str) -> go.Figure:
    """Draw a row-normalized confusion matrix.

    Args:
        matrix: (K, K) number of test images, by true class (rows) and predicted class (columns).
        class_names: K.
    """
    is_named = len(class_names) <= MAX_CLASS_NAMES
    is_counted = len(class_names) <= MAX_COUNTS
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    detail = "Numbers: images." if is_counted else "Hover for classes and numbers of images."
    caption = f"Row-normalized: every row adds up to 100 %, and the diagonal is the recall of each class. {detail}"
    fig = style.new_figure(f"Confusion matrix, {cell}", caption, height=460)
    fig.add_heatmap(
        z=style.as_float32(100 * shares),
        customdata=np.asarray(matrix, np.int32),
        zmin=0,
        zmax=100,
        colorscale=BLUES,
        colorbar=style.color_bar("row-normalized (recall), %"),
        hovertemplate="true: %{y}<br>predicted: %{x}<br>%{customdata} images, %{z:.2f} %<extra></extra>",
    )
    if is_counted:
        _add_counts(fig, matrix, shares < DARK_SHARE, None)
        _add_counts(fig, matrix, shares >= DARK_SHARE, "#ffffff")
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
    """Return the positions of at most `count` wrong predictions, the most confident first."""
    wrong = np.flatnonzero(labels != predictions)
    return wrong[np.argsort(-confidences[wrong], kind="stable")][:count]


def plot_mistakes(
    read_image: Callable[[int], Pixels],
    positions: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    predictions: npt.NDArray[np.int64],
    confidences: npt.NDArray[np.floating],
    class_names: Sequence[str],
    cell: str,
) -> go.Figure:
    """Draw the images that were classified wrong with the highest confidence.

    Args:
        read_image: returns the image at a position, (H, W, 1 or 3) uint8, of any size. Only those drawn are read.
        positions: (n,) of the test images.
        labels: (n,) true class.
        predictions: (n,) predicted class.
        confidences: (n,) probability of the predicted class, 0 to 1.
        class_names: K.
    """
    worst = most_confident_mistakes(labels, predictions, confidences, NUM_MISTAKES)
    num_wrong = int((labels != predictions).sum())
    caption = (
        f"The {len(worst)} most confident of {num_wrong:,} wrong predictions on {len(labels):,} test images. "
        "Below each image: true class, predicted class (italic), confidence."
    )
    num_rows = -(-len(worst) // NUM_COLUMNS)
    fig = style.new_figure(f"Most confident mistakes, {cell}", caption, height=num_rows * ROW_PX)
    style.add_picture_axes(fig)
    if not len(worst):
        return fig
    tiles = np.zeros((len(worst), TILE_PX + TEXT_PX, TILE_PX, 4), np.uint8)
    for tile, index in zip(tiles, worst, strict=True):
        tile[:TILE_PX, :, :3] = make_thumbnail(read_image(int(positions[index])), TILE_PX)
        tile[:TILE_PX, :, 3] = 255
    gap = 10
    names = [style.shorten(name, 14) for name in class_names]
    fig.add_trace(make_picture(make_mosaic(tiles, NUM_COLUMNS, gap)))
    rows, columns = np.divmod(np.arange(len(worst)), NUM_COLUMNS)
    fig.add_scatter(
        x=columns * (TILE_PX + gap) + TILE_PX / 2,
        y=rows * (TILE_PX + TEXT_PX + gap) + TILE_PX + 1,
        text=[
            f"{names[labels[at]]}<br><i>{names[predictions[at]]}</i><br>{100 * float(confidences[at]):.0f} %"
            for at in worst
        ],
        mode="text",
        textposition="bottom center",
        textfont={"size": 10},
        cliponaxis=False,
        hoverinfo="skip",
        showlegend=False,
    )
    return fig
