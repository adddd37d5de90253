"""Figure of a metric along a numeric axis."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from revit.training.metrics import METRICS, Metric
from study.analysis.intervals import intervals_note
from study.report.plots import style
from study.report.plots.quantities import quantity_of


def plot_metric(frame: pd.DataFrame, axis: str, metric: Metric = METRICS["accuracy"]) -> go.Figure:
    """Draw a metric against a numeric axis, a line per series; published points are hollow and dotted.

    Args:
        frame: columns `axis`, series, mean, low, high (a share 0 to 1; low and high of a 95 % interval, NaN for none),
            source (of a published value; empty for ours).
    """
    quantity = quantity_of(axis)
    order = {name: index for index, name in enumerate(frame["series"].unique())}
    lines = list(frame.groupby(["series", "source"], sort=False))
    names = [", ".join(filter(None, map(str, key))) or "this study" for key, _ in lines]
    hollow = " Hollow markers on dotted lines: published values." if metric is METRICS["accuracy"] else ""
    caption = f"Bars: {intervals_note(metric)}{hollow}"
    fig = style.new_figure(f"{style.capitalize(metric.name)} by {quantity.title}", caption, legend=names)
    for name, ((series, source), line) in zip(names, lines, strict=True):
        _add_line(fig, line.sort_values(axis), axis, metric, name, order[series], published=bool(source))
    values = frame[axis].unique().tolist()
    fig.update_xaxes(
        title_text=style.escape(quantity.label),
        type="log" if frame[axis].min() > 0 else "linear",
        tickvals=[value * quantity.factor for value in values],
        ticktext=list(map(quantity.format, values)),
    )
    fig.update_yaxes(title_text=metric.heading)
    return fig


def _add_line(
    fig: go.Figure, line: pd.DataFrame, axis: str, metric: Metric, name: str, index: int, *, published: bool
) -> None:
    mean, low, high = (metric.factor * line[column].to_numpy(float) for column in ("mean", "low", "high"))
    fig.add_scatter(
        x=style.as_float32(line[axis].to_numpy(float) * quantity_of(axis).factor),
        y=style.as_float32(mean),
        error_y={
            "type": "data",
            "array": style.as_float32(np.nan_to_num(high - mean)),
            "arrayminus": style.as_float32(np.nan_to_num(mean - low)),
            "visible": bool(np.isfinite(low).any()),
            "thickness": 1.2,
        },
        name=style.wrap(name),
        mode="lines+markers",
        line={"color": style.color(index), "width": 1.5 if published else 2, "dash": "dot" if published else "solid"},
        marker={"symbol": style.symbol(index) + ("-open" if published else ""), "size": 9},
        hovertemplate=f"%{{x:g}}: {style.hover('y', metric)}",
    )
