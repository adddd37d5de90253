"""Figure of a metric along a numeric axis."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from revit.training.metrics import METRICS, Metric
from study.report.plots import style
from study.report.plots.quantities import quantity_of
from study.report.plots.rows import describe_mean, error_bars

MAX_SPREAD = 0.3
"""Largest shift of a series to the side, in relation to the smallest step of the axis: bars do not hide each other."""
STEP = 0.06
"""Shift between two series."""
PUBLISHED = ("-open", "-open-dot")
"""Endings of the markers of published values, by source."""
PANEL_PX, BETWEEN_PX = 230, 36
"""Height of a panel of several, and of the room between two."""


def plot_metric(frame: pd.DataFrame, seeds: pd.DataFrame, axis: str, metric: Metric = METRICS["accuracy"]) -> go.Figure:
    """Draw a metric against a numeric axis, a line per series with its seeds; published points are hollow and dotted.

    Args:
        frame: columns `axis`, panel, series, mean, low, high (a share 0 to 1; low and high of a 95 % interval, NaN for
            none), source (of a published value; empty for ours), n and interval (of ours, as of `cell_table`).
        seeds: columns `axis`, panel, series, value: a row per trial.
    """
    quantity = quantity_of(axis)
    order = {name: index for index, name in enumerate(frame["series"].unique())}
    panels = list(frame["panel"].unique())
    names = list(dict.fromkeys(_line_name(*key) for key, _ in frame.groupby(["series", "source"], sort=False)))
    sources = [source for source in frame["source"].unique() if source]
    own, hollow = frame[frame["source"] == ""], " Hollow, dotted: published." if sources else ""
    caption = f"Large: {describe_mean(own)}; small: single seeds.{hollow}"
    fig = _panel_figure(f"{style.capitalize(metric.name)} by {quantity.title}", caption, panels, names)
    values = sorted(frame[axis].unique().tolist())
    is_log, unseen = values[0] > 0, set(names)
    for (panel, series, source), line in frame.groupby(["panel", "series", "source"], sort=False):
        index, row = order[series], panels.index(panel) + 1
        shift = _shift(index, len(order), [value * quantity.factor for value in values], is_log=is_log)
        if not source:
            single = seeds[(seeds["series"] == series) & (seeds["panel"] == panel)]
            fig.add_trace(_draw_seeds(single, axis, metric, index, shift), row=row, col=1)
        name = _line_name(series, source)
        kind = PUBLISHED[sources.index(source) % len(PUBLISHED)] if source else ""
        trace = _draw_line(line.sort_values(axis), axis, metric, index, shift, kind)
        fig.add_trace(
            trace.update(
                name=style.wrap(name), legendgroup=str(names.index(name)), showlegend=name in unseen and len(names) > 1
            ),
            row=row,
            col=1,
        )
        unseen.discard(name)
    fig.update_xaxes(
        type="log" if is_log else "linear",
        tickvals=[value * quantity.factor for value in values],
        ticktext=list(map(quantity.format, values)),
    )
    fig.update_xaxes(title_text=style.escape(quantity.label), row=len(panels), col=1)
    fig.update_yaxes(title_text=metric.heading)
    return fig


def _line_name(series: object, source: object) -> str:
    return ", ".join(filter(None, map(str, (series, source)))) or "this study"


def _panel_figure(title: str, caption: str, panels: Sequence[str], legend: Sequence[str]) -> go.Figure:
    """Return a figure of panels below one another, under their titles; one without a title is a plain figure."""
    total = PANEL_PX * len(panels) + BETWEEN_PX * (len(panels) - 1)
    fig = style.new_figure(title, caption, height=total if len(panels) > 1 else 320, legend=legend)
    fig.set_subplots(
        rows=len(panels),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=BETWEEN_PX / total,
        subplot_titles=[style.escape(panel) for panel in panels],
    )
    fig.update_annotations(font_size=13)
    fig.layout.margin.t += 18 if any(panels) else 0
    return fig


def _shift(index: int, count: int, values: Sequence[float], *, is_log: bool) -> tuple[float, float]:
    """Return factor and summand by which a series is shifted to the side."""
    steps = np.diff(np.log(values) if is_log else values)
    size = min(STEP, 2 * MAX_SPREAD / max(count - 1, 1)) * float(min(steps, default=0.0)) * (index - (count - 1) / 2)
    return (float(np.exp(size)), 0.0) if is_log else (1.0, size)


def _positions(rows: pd.DataFrame, axis: str, shift: tuple[float, float]) -> np.ndarray:
    factor, summand = shift
    return style.as_float32(rows[axis].to_numpy(float) * quantity_of(axis).factor * factor + summand)


def _draw_seeds(seeds: pd.DataFrame, axis: str, metric: Metric, index: int, shift: tuple[float, float]) -> go.Scatter:
    return go.Scatter(
        x=_positions(seeds, axis, shift),
        y=style.as_float32(metric.factor * seeds["value"].astype(float)),
        mode="markers",
        marker=style.seed_marker(style.color(index)),
        hovertemplate=f"seed: {style.hover('y', metric)}<extra></extra>",
        showlegend=False,
    )


def _draw_line(
    line: pd.DataFrame, axis: str, metric: Metric, index: int, shift: tuple[float, float], published: str
) -> go.Scatter:
    mean, low, high = (metric.factor * line[column].to_numpy(float) for column in ("mean", "low", "high"))
    return go.Scatter(
        x=_positions(line, axis, shift),
        y=style.as_float32(mean),
        error_y=error_bars(mean, low, high),
        text=[quantity_of(axis).format(value) for value in line[axis]],
        mode="lines+markers",
        line={"color": style.color(index), "width": 1.5 if published else 2, "dash": "dot" if published else "solid"},
        marker={"symbol": style.symbol(index) + published, "size": 9},
        hovertemplate=f"%{{text}}: {style.hover('y', metric)}",
    )
