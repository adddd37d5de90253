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
MAX_GRAY_POINTS = 40
"""Points of a gray line, of which there may be many."""
MAX_MARKERS = 12
"""Points up to which a line has markers; with more, lines differ by their dashes."""
LOG_RANGE = 100
"""Range of a logarithmic axis below the smallest of these: schedules end at 0, which it cannot show."""
MIN_LOG_RATIO = 10
"""Ratio of the largest learning rates of two curves from which on the axis is logarithmic."""


def band_note(frame: pd.DataFrame) -> str:
    """Return what line and band of cells are, in the words of a caption.

    Args:
        frame: columns cell, seed, and others.
    """
    counts = frame.groupby("cell")["seed"].nunique()
    if counts.max() == 1:
        return "One seed each."
    number = f"{counts.max()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
    return f"Line: mean of {number} seeds; band: lowest to highest seed."


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
        colors: index of the color of each cell that has one; the others are thin gray lines, of one seed each.
        result: what the study is about.
    """
    quantity = QUANTITIES[metric]
    is_colored = frame["cell"].isin(list(colors))
    lines = _lines(seed_bands(frame[is_colored], "step", metric), "cell")
    shown = [cell for cell in colors if cell in lines]
    others = frame[~is_colored]
    num_others = others["cell"].nunique()
    caption = band_note(frame[is_colored])
    if num_others:
        best = f"the {len(shown)} cells with the {result.best} {result.name}"
        caption += f" In color: {best}; gray: the other {num_others}, one seed each."
    fig = style.new_figure(f"{quantity.title} during training", caption, legend=shown)
    for cell, line in others.groupby("cell", sort=False):
        _add_gray(fig, line[line["seed"] == line["seed"].min()], metric, str(cell), quantity.factor)
    for cell in shown:
        _add_band(fig, lines[cell], "step", cell, colors[cell], quantity.factor)
    fig.update_xaxes(title_text="step", rangemode="tozero")
    fig.update_yaxes(title_text=quantity.label)
    return fig


def plot_schedules(frame: pd.DataFrame) -> go.Figure:
    """Draw the logged learning rate of each step, a line for each way to set it.

    Args:
        frame: columns schedule (the name of a line), step, and lr; at most one trial per line.
    """
    lines = _lines(frame, "schedule")
    peaks = frame.groupby("schedule")["lr"].max()
    is_log = peaks.max() > MIN_LOG_RATIO * peaks.min() > 0
    caption = "Learning rate logged at each recorded step, of the first trial with each setting."
    if is_log:
        caption += f" Below {peaks.min() / LOG_RANGE:.0e} a line leaves the figure."
    fig = style.new_figure("Logged learning rate", caption, legend=list(lines), lookup=len(lines) > MAX_MARKERS)
    for index, (name, line) in enumerate(lines.items()):
        fig.add_scatter(
            x=style.as_float32(line["step"]),
            y=style.as_float32(line["lr"]),
            name=style.wrap(name),
            mode="lines",
            line={"color": style.color(index), "width": 2, "dash": style.dash(index)},
            hovertemplate="step %{x}: %{y:.3g}",
        )
    fig.update_xaxes(title_text="step", rangemode="tozero")
    fig.update_yaxes(title_text="learning rate", rangemode="tozero", tickformat="~g")
    if is_log:
        ends = np.log10([peaks.min() / LOG_RANGE, 1.5 * peaks.max()])
        fig.update_yaxes(type="log", range=ends.tolist(), dtick=1)
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
    caption = f"{band_note(frame)} Hollow, dotted: published curves, on test images as ours are."
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
    has_markers = len(line) <= MAX_MARKERS
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
        mode="lines+markers" if has_markers else "lines",
        line={"color": style.color(index), "width": 2, "dash": "solid" if has_markers else style.dash(index)},
        marker={"symbol": style.symbol(index), "size": 7},
        hovertemplate=f"{x} %{{x}}: " + ("%{y:.2f} %" if factor == 100 else "%{y:.4g}"),
        legendgroup=str(index),
    )


def _add_gray(fig: go.Figure, line: pd.DataFrame, metric: str, cell: str, factor: float) -> None:
    """Draw the curve of one seed of a cell without a color."""
    points = thin(line, MAX_GRAY_POINTS)
    fig.add_scatter(
        x=style.as_float32(points["step"]),
        y=style.as_float32(points[metric] * factor),
        mode="lines",
        line={"color": style.MUTED, "width": 1},
        hovertemplate=f"{style.shorten(cell, 100)}<br>step %{{x}}: %{{y:.4g}}<extra></extra>",
        showlegend=False,
    )


def thin(line: pd.DataFrame, max_points: int = MAX_POINTS) -> pd.DataFrame:
    """Return at most so many rows, spread evenly, the first and the last among them."""
    return line.iloc[np.unique(np.linspace(0, len(line) - 1, max_points).round().astype(int))]


def _lines(points: pd.DataFrame, column: str) -> dict[str, pd.DataFrame]:
    """Return the points of each line by its name, in order of appearance, thinned."""
    return {str(name): thin(group) for name, group in points.groupby(column, sort=False)}
