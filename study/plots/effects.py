"""What the axes of a grid do, alone and by twos."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go
from scipy import stats

from study.plots import style
from study.plots.metrics import of_axis

ROW_PX = 26


def main_effects(frame: pd.DataFrame, axes: Sequence[str]) -> go.Figure:
    """Mean test accuracy at every value of every axis, over all trials with it.

    Args:
        frame: a row per finished trial: a column per axis, and `test_accuracy`, 0 to 1.
    """
    caption = "Mean over all trials with a value; bars: 95 % intervals (Student) over these trials."
    num_values = sum(frame[axis].astype(str).nunique() for axis in axes)
    fig = style.figure("Test accuracy by each factor alone", caption, height=ROW_PX * num_values + 60)
    for index, axis in enumerate(axes):
        percent = 100 * frame["test_accuracy"]
        summary = percent.groupby(frame[axis].map(str), sort=False).agg(["mean", "sem", "count"])
        margin = summary["sem"] * stats.t.ppf(0.975, (summary["count"] - 1).clip(lower=1))
        fig.add_scatter(
            x=style.numbers(summary["mean"]),
            y=[f"{style.short(of_axis(axis).title, 24)}: {style.short(value, 20)}" for value in summary.index],
            error_x={"type": "data", "array": style.numbers(margin.fillna(0)), "thickness": 1.2},
            mode="markers",
            marker={"color": style.colour(index), "symbol": style.symbol(index), "size": 9},
            hovertemplate="%{y}<br>%{x:.2f} %<extra></extra>",
            showlegend=False,
        )
    fig.update_xaxes(title_text="test accuracy, %")
    fig.update_yaxes(autorange="reversed")
    return fig


def interaction(frame: pd.DataFrame, axis: str, by: str) -> go.Figure:
    """Mean test accuracy along an axis, a line for every value of another: parallel where they do not interact.

    Args:
        frame: as for `main_effects`.
    """
    means = 100 * frame.groupby([frame[by].map(str), frame[axis].map(str)], sort=False)["test_accuracy"].mean()
    lines = list(means.groupby(level=0, sort=False))
    title = f"Test accuracy by {of_axis(axis).title} and {of_axis(by).title}"
    caption = "Means over all trials with both values. Parallel lines: the one does not change what the other does."
    fig = style.figure(title, caption, entries=[str(value) for value, _ in lines])
    for index, (value, line) in enumerate(lines):
        fig.add_scatter(
            x=[style.short(each, 20) for each in line.index.get_level_values(1)],
            y=style.numbers(line),
            name=style.plain(value),
            mode="lines+markers",
            line={"color": style.colour(index), "width": 2},
            marker={"symbol": style.symbol(index), "size": 9},
            hovertemplate="%{x}: %{y:.2f} %",
        )
    fig.update_xaxes(title_text=style.plain(of_axis(axis).label), type="category")
    fig.update_yaxes(title_text="test accuracy, %")
    return fig
