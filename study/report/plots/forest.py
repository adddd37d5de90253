"""Forest plot: effects around zero, with their intervals, margins, published values."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from revit.training.metrics import Metric
from study.report.plots import style
from study.report.plots.rows import MARKS_PX, error_bars, row_figure

VERDICT_STYLE: Mapping[str, tuple[str, str]] = {
    "real": ("square", style.COLORS[2]),
    "not decided": ("square-open", style.TEXT),
    "": ("line-ns", style.TEXT),
    "supported": ("circle", style.COLORS[2]),
    "contradicted": ("x", style.COLORS[3]),
    "inconclusive": ("circle-open", style.TEXT),
}
"""Marker and color of each verdict; its word stands in the row's label. A part of another effect has none."""
PUBLISHED_PX = 9
"""Pixels by which a published effect stands below ours."""


def plot_forest(frame: pd.DataFrame, metric: Metric) -> go.Figure:
    """Draw effects with their intervals, a row each in the given order.

    Args:
        frame: columns group (rows of one stand together), text, verdict (a key of VERDICT_STYLE), effect, low, high,
            published (an effect), and bound_low and bound_high, the ends of the margin that the effect is held against
            (equal for a single bound); numbers in the metric's difference unit, NaN for none.
    """
    labels = [f"{row.verdict}: {row.text}".removeprefix(": ") for row in frame.itertuples()]
    groups = list(frame["group"])
    headings = {groups.index(group): group for group in dict.fromkeys(groups)}
    leads = list(frame["verdict"])
    fig, heights = row_figure("Effects", _caption(frame), labels, leads=leads, headings=headings)
    for low, high, y in zip(frame["bound_low"], frame["bound_high"], heights, strict=True):
        _add_margin(fig, float(low), float(high), float(y))
        _add_line(fig, 0.0, float(y), width=1.5)
    for verdict, (symbol, color) in VERDICT_STYLE.items():
        is_of = (frame["verdict"] == verdict).to_numpy()
        if is_of.any():
            _add_effects(fig, frame[is_of], heights[is_of], metric, symbol, color)
    has_published = frame["published"].notna().to_numpy()
    if has_published.any():
        fig.add_scatter(
            x=style.as_float32(frame["published"][has_published]),
            y=style.as_float32(heights[has_published] + PUBLISHED_PX),
            mode="markers",
            marker={"symbol": "diamond-open", "size": 9, "color": style.TEXT, "line": {"width": 1.5}},
            hovertemplate=f"published: {_hover(metric)}<extra></extra>",
            showlegend=False,
        )
    fig.update_xaxes(title_text=f"effect on {metric.name}, {metric.difference_unit}")
    return fig


def _caption(frame: pd.DataFrame) -> str:
    num_effects = int(frame["effect"].notna().sum())
    parts = [f"{num_effects} effects with 95 % intervals, each for itself; right of 0: as stated."]
    if frame["published"].notna().any():
        parts.append("Diamond: effect in the published numbers.")
    if (frame["bound_low"] < frame["bound_high"]).any():
        parts.append("Gray band: margin of equivalence.")
    if (frame["bound_low"] == frame["bound_high"]).any():
        parts.append("Dotted: smallest effect that is claimed.")
    return " ".join(parts)


def _add_effects(fig: go.Figure, rows: pd.DataFrame, y: np.ndarray, metric: Metric, symbol: str, color: str) -> None:
    effect, low, high = (rows[name].to_numpy(float) for name in ("effect", "low", "high"))
    fig.add_scatter(
        x=style.as_float32(effect),
        y=style.as_float32(y),
        error_x=error_bars(effect, low, high, width=4),
        customdata=style.as_float32(np.stack([low, high], axis=1)),
        mode="markers",
        marker={"symbol": symbol, "size": 11, "color": color, "line": {"width": 2, "color": color}},
        hovertemplate=f"{_hover(metric)} [%{{customdata[0]:.{metric.decimals}f}}, "
        f"%{{customdata[1]:.{metric.decimals}f}}]<extra></extra>",
        showlegend=False,
    )


def _add_margin(fig: go.Figure, low: float, high: float, y: float) -> None:
    """Draw the margin of a row as a band, or its one bound as a line."""
    if low < high:
        y0, y1 = y - MARKS_PX / 2, y + MARKS_PX / 2
        fill = {"fillcolor": style.GRID, "line": {"width": 0}, "layer": "below"}
        fig.add_shape(type="rect", x0=low, x1=high, y0=y0, y1=y1, **fill)
    elif low == high:
        _add_line(fig, low, y, width=2, dash="dot")


def _add_line(fig: go.Figure, x: float, y: float, **line: object) -> None:
    """Draw a vertical line in a row, which leaves out the labels."""
    y0, y1 = y - MARKS_PX / 2, y + MARKS_PX / 2
    fig.add_shape(type="line", x0=x, x1=x, y0=y0, y1=y1, line={"color": style.TEXT, **line}, layer="below")


def _hover(metric: Metric) -> str:
    return f"%{{x:+.{metric.decimals}f}} {metric.difference_unit}"
