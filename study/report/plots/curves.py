"""Figures over training: learning curves, schedules, and a run laid over the authors' own."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from study.report.plots import style
from study.report.plots.metrics import METRICS

MAX_POINTS = 150
"""Of a line, and more than a line of this size can show."""
MAX_REST_POINTS = 6000
"""Of all gray lines together."""
LAST_IN_LEGEND = 1001
"""A rank behind that of all other traces."""

BAND = "Line: mean over seeds; band: lowest to highest seed. Where a seed ended early, of those that went on."


def seed_bands(frame: pd.DataFrame, x: str, metric: str) -> pd.DataFrame:
    """Mean, min and max over seeds for every cell and value of `x`, ordered by both; NaN rows count for nothing.

    Args:
        frame: columns cell, seed, `x` and `metric`.

    Returns:
        Columns cell, `x`, mean, min, max; cells in the order of their first rows.
    """
    known = frame.dropna(subset=[metric])
    order = {cell: place for place, cell in enumerate(known["cell"].unique())}
    bands = known.groupby(["cell", x], sort=False)[metric].agg(["mean", "min", "max"]).reset_index()
    return bands.sort_values(by=["cell", x], key=lambda column: column.map(order) if column.name == "cell" else column)


def learning_curves(frame: pd.DataFrame, metric: str, order: Sequence[str] = ()) -> go.Figure:
    """Draw a metric while training, a line per cell, with a band from the lowest to the highest seed.

    Of more than style.MAX_COLORED cells, only the first are drawn in color, the others in gray.

    Args:
        frame: columns cell, seed, step, and `metric` (NaN where it was not looked at); a row per trial and step.
        metric: a key of METRICS.
        order: cells in the order of their colors, where it is another than that of the frame: the best first.
    """
    shown = METRICS[metric]
    bands = seed_bands(frame, "step", metric)
    lines = _lines(bands, "cell")
    colors = style.colors_of(order or list(lines))
    front = [cell for cell in colors if cell in lines]
    rest = [cell for cell in lines if cell not in colors]
    caption = BAND
    if rest:
        caption += f" In color the {len(front)} cells of the highest test accuracy; {len(rest)} others in gray."
    names = [*front, *(["others"] if rest else [])]
    fig = style.figure(f"{shown.title} during training", caption, run_infos=names)
    if rest:
        fig.add_trace(_grey_lines([lines[cell] for cell in rest], shown.factor))
    for cell in front:
        add_band(fig, lines[cell], "step", cell, colors[cell], shown.factor)
    fig.update_xaxes(title_text="step", rangemode="tozero")
    fig.update_yaxes(title_text=shown.label)
    return fig


def schedules(frame: pd.DataFrame, of: str, order: Sequence[str] = ()) -> go.Figure:
    """Draw the learning rate that every step really had, a line per schedule, in the color of its cell if it has one.

    Args:
        frame: columns cell, schedule, step, lr. Schedules of one optimizer, as peaks of others may be far off.
        of: of which optimizer, at which rate.
        order: as for `learning_curves`.
    """
    groups = _lines(frame.sort_values("step"), "schedule")
    cells = dict(zip(frame["schedule"].astype(str), frame["cell"].astype(str), strict=True))
    colors = style.colors_of(order or list(cells.values()))
    caption = (
        f"Of {of}, one trial for each schedule, as really run: what the optimizer was given at each recorded step."
    )
    fig = style.figure(f"Learning rate at each step, {of}", caption, run_infos=list(groups))
    for index, (name, line) in enumerate(groups.items()):
        color = style.color(colors[cells[name]]) if cells[name] in colors else style.TEXT
        fig.add_scatter(
            x=_steps(line["step"]),
            y=style.numbers(line["lr"]),
            name=style.broken(name),
            mode="lines",
            line={"color": color, "dash": style.dash(index), "width": 2},
            hovertemplate="step %{x}: %{y:.3g}",
        )
    fig.update_xaxes(title_text="step", rangemode="tozero")
    fig.update_yaxes(title_text="learning rate", rangemode="tozero", exponentformat="power")
    return fig


def against_authors(frame: pd.DataFrame, authors: pd.DataFrame, order: Sequence[str] = ()) -> go.Figure:
    """Our test accuracy by epoch, laid over the curves that the authors' notebooks hold.

    Args:
        frame: columns cell, seed, epoch (number of passes, 1 after the first) and test_curve_accuracy, 0 to 1.
        authors: rows of `authors_curves()`: columns arm, epoch, val_acc in percent; and cell, the cell of ours
            whose color an arm takes.
        order: as for `learning_curves`.
    """
    bands = seed_bands(frame, "epoch", "test_curve_accuracy")
    ours = _lines(bands, "cell")
    known = authors.dropna(subset=["epoch", "val_acc"]).astype({"cell": str, "arm": str})
    arms = known.sort_values("epoch", kind="stable").groupby(["cell", "arm"], sort=False)
    caption = (
        f"{BAND} Hollow, dotted: the authors' own run, one seed, from their published notebooks. What they call "
        "validation accuracy is of CIFAR-10's test images, hence ours is of test images here too."
    )
    run_infos = [*ours, *(str(name) for (_, name), _ in arms)]
    fig = style.figure("Test accuracy by epoch: this study and the authors' run", caption, run_infos=run_infos)
    colors = {cell: index for index, cell in enumerate(dict.fromkeys([*order, *ours, *known["cell"]]))}
    for cell, line in ours.items():
        add_band(fig, line, "epoch", cell, colors[cell], 100)
    for (whose, name), curve in arms:
        line = thinned(curve, MAX_POINTS)
        fig.add_scatter(
            x=style.numbers(line["epoch"]),
            y=style.numbers(line["val_acc"]),
            name=style.broken(f"authors: {name}"),
            mode="lines+markers",
            line={"color": style.color(colors[str(whose)]), "dash": "dot", "width": 1.5},
            marker={"symbol": style.symbol(colors[str(whose)]) + "-open", "size": 7},
            hovertemplate="epoch %{x}: %{y:.2f} %",
        )
    fig.update_xaxes(title_text="epoch")
    fig.update_yaxes(title_text="test accuracy, %")
    return fig


def add_band(fig: go.Figure, line: pd.DataFrame, x: str, name: str, index: int, factor: float) -> None:
    """Draw a line and its band: columns `x`, mean, min, max."""
    along = _steps(line[x]) if x == "step" else style.numbers(line[x])
    fig.add_scatter(
        x=np.concatenate([along, along[::-1]]),
        y=style.numbers(np.concatenate([line["max"], line["min"][::-1]]) * factor),
        fill="toself",
        fillcolor=style.faint(index, 0.2),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        legendgroup=str(index),
    )
    fig.add_scatter(
        x=along,
        y=style.numbers(line["mean"] * factor),
        name=style.broken(name),
        mode="lines+markers" if len(line) <= 12 else "lines",
        line={"color": style.color(index), "width": 2},
        marker={"symbol": style.symbol(index), "size": 7},
        hovertemplate=f"{x} %{{x}}: %{{y:.4g}}",
        legendgroup=str(index),
    )


def thinned(line: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most `most` of its rows, spread evenly, the first and the last among them."""
    if len(line) <= most:
        return line
    return line.iloc[np.unique(np.linspace(0, len(line) - 1, most).round().astype(int))]


def _lines(points: pd.DataFrame, column: str) -> dict[str, pd.DataFrame]:
    """The points of each line by its name, in order of appearance, thinned to what can be seen."""
    return {str(name): thinned(group, MAX_POINTS) for name, group in points.groupby(column, sort=False)}


def _grey_lines(lines: list[pd.DataFrame], factor: float) -> go.Scatter:
    """All in one trace, NaN between them."""
    most = max(2, MAX_REST_POINTS // len(lines) - 1)
    gap = pd.DataFrame({"step": [np.nan], "mean": [np.nan]})
    pieces = pd.concat([piece[["step", "mean"]] for line in lines for piece in (thinned(line, most), gap)])
    return go.Scatter(
        x=style.numbers(pieces["step"]),
        y=style.numbers(pieces["mean"] * factor),
        name=f"{len(lines)} others",
        mode="lines",
        line={"color": style.REST, "width": 1},
        hoverinfo="skip",
        legendrank=LAST_IN_LEGEND,
    )


def _steps(column: "pd.Series[int]") -> npt.NDArray[np.int32]:
    return np.asarray(column, np.int32)
