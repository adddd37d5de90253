"""Figures of results, a point or a line per cell: accuracy over an axis, grids, cost."""

import textwrap
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go
from pandas.api.types import is_numeric_dtype

from study.analysis.intervals import INTERVALS_NOTE
from study.report.plots import style
from study.report.plots.metrics import METRICS, of_axis

FRONT = "Line: the Pareto front, cells that no other beats in both time and accuracy."
NO_FRONT = "No Pareto front is drawn: on a CPU, or on several kinds of device, seconds depend on what else ran then."
MAX_TICKS = 12
"""Values of an axis that each get a place and a tick; a numeric axis of more is drawn to scale."""
MAX_ROOMY_AXES = 4
"""Axes beside the result that leave room for names in the usual size on a narrow page."""
BINS = 9
"""Colors of a parallel-coordinates plot."""
LOW_RGB, MIDDLE_RGB, HIGH_RGB = (0, 114, 178), (150, 150, 150), (213, 94, 0)
"""From blue over gray to vermilion: told apart by the color-blind, visible on white and on black."""


def accuracy_over(frame: pd.DataFrame, axis: str, *, log_x: bool = False) -> go.Figure:
    """Test accuracy against a numeric axis, a line per series; published points hollow and dotted.

    Args:
        frame: columns `axis`, series, mean, low, high (0 to 1; low and high of a 95 % interval, NaN for none),
            published (whether the point is somebody else's) and source (who says so, shown on hovering).
        log_x: whether equal ratios of the axis are equally far apart.
    """
    shown = of_axis(axis)
    order = {name: index for index, name in enumerate(frame["series"].unique())}
    lines = list(frame.sort_values(axis).groupby(["published", "series", "source"], sort=False))
    lines.sort(key=lambda line: (line[0][0], order[line[0][1]]))
    names = [_line_name(str(series), str(source) if published else "") for (published, series, source), _ in lines]
    caption = f"Bars: {INTERVALS_NOTE} Hollow markers on dotted lines: published values."
    fig = style.figure(f"Test accuracy by {shown.title}", caption, run_infos=names)
    for name, ((published, series, _), line) in zip(names, lines, strict=True):
        _add_points(fig, line, axis, name, order[series], published=bool(published), factor=shown.factor)
    values = np.unique(frame[axis].to_numpy(float)) * shown.factor
    fig.update_xaxes(title_text=style.plain(shown.label), type="log" if log_x else "linear")
    if len(values) <= MAX_TICKS:
        fig.update_xaxes(tickvals=values.tolist(), ticktext=[f"{value:g}" for value in values])
    fig.update_yaxes(title_text="test accuracy, %")
    return fig


def _line_name(series: str, published_by: str) -> str:
    return ", ".join(part for part in (series, published_by) if part) or "this study"


def _add_points(
    fig: go.Figure, line: pd.DataFrame, axis: str, name: str, index: int, *, published: bool, factor: float
) -> None:
    mean, low, high = (100 * line[column].to_numpy(float) for column in ("mean", "low", "high"))
    fig.add_scatter(
        x=style.numbers(line[axis].to_numpy(float) * factor),
        y=style.numbers(mean),
        error_y={
            "type": "data",
            "array": style.numbers(np.nan_to_num(high - mean)),
            "arrayminus": style.numbers(np.nan_to_num(mean - low)),
            "visible": bool(np.isfinite(low).any()),
            "thickness": 1.2,
        },
        name=style.broken(name),
        text=[style.plain(source) for source in line["source"]],
        mode="lines+markers",
        line={"color": style.color(index), "width": 1.5 if published else 2, "dash": "dot" if published else "solid"},
        marker={"symbol": style.symbol(index) + ("-open" if published else ""), "size": 9},
        hovertemplate="%{x:g}: %{y:.2f} %<br>%{text}",
    )


def parallel_coordinates(frame: pd.DataFrame, axes: Sequence[str], metric: str) -> go.Figure:
    """Every trial as a line across the axes of its grid to its result, colored by the result.

    An axis with few values, or with words, gives each its place; lines through a place are ordered by result, so
    that a bundle shows its colors. An axis with more than MAX_TICKS numbers is drawn to scale.

    Args:
        frame: a column per axis, and `metric`; a row per trial, NaN where it has no result (left out).
        metric: a key of METRICS, not one of the axes.
    """
    shown = METRICS[metric]
    known = frame.dropna(subset=[metric]).sort_values(metric, ascending=shown.up)
    caption = (
        f"A line per trial, {len(known):,} in all, from its setting on each axis to its result on the right; "
        "blue: lowest, vermilion: highest. Lines through one setting are spread a little, in the order of results."
    )
    fig = style.figure(f"{shown.title} across the grid", caption, height=420)
    result = known[metric].to_numpy(float) * shown.factor
    columns = [_placed(known[axis].to_numpy(object), of_axis(axis).factor, result) for axis in axes]
    columns.append(_to_scale(result))
    heights = np.stack([heights for heights, _ in columns]) if len(known) else np.empty((len(columns), 0))
    bins = np.minimum((heights[-1] * BINS).astype(int), BINS - 1)
    for bin_ in range(BINS) if shown.up else reversed(range(BINS)):
        _add_bundle(fig, heights[:, bins == bin_], _blend(bin_ / (BINS - 1)))
    for place, (_, ticks) in enumerate(columns):
        _add_coordinate(fig, place, ticks)
    titles = [*(_stacked(of_axis(axis).label) for axis in axes), _stacked(shown.label)]
    room = style.LINE_PX * max(title.count("<br>") + 1 for title in titles)
    fig.update_layout(height=fig.layout.height + room, margin_t=fig.layout.margin.t + room)
    fig.update_xaxes(side="top", tickvals=list(range(len(columns))), ticktext=titles, tickangle=0, showgrid=False)
    fig.update_xaxes(range=[-0.5, len(columns) - 0.3], ticks="", ticklabeloverflow="allow", automargin=False)
    if len(axes) > MAX_ROOMY_AXES:
        fig.update_xaxes(tickfont_size=10)
    fig.update_yaxes(visible=False, range=[-0.13, 1.13])
    return fig


Ticks = dict[float, str]
"""Height, 0 to 1, and what stands there."""


def _placed(
    values: npt.NDArray[np.object_], factor: float, result: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], Ticks]:
    """Heights of an axis' values, and its ticks."""
    numeric = is_numeric_dtype(pd.Series(values).infer_objects()) and not any(isinstance(v, bool) for v in values)
    levels = sorted(set(values)) if numeric else list(dict.fromkeys(values))
    if numeric and len(levels) > MAX_TICKS:
        return _to_scale(values.astype(float) * factor)
    spots = {level: place for place, level in zip(_spread(len(levels)), levels, strict=True)}
    heights = np.array([spots[value] for value in values])
    names = [f"{level * factor:g}" if numeric else str(level) for level in levels]
    room = 0.35 / max(len(levels), 4)
    ranks = pd.Series(result).groupby(heights).rank(pct=True).to_numpy() if len(values) else heights
    return heights + (ranks - 0.5) * room, dict(zip(_spread(len(levels)), names, strict=True))


def _spread(count: int) -> list[float]:
    return [0.5] if count == 1 else np.linspace(0.06, 0.94, count).tolist()


def _to_scale(values: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], Ticks]:
    """Heights from the lowest value to the highest, by their logarithms where they span more than 100 times."""
    if not len(values):
        return values, {}
    low, high = values.min(), values.max()
    if low == high:
        return np.full(len(values), 0.5), {0.5: f"{low:.4g}"}
    ends = {0.0: f"{low:.4g}", 1.0: f"{high:.4g}"}
    if low > 0 and high / low > 100:
        heights = np.log(values / low) / np.log(high / low)
        return heights, ends | _inside(np.log(_powers(low, high) / low) / np.log(high / low), _powers(low, high))
    rounds = _rounds(low, high)
    return (values - low) / (high - low), ends | _inside((rounds - low) / (high - low), rounds)


def _inside(heights: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> Ticks:
    """The ticks that stand clear of the ends of an axis, which have their own."""
    pairs = zip(heights.tolist(), values.tolist(), strict=True)
    return {height: f"{value:.4g}" for height, value in pairs if 0.06 < height < 0.94}


def _rounds(low: float, high: float) -> npt.NDArray[np.float64]:
    """Round numbers between two: two to five of them, all alike far apart."""
    power = 10.0 ** np.floor(np.log10((high - low) / 2))
    step: float = max(size * power for size in (1, 2, 5) if size * power <= (high - low) / 2)
    return np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step


def _powers(low: float, high: float) -> npt.NDArray[np.float64]:
    """The powers of ten between two numbers."""
    return 10.0 ** np.arange(np.ceil(np.log10(low)), np.floor(np.log10(high)) + 1)


def _stacked(text: str, chars: int = 10, most: int = 4) -> str:
    """A name in at most so many short lines, broken at its spaces and dots."""
    lines = textwrap.wrap(text.replace(".", ". "), chars, break_long_words=False, max_lines=most, placeholder="…")
    return "<br>".join(style.short(line.replace(". ", "."), 14) for line in lines)


def _add_bundle(fig: go.Figure, heights: npt.NDArray[np.float64], color: str) -> None:
    """Lines of one color, (axes, lines), in one trace."""
    gaps = np.vstack([heights, np.full(heights.shape[1], np.nan)])
    places = np.append(np.arange(len(heights)), np.nan)
    fig.add_scatter(
        x=style.numbers(np.tile(places, heights.shape[1])),
        y=style.numbers(gaps.T.ravel()),
        mode="lines",
        line={"color": color, "width": 1.2},
        opacity=0.7,
        hoverinfo="skip",
        showlegend=False,
    )


def _add_coordinate(fig: go.Figure, place: int, ticks: Ticks) -> None:
    """An axis and its ticks: beyond its ends, where no line passes, and between them to its right."""
    quiet = {"hoverinfo": "skip", "showlegend": False, "cliponaxis": False}
    fig.add_scatter(x=[place, place], y=[0, 1], mode="lines", line={"color": style.TEXT, "width": 1}, **quiet)
    beyond = {min(ticks, default=0.0): (-0.01, "bottom center"), max(ticks, default=1.0): (1.01, "top center")}
    spots = [
        beyond.get(height, (height, "middle right")) if len(ticks) > 1 else (1.01, "top center") for height in ticks
    ]
    fig.add_scatter(
        x=[place] * len(ticks),
        y=[height for height, _ in spots],
        text=[_stacked(text, 12, 2) for text in ticks.values()],
        textfont={"shadow": "auto"},  # set off from the lines that pass
        mode="text",
        textposition=[position for _, position in spots],
        **quiet,
    )


def _blend(share: float) -> str:
    """Color at `share` of the way from LOW_RGB to HIGH_RGB."""
    mixed = [np.interp(share, [0, 0.5, 1], parts) for parts in zip(LOW_RGB, MIDDLE_RGB, HIGH_RGB, strict=True)]
    return "rgb({:.0f}, {:.0f}, {:.0f})".format(*mixed)


def pareto_front(cost: npt.NDArray[np.float64], accuracy: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Indices of the points that no other is both as cheap and better, or cheaper and as good as; cheapest first."""
    front: list[int] = []
    for index in np.lexsort((-accuracy, cost)):
        if not front or accuracy[index] > accuracy[front[-1]]:
            front.append(int(index))
    return np.array(front, np.int64)


def cost_accuracy(frame: pd.DataFrame, *, device: str, front: bool, order: Sequence[str] = ()) -> go.Figure:
    """Draw seconds of training against test accuracy.

    Args:
        frame: columns cell, train_time_s and mean (0 to 1); a row per cell. Rows with a NaN are left out.
        device: what the seconds are of, as in `CPU`.
        front: whether to draw the Pareto front: where the seconds of different cells can be compared.
        order: cells in the order of their colors, where it is another than that of the frame: the best first.
    """
    known = frame.dropna(subset=["train_time_s", "mean"])
    cost, accuracy = known["train_time_s"].to_numpy(float), known["mean"].to_numpy(float) * 100
    cells = [str(cell) for cell in known["cell"]]
    colors = style.colors_of(order or cells)
    named = [cells.index(cell) for cell in colors if cell in cells]
    caption = FRONT if front else NO_FRONT
    if len(named) < len(cells):
        caption += f" In color the {len(named)} cells of the highest test accuracy; the others in gray."
    fig = style.figure("Cost and test accuracy", caption, run_infos=[cells[index] for index in named])
    rest = np.setdiff1d(np.arange(len(known)), named)
    fig.add_scatter(
        x=style.numbers(cost[rest]),
        y=style.numbers(accuracy[rest]),
        text=[style.short(cells[index], 100) for index in rest],
        mode="markers",
        marker={"color": style.REST, "size": 7},
        hovertemplate="%{text}<br>%{x:.3g} s, %{y:.2f} %<extra></extra>",
        showlegend=False,
    )
    if front:
        on_it = pareto_front(cost, accuracy)
        fig.add_scatter(
            x=style.numbers(cost[on_it]),
            y=style.numbers(accuracy[on_it]),
            mode="lines",
            line={"color": style.TEXT, "width": 1.5, "shape": "hv"},
            hoverinfo="skip",
            showlegend=False,
        )
    for index in named:
        place = colors[cells[index]]
        fig.add_scatter(
            x=style.numbers(cost[[index]]),
            y=style.numbers(accuracy[[index]]),
            name=style.broken(cells[index]),
            mode="markers",
            marker={"color": style.color(place), "symbol": style.symbol(place), "size": 12},
            hovertemplate="%{x:.3g} s, %{y:.2f} %",
        )
    fig.update_xaxes(title_text=f"training time, {style.plain(device)}-seconds")
    if len(cost) > 0 and cost.min() > 0 and cost.max() > 10 * cost.min():
        ticks = np.outer(_powers(cost.min() / 10, cost.max()), (1, 3)).ravel()
        fig.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
    fig.update_yaxes(title_text="test accuracy, %")
    return fig
