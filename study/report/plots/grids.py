"""Figures of a crossed grid: every trial, main effects, interactions."""

import textwrap
from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from revit.training.metrics import find_metric
from study.analysis.anova import adjusted_means, adjusted_means_by_seed
from study.ledger.schema import value_name
from study.report.plots import style
from study.report.plots.quantities import quantity_of
from study.report.plots.rows import error_bars

ROW_PX = 30
"""Height of a setting in the figure of main effects."""
SEED_SHIFT, LINE_SHIFT = 0.28, 0.06
"""Shifts of seeds below their mean, and of lines to the side, in steps from one setting to the next."""
MEANS = "Marginal means (least squares): as if each setting had been run with every setting of the other factors."
BARS = "Bars: 95 % intervals over seeds, on these test images; small: single seeds."
SPREAD = 0.35
"""Width of a bundle of lines, in steps from one setting to the next."""
COLOR_SCALE = [[0, "rgb(71, 96, 182)"], [0.5, "rgb(150, 150, 150)"], [1, "rgb(234, 116, 2)"]]
"""Blue over gray to orange: distinct for the color-blind, visible on white and on black."""


def plot_parallel_coordinates(frame: pd.DataFrame, axes: Sequence[str], name: str = "accuracy") -> go.Figure:
    """Draw every trial as a line across the axes of its grid to its value of a metric.

    Settings are evenly spaced. The lines through a setting are spread a little, in the order of values: plotly draws
    one line over the other, so that of a crossed grid only the last would be seen.

    Args:
        frame: a row per finished trial: a column per axis, and `value_name` of the metric, a share 0 to 1.
        name: of the metric.
    """
    metric = find_metric(name)
    caption = (
        f"{len(frame):,} trials, one line each, from its setting on each axis to its {metric.name}; blue: lowest, "
        f"orange: highest. Lines through a setting are spread by {metric.title}. "
        "Drag along an axis to filter trials."
    )
    fig = style.new_figure(f"Parallel coordinates: {metric.name}", caption, height=420, wide=True)
    values = metric.factor * frame[value_name(name)].astype(float)
    result = {
        "label": f"{metric.title}, {metric.unit}",
        "values": style.as_float32(values),
        "tickformat": ".4~g",
    }
    fig.add_parcoords(
        dimensions=[*(_dimension(frame[axis], axis, values) for axis in axes), result],
        line={"color": style.as_float32(values), "colorscale": COLOR_SCALE},
        domain={"x": [0.07, 0.93]},
        labelfont={"size": 10},
    )
    room = 3 * style.LINE_PX
    fig.update_layout(height=fig.layout.height + room, margin_t=fig.layout.margin.t + room)
    return fig


def _dimension(levels: pd.Series, axis: str, values: pd.Series) -> dict[str, Any]:
    """Return an axis of parallel coordinates whose settings stand 1 apart."""
    codes, settings = pd.factorize(levels)
    return {
        "label": _stack(quantity_of(axis).label),
        "values": style.as_float32(codes + SPREAD * (values.groupby(codes).rank(pct=True) - 0.5)),
        "range": [-SPREAD, len(settings) - 1 + SPREAD],
        "tickvals": list(range(len(settings))),
        "ticktext": [quantity_of(axis).format(setting)[:20] for setting in settings],
    }


def _stack(text: str) -> str:
    """Return a name in at most two short lines, broken at its spaces and dots."""
    lines = textwrap.wrap(text.replace(".", ". "), 12, break_long_words=False, max_lines=2, placeholder="…")
    return "<br>".join(style.shorten(line.replace(". ", "."), 14) for line in lines)


def plot_main_effects(frame: pd.DataFrame, axes: Sequence[str], name: str = "accuracy") -> go.Figure:
    """Draw the marginal mean of a metric at every value of every axis (see `adjusted_means`), and that of each seed.

    Args:
        frame, name: as for `plot_parallel_coordinates`; with a column seed.
    """
    metric = find_metric(name)
    caption = f"{MEANS} {BARS}"
    num_values = sum(frame[axis].astype(str).nunique() for axis in axes)
    fig = style.new_figure("Main effects (marginal means)", caption, height=ROW_PX * num_values + 60)
    labels: list[str] = []
    for index, axis in enumerate(axes):
        others = [other for other in axes if other != axis]
        means = adjusted_means(frame, [axis], others, name)
        heights = dict(zip(means[axis], range(len(labels), len(labels) + len(means)), strict=True))
        shown = style.shorten(quantity_of(axis).label, 24)
        labels += [f"{shown}: {setting}" for setting in _settings(axis, frame, means)]
        single = adjusted_means_by_seed(frame, [axis], others, name)
        fig.add_scatter(
            x=style.as_float32(metric.factor * single["mean"]),
            y=style.as_float32([heights[setting] + SEED_SHIFT for setting in single[axis]]),
            **_seeds(index, single, style.hover("x", metric)),
        )
        mean, low, high = (metric.factor * means[column].to_numpy(float) for column in ("mean", "low", "high"))
        fig.add_scatter(
            x=style.as_float32(mean),
            y=style.as_float32([*heights.values()]),
            text=labels[-len(means) :],
            error_x=error_bars(mean, low, high),
            mode="markers",
            marker={"color": style.color(index), "symbol": style.symbol(index), "size": 9},
            hovertemplate=f"%{{text}}<br>{style.hover('x', metric)}<extra></extra>",
            showlegend=False,
        )
    fig.update_xaxes(title_text=metric.heading)
    fig.update_yaxes(range=[len(labels) - 0.4, -0.6], tickvals=list(range(len(labels))), ticktext=labels)
    return fig


def plot_interaction(
    frame: pd.DataFrame, axis: str, by: str, others: Sequence[str] = (), name: str = "accuracy"
) -> go.Figure:
    """Draw the marginal mean of a metric along an axis, and that of each seed, a line for every value of another axis.

    Args:
        frame, name: as for `plot_main_effects`.
        others: the grid's other axes, adjusted for.
    """
    metric, means = find_metric(name), adjusted_means(frame, [by, axis], others, name)
    names = dict(zip(means[by], _settings(by, frame, means), strict=True))
    places = {setting: number for number, setting in enumerate(dict.fromkeys(means[axis]))}
    single = adjusted_means_by_seed(frame, [by, axis], others, name)
    title = f"Interaction of {quantity_of(axis).title} and {quantity_of(by).title}"
    caption = f"{MEANS} {BARS} Parallel lines: no interaction."
    fig = style.new_figure(title, caption, legend=[quantity_of(by).label, *names])
    lines = list(means.groupby(by, sort=False))
    for index, (value, line) in enumerate(lines):
        shift = LINE_SHIFT * (index - (len(lines) - 1) / 2)
        mean, low, high = (metric.factor * line[column].to_numpy(float) for column in ("mean", "low", "high"))
        own = single[single[by] == value]
        fig.add_scatter(
            x=style.as_float32([places[setting] + shift for setting in own[axis]]),
            y=style.as_float32(metric.factor * own["mean"]),
            **_seeds(index, own, style.hover("y", metric)),
        )
        fig.add_scatter(
            x=style.as_float32([places[setting] + shift for setting in line[axis]]),
            y=style.as_float32(mean),
            text=_settings(axis, frame, line),
            error_y=error_bars(mean, low, high),
            name=names[value],
            mode="lines+markers",
            line={"color": style.color(index), "width": 2},
            marker={"symbol": style.symbol(index), "size": 9},
            hovertemplate=f"%{{text}}: {style.hover('y', metric)}",
        )
    fig.update_layout(legend_title={"text": style.escape(quantity_of(by).label), "font": {"size": 12}, "side": "top"})
    texts = _settings(axis, frame, means.drop_duplicates(axis))
    fig.update_xaxes(
        title_text=style.escape(quantity_of(axis).label),
        range=[-0.5, len(places) - 0.5],
        tickvals=list(places.values()),
        ticktext=texts,
    )
    fig.update_yaxes(title_text=metric.heading)
    return fig


def _seeds(index: int, single: pd.DataFrame, hover: str) -> dict[str, Any]:
    """Return what the points of single seeds have in common."""
    return {
        "text": [f"seed {seed}" for seed in single["seed"]],
        "mode": "markers",
        "marker": style.seed_marker(style.color(index)),
        "hovertemplate": f"%{{text}}: {hover}<extra></extra>",
        "showlegend": False,
    }


def _settings(axis: str, frame: pd.DataFrame, means: pd.DataFrame) -> list[str]:
    """Return the settings of an axis, which `adjusted_means` names by their text, as they are shown."""
    shown = {str(value): quantity_of(axis).format(value) for value in frame[axis]}
    return [style.shorten(shown[text], 20) for text in means[axis]]
