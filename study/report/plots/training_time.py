"""Figure of training time against a metric."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from revit.training.metrics import METRICS, Metric
from study.ledger.schema import TRAIN_TIME_S
from study.report.plots import style

FRONTIER = "Mean over seeds. Line: Pareto frontier, the cells that no other dominates in both time and {}."
NO_FRONTIER = "Mean over seeds. No Pareto frontier: on a CPU, or on several kinds of device, times are not comparable."


def pareto_frontier(frame: pd.DataFrame, metric: Metric = METRICS["accuracy"]) -> pd.DataFrame:
    """Return the cells that no other dominates in training time and a metric, the cheapest first."""
    cheapest = frame.assign(score=metric.sign * frame["mean"]).sort_values(
        [TRAIN_TIME_S, "score"], ascending=[True, False]
    )
    return cheapest[cheapest["score"] > cheapest["score"].cummax().shift(fill_value=-np.inf)].drop(columns="score")


def plot_training_time(
    frame: pd.DataFrame, colors: Mapping[str, int], metric: Metric = METRICS["accuracy"], *, has_frontier: bool
) -> go.Figure:
    """Draw seconds of training against a metric, a point per cell.

    Args:
        frame: columns cell, train_time_s and mean (a share 0 to 1); a row per cell.
        colors: index of the color of each cell that has one; the others are gray.
        has_frontier: whether to draw the Pareto frontier: where the seconds of the cells are comparable.
    """
    caption = FRONTIER.format(metric.title) if has_frontier else NO_FRONTIER
    colored = frame[frame["cell"].isin(list(colors))]
    if len(colored) < len(frame):
        best = f"the {len(colored)} cells with the {metric.best} {metric.name}"
        caption += f" In color: {best}; gray: the other {len(frame) - len(colored)}."
    fig = style.new_figure(f"Training time and {metric.name}", caption, legend=colored["cell"])
    others = frame.drop(colored.index)
    fig.add_scatter(
        x=style.as_float32(others[TRAIN_TIME_S]),
        y=style.as_float32(metric.factor * others["mean"]),
        text=[style.shorten(cell, 100) for cell in others["cell"]],
        mode="markers",
        marker={"color": style.MUTED, "size": 7},
        hovertemplate=f"%{{text}}<br>%{{x:.3g}} s, {style.hover('y', metric)}<extra></extra>",
        showlegend=False,
    )
    if has_frontier:
        frontier = pareto_frontier(frame, metric)
        fig.add_scatter(
            x=style.as_float32(frontier[TRAIN_TIME_S]),
            y=style.as_float32(metric.factor * frontier["mean"]),
            mode="lines",
            line={"color": style.TEXT, "width": 1.5, "shape": "hv"},
            hoverinfo="skip",
            showlegend=False,
        )
    for cell, point in colored.groupby("cell", sort=False):
        index = colors[str(cell)]
        fig.add_scatter(
            x=style.as_float32(point[TRAIN_TIME_S]),
            y=style.as_float32(metric.factor * point["mean"]),
            name=style.wrap(cell),
            mode="markers",
            marker={"color": style.color(index), "symbol": style.symbol(index), "size": 12},
            hovertemplate=f"%{{x:.3g}} s, {style.hover('y', metric)}",
        )
    fig.update_xaxes(title_text="training time, s")
    if frame[TRAIN_TIME_S].max() > 10 * frame[TRAIN_TIME_S].min() > 0:
        fig.update_xaxes(type="log", dtick=np.log10(2), tickformat="~g")
    fig.update_yaxes(title_text=metric.heading)
    return fig
