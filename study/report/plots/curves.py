"""Figures over training: learning curves, learning rates, the authors' curves."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from study.ledger.schema import TEST_CURVE_ACCURACY
from study.report.plots import style
from study.report.plots.quantities import ACCURACY_LABEL, QUANTITIES

MAX_POINTS = 150
"""Points of a line; more cannot be seen."""
MAX_GRAY_POINTS = 6000
"""Points of all gray lines together."""
LAST_IN_LEGEND = 1001
"""Rank behind that of all other traces."""

BAND = "Line: mean over seeds; band: lowest to highest seed. Where a seed ended early, the mean is over the others."


def seed_bands(frame: pd.DataFrame, x: str, metric: str) -> pd.DataFrame:
    """Return mean, min and max over seeds for every cell and value of `x`, ordered by both; NaN rows are left out.

    Args:
        frame: columns cell, seed, `x` and `metric`.

    Returns:
        Columns cell, `x`, mean, min, max; cells in the order of their first rows.
    """
    measured = frame.dropna(subset=[metric])
    order = {cell: place for place, cell in enumerate(measured["cell"].unique())}
    bands = measured.groupby(["cell", x], sort=False)[metric].agg(["mean", "min", "max"]).reset_index()
    return bands.sort_values(by=["cell", x], key=lambda column: column.map(order) if column.name == "cell" else column)


def plot_learning_curves(frame: pd.DataFrame, metric: str, order: Sequence[str] = ()) -> go.Figure:
    """Draw a metric during training, a line per cell, with a band from the lowest to the highest seed.

    Of more than style.MAX_COLORED cells, only the first are drawn in color, the others in gray.

    Args:
        frame: columns cell, seed, step, and `metric` (NaN where it was not evaluated); a row per trial and step.
        metric: a key of QUANTITIES.
        order: cells in the order of their colors; by default that of the frame.
    """
    quantity = QUANTITIES[metric]
    lines = _lines(seed_bands(frame, "step", metric), "cell")
    colors = style.assign_colors(order or list(lines))
    colored = [cell for cell in colors if cell in lines]
    others = [cell for cell in lines if cell not in colors]
    caption = BAND
    if others:
        caption += f" In color: the {len(colored)} cells with the highest test accuracy; in gray: {len(others)} others."
    legend = [*colored, *(["others"] if others else [])]
    fig = style.new_figure(f"{quantity.title} during training", caption, legend=legend)
    if others:
        fig.add_trace(_gray_lines([lines[cell] for cell in others], quantity.factor))
    for cell in colored:
        _add_band(fig, lines[cell], "step", cell, colors[cell], quantity.factor)
    fig.update_xaxes(title_text="step", rangemode="tozero")
    fig.update_yaxes(title_text=quantity.label)
    return fig


def plot_schedules(frame: pd.DataFrame, setting: str, order: Sequence[str] = ()) -> go.Figure:
    """Draw the logged learning rate of each step, a line per schedule, in the color of its cell if it has one.

    Args:
        frame: columns cell, schedule, step, lr. Schedules of one optimizer, as peaks of others may be far off.
        setting: optimizer and peak learning rate that the schedules have in common.
        order: as for `plot_learning_curves`.
    """
    lines = _lines(frame.sort_values("step"), "schedule")
    cells = dict(zip(frame["schedule"].astype(str), frame["cell"].astype(str), strict=True))
    colors = style.assign_colors(order or list(cells.values()))
    caption = f"Learning rate logged at each recorded step, of one trial per schedule, with {setting}."
    fig = style.new_figure(f"Logged learning rate, {setting}", caption, legend=list(lines))
    for index, (name, line) in enumerate(lines.items()):
        color = style.color(colors[cells[name]]) if cells[name] in colors else style.TEXT
        fig.add_scatter(
            x=_steps(line["step"]),
            y=style.as_float32(line["lr"]),
            name=style.wrap(name),
            mode="lines",
            line={"color": color, "dash": style.dash(index), "width": 2},
            hovertemplate="step %{x}: %{y:.3g}",
        )
    fig.update_xaxes(title_text="step", rangemode="tozero")
    fig.update_yaxes(title_text="learning rate", rangemode="tozero", exponentformat="e")
    return fig


def plot_authors_curves(frame: pd.DataFrame, authors: pd.DataFrame, order: Sequence[str] = ()) -> go.Figure:
    """Draw our test accuracy by epoch over the curves in the authors' notebooks.

    Args:
        frame: columns cell, seed, epoch (number of passes, 1 after the first) and test_curve_accuracy, 0 to 1.
        authors: rows of `load_authors_curves()`: columns arm, epoch, val_acc in percent; and cell, the cell of ours
            whose color an arm takes.
        order: as for `plot_learning_curves`.
    """
    ours = _lines(seed_bands(frame, "epoch", TEST_CURVE_ACCURACY), "cell")
    measured = authors.dropna(subset=["epoch", "val_acc"]).astype({"cell": str, "arm": str})
    arms = measured.sort_values("epoch", kind="stable").groupby(["cell", "arm"], sort=False)
    caption = (
        f"{BAND} Hollow, dotted: the authors' run with one seed, from their published notebooks. What they call "
        "validation accuracy is measured on CIFAR-10's test images, so ours is test accuracy, too."
    )
    legend = [*ours, *(str(name) for (_, name), _ in arms)]
    fig = style.new_figure("Test accuracy by epoch: this study and the authors' run", caption, legend=legend)
    colors = {cell: index for index, cell in enumerate(dict.fromkeys([*order, *ours, *measured["cell"]]))}
    for cell, line in ours.items():
        _add_band(fig, line, "epoch", cell, colors[cell], 100)
    for (arm_cell, arm), curve in arms:
        line = thin(curve, MAX_POINTS)
        index = colors[str(arm_cell)]
        fig.add_scatter(
            x=style.as_float32(line["epoch"]),
            y=style.as_float32(line["val_acc"]),
            name=style.wrap(f"authors: {arm}"),
            mode="lines+markers",
            line={"color": style.color(index), "dash": "dot", "width": 1.5},
            marker={"symbol": style.symbol(index) + "-open", "size": 7},
            hovertemplate="epoch %{x}: %{y:.2f} %",
        )
    fig.update_xaxes(title_text="epoch")
    fig.update_yaxes(title_text=ACCURACY_LABEL)
    return fig


def _add_band(fig: go.Figure, line: pd.DataFrame, x: str, name: str, index: int, factor: float) -> None:
    """Draw a line and its band: columns `x`, mean, min, max."""
    along = _steps(line[x]) if x == "step" else style.as_float32(line[x])
    fig.add_scatter(
        x=np.concatenate([along, along[::-1]]),
        y=style.as_float32(np.concatenate([line["max"], line["min"][::-1]]) * factor),
        fill="toself",
        fillcolor=style.translucent(index, 0.2),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        legendgroup=str(index),
    )
    fig.add_scatter(
        x=along,
        y=style.as_float32(line["mean"] * factor),
        name=style.wrap(name),
        mode="lines+markers" if len(line) <= 12 else "lines",
        line={"color": style.color(index), "width": 2},
        marker={"symbol": style.symbol(index), "size": 7},
        hovertemplate=f"{x} %{{x}}: " + ("%{y:.2f} %" if factor == 100 else "%{y:.4g}"),
        legendgroup=str(index),
    )


def thin(line: pd.DataFrame, max_points: int) -> pd.DataFrame:
    """Return at most `max_points` rows, spread evenly, the first and the last among them."""
    if len(line) <= max_points:
        return line
    return line.iloc[np.unique(np.linspace(0, len(line) - 1, max_points).round().astype(int))]


def _lines(points: pd.DataFrame, column: str) -> dict[str, pd.DataFrame]:
    """Return the points of each line by its name, in order of appearance, thinned to MAX_POINTS."""
    return {str(name): thin(group, MAX_POINTS) for name, group in points.groupby(column, sort=False)}


def _gray_lines(lines: list[pd.DataFrame], factor: float) -> go.Scatter:
    """Return all lines in one trace, with NaN between them."""
    max_points = max(2, MAX_GRAY_POINTS // len(lines) - 1)
    gap = pd.DataFrame({"step": [np.nan], "mean": [np.nan]})
    pieces = pd.concat([piece[["step", "mean"]] for line in lines for piece in (thin(line, max_points), gap)])
    return go.Scatter(
        x=style.as_float32(pieces["step"]),
        y=style.as_float32(pieces["mean"] * factor),
        name=f"{len(lines)} others",
        mode="lines",
        line={"color": style.MUTED, "width": 1},
        hoverinfo="skip",
        legendrank=LAST_IN_LEGEND,
    )


def _steps(column: "pd.Series[int]") -> npt.NDArray[np.int32]:
    return np.asarray(column, np.int32)
