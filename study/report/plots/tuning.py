"""Figures of searches: the best value so far, values along an axis, importances, Pareto fronts."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from revit.training.metrics import Metric
from study.report.plots import style
from study.report.plots.quantities import quantity_of

BAR_PX = 22
"""Height of a bar of importances."""
MANY_TICKS = 30
"""Ratio of the ends of a logarithmic axis from which on it has ticks at powers of ten only, not at 2 and 5, too."""
ADAPTIVE_BIAS = (
    " The sampler went on near what had been good, so these shares are biased: a hyperparameter that it hardly varied "
    "looks unimportant."
)


def plot_search_history(frame: pd.DataFrame, colors: Mapping[str, int], metric: Metric) -> go.Figure:
    """Draw the best validation value so far over the points of each cell, with the value of each point.

    Args:
        frame: columns cell, number (of a point, from 0), value (a share 0 to 1, or in the metric's unit) and text; a
            row per point, by number; its value is NaN unless it finished.
        colors: index of the color of each cell.
    """
    caption = (
        f"Line: {metric.best} {metric.val_name} so far; markers: the points of the search that finished. "
        "The best of many is partly luck: its test value is often lower."
    )
    fig = style.new_figure(f"Search: {metric.val_name} by number of points", caption, legend=frame["cell"].unique())
    fig.update_layout(showlegend=True)
    for cell, points in frame.groupby("cell", sort=False):
        index, values = colors[str(cell)], metric.factor * points["value"].to_numpy(float)
        best = np.fmax.accumulate(metric.sign * values) * metric.sign
        tried = style.as_float32(points["number"] + 1)
        fig.add_scatter(x=tried, **_markers(points, metric, index, size=6), opacity=0.45, showlegend=False)
        fig.add_scatter(
            x=tried,
            y=style.as_float32(best),
            name=style.wrap(cell),
            mode="lines",
            line={"color": style.color(index), "width": 2, "shape": "hv"},
            hovertemplate=f"best of %{{x}}: {style.hover('y', metric)}",
        )
    fig.update_xaxes(title_text="points tried", rangemode="tozero")
    fig.update_yaxes(title_text=metric.val_heading)
    return fig


def plot_search_slice(
    frame: pd.DataFrame,
    axis: str,
    colors: Mapping[str, int],
    metric: Metric,
    *,
    is_log: bool,
    bounds: tuple[float, ...],
) -> go.Figure:
    """Draw the validation value of each point against its value on an axis; the chosen points are ringed.

    Args:
        frame: columns cell, x (the value on the axis: numbers, or texts), value (a share 0 to 1, or in the metric's
            unit), chosen (bool) and text; a row per finished point that has the axis.
        colors: index of the color of each cell.
        bounds: ends of the range that was searched, drawn as lines; empty for none.
    """
    quantity, is_named = quantity_of(axis), not pd.api.types.is_numeric_dtype(frame["x"])
    edges = " Dotted lines: ends of the range." if bounds else ""
    caption = f"Each finished point of the search; ringed: the chosen one of each cell.{edges}"
    fig = style.new_figure(f"Search: {metric.val_name} by {quantity.title}", caption, legend=frame["cell"].unique())
    fig.update_layout(showlegend=True)
    for cell, points in frame.groupby("cell", sort=False):
        markers = _markers(points, metric, colors[str(cell)], size=8)
        markers["marker"]["line"] = {"color": style.TEXT, "width": np.where(points["chosen"], 2, 0)}
        markers["marker"]["size"] = np.where(points["chosen"], 13, 8)
        x = list(map(style.escape, points["x"])) if is_named else style.as_float32(points["x"])
        fig.add_scatter(x=x, name=style.wrap(cell), **markers)
    for bound in bounds:
        fig.add_vline(x=bound, line={"color": style.MUTED, "dash": "dot", "width": 1.5})
    kind = "category" if is_named else "log" if is_log else "linear"
    fig.update_xaxes(title_text=style.escape(quantity.label), type=kind)
    if kind == "log":
        ends = bounds or (frame["x"].min(), frame["x"].max())
        fig.update_xaxes(dtick=1 if ends[1] > MANY_TICKS * ends[0] else "D2", tickformat="~g")
    fig.update_yaxes(title_text=metric.val_heading)
    return fig


def plot_importances(frame: pd.DataFrame, colors: Mapping[str, int], metric: Metric, *, is_adaptive: bool) -> go.Figure:
    """Draw the share of each hyperparameter in the variance of a search's values, a bar per cell.

    Args:
        frame: columns cell, axis and share (0 to 1); a row per cell and axis.
        colors: index of the color of each cell.
        is_adaptive: the sampler chose points by the results before them.
    """
    caption = (
        f"Share of the variance of {metric.val_name} in the search of a cell that each hyperparameter explains "
        f"(fANOVA, Hutter et al. 2014). Of few points, it is a rough estimate.{ADAPTIVE_BIAS if is_adaptive else ''}"
    )
    cells = frame["cell"].unique()
    fig = style.new_figure(
        "Search: importance of hyperparameters", caption, height=BAR_PX * len(frame) + 80, legend=cells
    )
    fig.update_layout(showlegend=True)
    for cell, bars in frame.groupby("cell", sort=False):
        fig.add_bar(
            x=style.as_float32(100 * bars["share"]),
            y=[style.shorten(quantity_of(axis).title, 24) for axis in bars["axis"]],
            name=style.wrap(cell),
            orientation="h",
            marker={"color": style.color(colors[str(cell)])},
            hovertemplate="%{y}: %{x:.0f} %",
        )
    fig.update_xaxes(title_text="share of variance, %", rangemode="tozero")
    fig.update_yaxes(autorange="reversed")
    return fig


def plot_pareto_front(frame: pd.DataFrame, colors: Mapping[str, int], one: Metric, other: Metric) -> go.Figure:
    """Draw the two objectives of each point; the front of each cell is a line.

    Args:
        frame: columns cell, value and other (shares 0 to 1, or in the metrics' units), is_front (bool) and text; a row
            per finished point.
        colors: index of the color of each cell.
    """
    caption = "Line: Pareto front of a cell, the points that no other of its points dominates; faint: its other points."
    title = f"Search: Pareto front of {one.val_name} and {other.val_name}"
    fig = style.new_figure(title, caption, legend=frame["cell"].unique())
    fig.update_layout(showlegend=True)
    shape = "hv" if other.sign < 0 else "vh"
    for cell, points in frame.groupby("cell", sort=False):
        index = colors[str(cell)]
        for is_front, group in points.sort_values("other").groupby("is_front"):
            fig.add_scatter(
                x=style.as_float32(other.factor * group["other"].astype(float)),
                y=style.as_float32(one.factor * group["value"].astype(float)),
                text=group["text"].map(style.escape),
                name=style.wrap(cell),
                mode="lines+markers" if is_front else "markers",
                line={"color": style.color(index), "width": 1.5, "shape": shape},
                marker={"color": style.color(index), "symbol": style.symbol(index), "size": 9},
                opacity=1 if is_front else 0.35,
                showlegend=bool(is_front),
                hovertemplate=f"%{{text}}<br>{style.hover('x', other)}, {style.hover('y', one)}",
            )
    fig.update_xaxes(title_text=other.val_heading)
    fig.update_yaxes(title_text=one.val_heading)
    return fig


def _markers(points: pd.DataFrame, metric: Metric, index: int, *, size: int) -> dict[str, Any]:
    """Return what the markers of points have in common: their values, color, text on hovering."""
    return {
        "y": style.as_float32(metric.factor * points["value"].astype(float)),
        "text": [style.escape(text) for text in points["text"]],
        "mode": "markers",
        "marker": {"color": style.color(index), "symbol": style.symbol(index), "size": size},
        "hovertemplate": f"%{{text}}: {style.hover('y', metric)}<extra></extra>",
    }
