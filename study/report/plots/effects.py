"""What the axes of a grid do, alone and by twos."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from study.analysis.anova import adjusted_means
from study.report.plots import style
from study.report.plots.metrics import of_axis

ROW_PX = 26
ALIKE = "Means as if every value had been run with all values of the other factors alike (least-squares means)."


def main_effects(frame: pd.DataFrame, axes: Sequence[str]) -> go.Figure:
    """Mean test accuracy at every value of every axis, the other axes held alike (see `adjusted_means`).

    Args:
        frame: a row per finished trial: a column per axis, and `test_accuracy`, 0 to 1.
    """
    caption = f"{ALIKE} Bars: 95 % intervals over seeds, on these test images."
    num_values = sum(frame[axis].astype(str).nunique() for axis in axes)
    fig = style.figure("Test accuracy by each factor alone", caption, height=ROW_PX * num_values + 60)
    for index, axis in enumerate(axes):
        means = adjusted_means(frame, [axis], [other for other in axes if other != axis])
        fig.add_scatter(
            x=style.numbers(100 * means["mean"]),
            y=[f"{style.short(of_axis(axis).title, 24)}: {style.short(value, 20)}" for value in means[axis]],
            error_x={
                "type": "data",
                "array": style.numbers(100 * (means["high"] - means["mean"]).fillna(0)),
                "thickness": 1.2,
            },
            mode="markers",
            marker={"color": style.color(index), "symbol": style.symbol(index), "size": 9},
            hovertemplate="%{y}<br>%{x:.2f} %<extra></extra>",
            showlegend=False,
        )
    fig.update_xaxes(title_text="test accuracy, %")
    fig.update_yaxes(autorange="reversed")
    return fig


def interaction(frame: pd.DataFrame, axis: str, by: str, beside: Sequence[str] = ()) -> go.Figure:
    """Mean test accuracy along an axis, a line for every value of another: parallel where they do not interact.

    Args:
        frame: as for `main_effects`.
        beside: the grid's other axes, held alike.
    """
    means = adjusted_means(frame, [by, axis], beside)
    lines = list(means.groupby(by, sort=False))
    title = f"Test accuracy by {of_axis(axis).title} and {of_axis(by).title}"
    caption = f"{ALIKE} Parallel lines: the one does not change what the other does."
    fig = style.figure(title, caption, run_infos=[of_axis(by).title, *(str(value) for value, _ in lines)])
    for index, (value, line) in enumerate(lines):
        fig.add_scatter(
            x=[_in_its_unit(each, of_axis(axis).factor) for each in line[axis]],
            y=style.numbers(100 * line["mean"]),
            name=style.plain(value),
            mode="lines+markers",
            line={"color": style.color(index), "width": 2},
            marker={"symbol": style.symbol(index), "size": 9},
            hovertemplate="%{x}: %{y:.2f} %",
        )
    fig.update_layout(legend_title={"text": style.plain(of_axis(by).title), "font": {"size": 12}, "side": "top"})
    fig.update_xaxes(title_text=style.plain(of_axis(axis).label), type="category")
    fig.update_yaxes(title_text="test accuracy, %")
    return fig


def _in_its_unit(value: str, factor: float) -> str:
    return style.short(value if factor == 1 else f"{float(value) * factor:g}", 20)
