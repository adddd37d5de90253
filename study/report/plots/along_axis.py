"""Figure of a metric along a numeric axis."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from revit.training.metrics import METRICS, Metric
from study.analysis.intervals import intervals_note
from study.report.plots import style
from study.report.plots.quantities import quantity_of
from study.report.plots.rows import error_bars

MAX_SPREAD = 0.3
"""Largest shift of a series to the side, in relation to the smallest step of the axis: bars do not hide each other."""
STEP = 0.06
"""Shift between two series."""


def plot_metric(frame: pd.DataFrame, seeds: pd.DataFrame, axis: str, metric: Metric = METRICS["accuracy"]) -> go.Figure:
    """Draw a metric against a numeric axis, a line per series with its seeds; published points are hollow and dotted.

    Args:
        frame: columns `axis`, series, mean, low, high (a share 0 to 1; low and high of a 95 % interval, NaN for none),
            source (of a published value; empty for ours).
        seeds: columns `axis`, series, value: a row per trial.
    """
    quantity = quantity_of(axis)
    order = {name: index for index, name in enumerate(frame["series"].unique())}
    lines = list(frame.groupby(["series", "source"], sort=False))
    names = [", ".join(filter(None, map(str, key))) or "this study" for key, _ in lines]
    hollow = " Hollow, dotted: published." if (frame["source"] != "").any() else ""
    caption = f"Mean over seeds with its interval; small: single seeds.{hollow} {intervals_note(metric)}"
    fig = style.new_figure(f"{style.capitalize(metric.name)} by {quantity.title}", caption, legend=names)
    values = sorted(frame[axis].unique().tolist())
    is_log = values[0] > 0
    for name, ((series, source), line) in zip(names, lines, strict=True):
        index = order[series]
        shift = _shift(index, len(order), [value * quantity.factor for value in values], is_log=is_log)
        if not source:
            _add_seeds(fig, seeds[seeds["series"] == series], axis, metric, index, shift)
        _add_line(fig, line.sort_values(axis), axis, metric, name, index, shift, published=bool(source))
    fig.update_xaxes(
        title_text=style.escape(quantity.label),
        type="log" if is_log else "linear",
        tickvals=[value * quantity.factor for value in values],
        ticktext=list(map(quantity.format, values)),
    )
    fig.update_yaxes(title_text=metric.heading)
    return fig


def _shift(index: int, count: int, values: Sequence[float], *, is_log: bool) -> tuple[float, float]:
    """Return factor and summand by which a series is shifted to the side."""
    steps = np.diff(np.log(values) if is_log else values)
    size = min(STEP, 2 * MAX_SPREAD / max(count - 1, 1)) * float(min(steps, default=0.0)) * (index - (count - 1) / 2)
    return (float(np.exp(size)), 0.0) if is_log else (1.0, size)


def _positions(rows: pd.DataFrame, axis: str, shift: tuple[float, float]) -> np.ndarray:
    factor, summand = shift
    return style.as_float32(rows[axis].to_numpy(float) * quantity_of(axis).factor * factor + summand)


def _add_seeds(
    fig: go.Figure, seeds: pd.DataFrame, axis: str, metric: Metric, index: int, shift: tuple[float, float]
) -> None:
    fig.add_scatter(
        x=_positions(seeds, axis, shift),
        y=style.as_float32(metric.factor * seeds["value"].astype(float)),
        mode="markers",
        marker=style.seed_marker(style.color(index)),
        hovertemplate=f"seed: {style.hover('y', metric)}<extra></extra>",
        showlegend=False,
    )


def _add_line(
    fig: go.Figure,
    line: pd.DataFrame,
    axis: str,
    metric: Metric,
    name: str,
    index: int,
    shift: tuple[float, float],
    *,
    published: bool,
) -> None:
    mean, low, high = (metric.factor * line[column].to_numpy(float) for column in ("mean", "low", "high"))
    fig.add_scatter(
        x=_positions(line, axis, shift),
        y=style.as_float32(mean),
        error_y=error_bars(mean, low, high),
        text=[quantity_of(axis).format(value) for value in line[axis]],
        name=style.wrap(name),
        mode="lines+markers",
        line={"color": style.color(index), "width": 1.5 if published else 2, "dash": "dot" if published else "solid"},
        marker={"symbol": style.symbol(index) + ("-open" if published else ""), "size": 9},
        hovertemplate=f"%{{text}}: {style.hover('y', metric)}",
    )
