"""Figures over training: learning curves, learning rates, published curves."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import hex_to_rgb

from revit.training.metrics import METRICS, Metric
from study.ledger.schema import TEST_CURVE_ACCURACY
from study.report.plots import style
from study.report.plots.quantities import ACCURACY_LABEL, QUANTITIES

MAX_POINTS = 150
"""Points of a line; more cannot be seen."""

BAND = "Line: mean over seeds; band: lowest to highest seed. Where a seed ended early, the mean is over the others."


def seed_bands(frame: pd.DataFrame, x: str, metric: str) -> pd.DataFrame:
    """Return mean, min and max over seeds for every cell and value of `x`, ordered by both.

    Args:
        frame: columns cell, seed, `x` and `metric`.
    """
    return frame.groupby(["cell", x])[metric].agg(["mean", "min", "max"]).reset_index()


def plot_learning_curves(
    frame: pd.DataFrame, metric: str, colors: Mapping[str, int], result: Metric = METRICS["accuracy"]
) -> go.Figure:
    """Draw a metric during training, a line per cell, with a band from the lowest to the highest seed.

    Args:
        frame: columns cell, seed, step, and `metric`; a row per trial and step.
        metric: a key of QUANTITIES.
        colors: index of the color of each cell.
        result: what the study is about.
    """
    quantity = QUANTITIES[metric]
    lines = _lines(seed_bands(frame, "step", metric), "cell")
    shown = [cell for cell in colors if cell in lines]
    title = f"{quantity.title} during training"
    caption = f"{BAND} Of more than {style.MAX_COLORED} cells, those with the {result.best} {result.name} are drawn."
    fig = style.new_figure(title, caption, legend=shown)
    for cell in shown:
        _add_band(fig, lines[cell], "step", cell, colors[cell], quantity.factor)
    fig.update_xaxes(title_text="step", rangemode="tozero")
    fig.update_yaxes(title_text=quantity.label)
    return fig


def plot_schedules(frame: pd.DataFrame) -> go.Figure:
    """Draw the logged learning rate of each step, a line per schedule.

    Args:
        frame: columns schedule, step, and lr, as a share of the config's learning rate.
    """
    lines = _lines(frame, "schedule")
    caption = "Learning rate logged at each recorded step, of the first trial with each schedule."
    fig = style.new_figure("Logged learning rate", caption, legend=list(lines))
    for index, (name, line) in enumerate(lines.items()):
        fig.add_scatter(
            x=style.as_float32(line["step"]),
            y=style.as_float32(line["lr"]),
            name=style.wrap(name),
            mode="lines",
            line={"color": style.color(index), "width": 2},
            hovertemplate="step %{x}: %{y:.3g}",
        )
    fig.update_xaxes(title_text="step", rangemode="tozero")
    fig.update_yaxes(title_text="learning rate / optimizer.lr", rangemode="tozero")
    return fig


def plot_published_curves(frame: pd.DataFrame, published: pd.DataFrame, colors: Mapping[str, int]) -> go.Figure:
    """Draw our test accuracy by epoch over published curves.

    Args:
        frame: columns cell, seed, epoch (number of passes, 1 after the first) and test_curve_accuracy, 0 to 1.
        published: columns cell (whose color a curve takes), run (its name), epoch and test_curve_accuracy.
        colors: index of the color of each cell that has one; the others take the next.
    """
    ours = _lines(seed_bands(frame, "epoch", TEST_CURVE_ACCURACY), "cell")
    names = published["run"] + ": " + published["cell"]
    theirs = published.groupby(["cell", names], sort=False)
    caption = f"{BAND} Hollow, dotted: published curves, on test images as ours are."
    title = "Test accuracy by epoch, ours and published"
    fig = style.new_figure(title, caption, legend=[*ours, *names.unique()])
    indices = {cell: index for index, cell in enumerate(dict.fromkeys([*colors, *ours, *published["cell"]]))}
    for cell, line in ours.items():
        _add_band(fig, line, "epoch", cell, indices[cell], 100)
    for (of_cell, name), line in theirs:
        index = indices[str(of_cell)]
        fig.add_scatter(
            x=style.as_float32(line["epoch"]),
            y=style.as_float32(100 * line[TEST_CURVE_ACCURACY]),
            name=style.wrap(name),
            mode="lines+markers",
            line={"color": style.color(index), "width": 1.5, "dash": "dot"},
            marker={"symbol": style.symbol(index) + "-open", "size": 7},
            hovertemplate="epoch %{x}: %{y:.2f} %",
        )
    fig.update_xaxes(title_text="epoch")
    fig.update_yaxes(title_text=ACCURACY_LABEL)
    return fig


def _add_band(fig: go.Figure, line: pd.DataFrame, x: str, name: str, index: int, factor: float) -> None:
    """Draw a line and its band: columns `x`, mean, min, max."""
    fig.add_scatter(
        x=style.as_float32(np.concatenate([line[x], line[x][::-1]])),
        y=style.as_float32(np.concatenate([line["max"], line["min"][::-1]]) * factor),
        fill="toself",
        fillcolor=f"rgba{(*hex_to_rgb(style.color(index)), 0.2)}",
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        legendgroup=str(index),
    )
    fig.add_scatter(
        x=style.as_float32(line[x]),
        y=style.as_float32(line["mean"] * factor),
        name=style.wrap(name),
        mode="lines+markers" if len(line) <= 12 else "lines",
        line={"color": style.color(index), "width": 2},
        marker={"symbol": style.symbol(index), "size": 7},
        hovertemplate=f"{x} %{{x}}: " + ("%{y:.2f} %" if factor == 100 else "%{y:.4g}"),
        legendgroup=str(index),
    )


def thin(line: pd.DataFrame) -> pd.DataFrame:
    """Return at most MAX_POINTS rows, spread evenly, the first and the last among them."""
    return line.iloc[np.unique(np.linspace(0, len(line) - 1, MAX_POINTS).round().astype(int))]


def _lines(points: pd.DataFrame, column: str) -> dict[str, pd.DataFrame]:
    """Return the points of each line by its name, in order of appearance, thinned."""
    return {str(name): thin(group) for name, group in points.groupby(column, sort=False)}
