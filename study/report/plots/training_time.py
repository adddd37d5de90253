"""Figure of training time against test accuracy."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from study.ledger.schema import TRAIN_TIME_S
from study.report.plots import style
from study.report.plots.quantities import ACCURACY_LABEL

FRONTIER = "Line: Pareto frontier, the cells that no other cell dominates in both time and accuracy."
NO_FRONTIER = "No Pareto frontier: on a CPU, or on several kinds of device, training times are not comparable."


def pareto_frontier(cost: npt.NDArray[np.float64], accuracy: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return the indices of the points that no other point dominates, the cheapest first."""
    frontier: list[int] = []
    for index in np.lexsort((-accuracy, cost)):
        if not frontier or accuracy[index] > accuracy[frontier[-1]]:
            frontier.append(int(index))
    return np.array(frontier, np.int64)


def plot_training_time(frame: pd.DataFrame, *, device: str, has_frontier: bool, order: Sequence[str] = ()) -> go.Figure:
    """Draw seconds of training against test accuracy, a point per cell.

    Args:
        frame: columns cell, train_time_s and mean (0 to 1); a row per cell. Rows with a NaN are left out.
        device: device that the seconds were measured on, as in `CPU`.
        has_frontier: whether to draw the Pareto frontier: where the seconds of the cells are comparable.
        order: cells in the order of their colors; by default that of the frame.
    """
    measured = frame.dropna(subset=[TRAIN_TIME_S, "mean"])
    cost, accuracy = measured[TRAIN_TIME_S].to_numpy(float), measured["mean"].to_numpy(float) * 100
    cells = [str(cell) for cell in measured["cell"]]
    colors = style.assign_colors(order or cells)
    colored = [cells.index(cell) for cell in colors if cell in cells]
    caption = FRONTIER if has_frontier else NO_FRONTIER
    if len(colored) < len(cells):
        caption += f" In color: the {len(colored)} cells with the highest test accuracy; in gray: the others."
    title = "Training time and test accuracy"
    fig = style.new_figure(title, caption, legend=[cells[index] for index in colored])
    others = np.setdiff1d(np.arange(len(cells)), colored)
    fig.add_scatter(
        x=style.as_float32(cost[others]),
        y=style.as_float32(accuracy[others]),
        text=[style.shorten(cells[index], 100) for index in others],
        mode="markers",
        marker={"color": style.MUTED, "size": 7},
        hovertemplate="%{text}<br>%{x:.3g} s, %{y:.2f} %<extra></extra>",
        showlegend=False,
    )
    if has_frontier:
        frontier = pareto_frontier(cost, accuracy)
        fig.add_scatter(
            x=style.as_float32(cost[frontier]),
            y=style.as_float32(accuracy[frontier]),
            mode="lines",
            line={"color": style.TEXT, "width": 1.5, "shape": "hv"},
            hoverinfo="skip",
            showlegend=False,
        )
    for index in colored:
        place = colors[cells[index]]
        fig.add_scatter(
            x=style.as_float32(cost[[index]]),
            y=style.as_float32(accuracy[[index]]),
            name=style.wrap(cells[index]),
            mode="markers",
            marker={"color": style.color(place), "symbol": style.symbol(place), "size": 12},
            hovertemplate="%{x:.3g} s, %{y:.2f} %",
        )
    fig.update_xaxes(title_text=f"training time, {style.escape(device)}-seconds")
    if len(cost) > 0 and cost.min() > 0 and cost.max() > 10 * cost.min():
        ticks = _log_ticks(cost.min(), cost.max())
        fig.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
    fig.update_yaxes(title_text=ACCURACY_LABEL)
    return fig


def _log_ticks(low: float, high: float) -> npt.NDArray[np.float64]:
    """Return 1 and 3 times each power of ten around a range; plotly would label 3 of each decade alone."""
    powers = 10.0 ** np.arange(np.floor(np.log10(low)), np.floor(np.log10(high)) + 1)
    return np.outer(powers, (1, 3)).ravel()
