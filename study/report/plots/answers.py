"""Figures of a trial's predictions on test images: confusion matrix, most confident mistakes."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from study.report.plots import style
from study.report.plots.mosaic import Pixels, make_mosaic, make_picture, make_thumbnail

MAX_NAMED_CLASSES = 20
"""Classes that are named beside a matrix, with their counts in it; of more, hovering shows both."""
NUM_MISTAKES, NUM_COLUMNS, TILE_PX, TEXT_PX = 12, 4, 72, 38
ROW_PX = 132
"""Height of a row of pictures that fills a narrow page."""


def plot_confusion_matrix(matrix: npt.NDArray[np.int64], class_names: Sequence[str], cell: str) -> go.Figure:
    """Draw a row-normalized confusion matrix.

    Args:
        matrix: (K, K) number of test images, by true class (rows) and predicted class (columns).
    """
    is_named = len(class_names) <= MAX_NAMED_CLASSES
    caption = (
        "Row-normalized: every row adds up to 100 %, and the diagonal is the recall of each class. "
        "Numbers, in the fields or on hovering: images."
    )
    fig = style.new_figure(f"Confusion matrix, {cell}", caption, height=460, lookup=True)
    fig.add_heatmap(
        z=style.as_float32(100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)),
        text=np.asarray(matrix, np.int32),
        zmin=0,
        zmax=100,
        colorscale="Blues",
        colorbar_title_text="row-normalized (recall), %",
        texttemplate="%{text}" if is_named else "",
        hovertemplate="true: %{y}<br>predicted: %{x}<br>%{text} images, %{z:.2f} %<extra></extra>",
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
    return fig


def plot_mistakes(
    answers: pd.DataFrame, read_image: Callable[[int], Pixels], class_names: Sequence[str], cell: str
) -> go.Figure:
    """Draw the images that were classified wrong with the highest confidence.

    Args:
        answers: a row per test image: columns index (its position), label, prediction, confidence (0 to 1).
        read_image: returns the image at a position, (H, W, 1 or 3) uint8, of any size. Only those drawn are read.
    """
    wrong = answers[answers["label"] != answers["prediction"]]
    worst = wrong.sort_values("confidence", ascending=False, kind="stable")[:NUM_MISTAKES]
    caption = (
        f"The {len(worst)} most confident of {len(wrong):,} wrong predictions on {len(answers):,} test images. "
        "Below each image: true class, predicted class (italic), confidence."
    )
    num_rows = -(-len(worst) // NUM_COLUMNS)
    fig = style.new_figure(f"Most confident mistakes, {cell}", caption, height=num_rows * ROW_PX, lookup=True)
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
            f"{names[row['label']]}<br><i>{names[row['prediction']]}</i><br>{100 * row['confidence']:.0f} %"
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
