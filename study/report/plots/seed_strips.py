"""Strips: a row per cell, with the value of each seed, their mean, published values."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from revit.training.metrics import Metric
from study.report.plots import style
from study.report.plots.rows import describe_mean, error_bars, row_figure

SEED_PX = 9
"""Pixels by which the seeds stand below the mean of their cell."""
PUBLISHED_SYMBOLS = ("diamond-open", "square-open", "triangle-up-open", "star-open", "pentagon-open")
"""Markers of published values, by source."""
MAX_OPEN_ROWS = 12
"""Cells up to which the figure is a part of the answer; with more it is for looking them up."""


def plot_cells(
    cells: pd.DataFrame, seeds: pd.DataFrame, published: pd.DataFrame, colors: Mapping[str, int], metric: Metric
) -> go.Figure:
    """Draw each cell of a study in a row of its own, in the given order.

    Args:
        cells: columns cell, mean, low, high, n, interval (as of `cell_table`); a row per cell.
        seeds: columns cell, seed, value; a row per finished trial of these cells.
        published: columns cell, source, mean. All numbers are shares 0 to 1, or in the metric's unit.
        colors: index of the color of each cell that has one; the others are gray.
    """
    sources = list(dict.fromkeys(published["source"]))
    title = f"{style.capitalize(metric.name)} of each cell"
    names = list(cells["cell"])
    caption = f"Large: {describe_mean(cells)}; small: single seeds.{' Hollow: published.' if sources else ''}"
    fig, heights = row_figure(title, caption, names, sources, lookup=len(names) > MAX_OPEN_ROWS)
    y_of = dict(zip(cells["cell"], heights, strict=True))
    for row in cells.to_dict("records"):
        index, y = colors.get(row["cell"]), y_of[row["cell"]]
        color = style.TEXT if index is None else style.color(index)
        _add_seeds(fig, seeds[seeds["cell"] == row["cell"]], y + SEED_PX, color, metric)
        mean, low, high = (metric.factor * np.array([row[name]], float) for name in ("mean", "low", "high"))
        fig.add_scatter(
            x=style.as_float32(mean),
            y=style.as_float32([y]),
            error_x=error_bars(mean, low, high, width=4),
            mode="markers",
            marker={"color": color, "symbol": style.symbol(index or 0), "size": 11},
            hovertemplate=f"mean: {style.hover('x', metric)}<extra></extra>",
            showlegend=False,
        )
    for source, symbol in zip(sources, _symbols(len(sources)), strict=True):
        values = published[published["source"] == source]
        fig.add_scatter(
            x=style.as_float32(metric.factor * values["mean"].astype(float)),
            y=style.as_float32([y_of[cell] for cell in values["cell"]]),
            name=style.wrap(source),
            mode="markers",
            marker={"color": style.TEXT, "symbol": symbol, "size": 10, "line": {"width": 1.5}},
            hovertemplate=f"{style.escape(source)}: {style.hover('x', metric)}<extra></extra>",
            showlegend=True,
        )
    fig.update_xaxes(title_text=metric.heading)
    return fig


def _add_seeds(fig: go.Figure, seeds: pd.DataFrame, y: float, color: str, metric: Metric) -> None:
    fig.add_scatter(
        x=style.as_float32(metric.factor * seeds["value"].astype(float)),
        y=style.as_float32(np.full(len(seeds), y)),
        text=[f"seed {seed}" for seed in seeds["seed"]],
        mode="markers",
        marker=style.seed_marker(color),
        hovertemplate=f"%{{text}}: {style.hover('x', metric)}<extra></extra>",
        showlegend=False,
    )


def _symbols(count: int) -> list[str]:
    return [PUBLISHED_SYMBOLS[index % len(PUBLISHED_SYMBOLS)] for index in range(count)]
