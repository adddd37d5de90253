"""Figures of rows below one another, each under its own label: readable at the width of a page or of a phone."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from study.report.plots import style

ROW_CHARS = 48
"""Characters of a label's line, in the width of a narrow page without a vertical axis."""
MARKS_PX = 28
"""Height of a row below its label."""
GAP_PX, HEADING_PX = 10, 24
AXIS_PX = 46
"""Height of the horizontal axis with its title."""

Array = npt.NDArray[np.float64]


def row_figure(
    title: str,
    caption: str,
    labels: Sequence[str],
    legend: Sequence[str] = (),
    *,
    leads: Sequence[str] = (),
    headings: Mapping[int, str] | None = None,
    lookup: bool = False,
) -> tuple[go.Figure, Array]:
    """Return a figure of rows, and the height at which the points of each stand, (number of rows,).

    The vertical axis is in pixels from the top.

    Args:
        labels: plain text, broken into lines.
        legend: names that the legend will list, to leave room for.
        leads: first words of the labels, in bold type.
        headings: by the number of the row, from 0, that each stands above.
        lookup: it is for looking something up.
    """
    lines = [textwrap.wrap(label, ROW_CHARS) for label in labels]
    above = [HEADING_PX * (row in (headings or {})) for row in range(len(lines))]
    heights = [room + style.LINE_PX * len(each) + MARKS_PX + GAP_PX for room, each in zip(above, lines, strict=True)]
    tops = np.cumsum([0, *heights])
    fig = style.new_figure(title, caption, height=int(tops[-1]) + AXIS_PX, legend=legend, lookup=lookup)
    fig.update_layout(margin_l=0)
    fig.update_yaxes(range=[tops[-1], 0], visible=False, fixedrange=True)
    bold = leads or [""] * len(labels)
    for top, room, each, lead in zip(tops[:-1], above, lines, bold, strict=True):
        text = "<br>".join(map(style.escape, each))
        _add_text(fig, float(top) + room, f"<b>{lead}</b>{text.removeprefix(lead)}" if lead else text)
    for row, heading in (headings or {}).items():
        _add_text(fig, float(tops[row]), style.escape(heading), size=14)
    return fig, tops[1:] - GAP_PX - MARKS_PX / 2


def _add_text(fig: go.Figure, top: float, text: str, size: int = 12) -> None:
    """Write a text at the left, below a height."""
    fig.add_annotation(
        x=0,
        xref="paper",
        xanchor="left",
        y=top,
        yanchor="top",
        text=text,
        align="left",
        font_size=size,
        showarrow=False,
        borderpad=0,
    )


def error_bars(mean: Array, low: Array, high: Array, **changes: object) -> dict[str, object]:
    """Return the error bars from `low` to `high`; none where these are NaN."""
    return {
        "type": "data",
        "array": style.as_float32(np.nan_to_num(high - mean)),
        "arrayminus": style.as_float32(np.nan_to_num(mean - low)),
        "visible": bool(np.isfinite(low).any()),
        "thickness": 1.5,
        **changes,
    }


def describe_mean(cells: pd.DataFrame) -> str:
    """Return that means are shown, what their intervals are over, and the number of seeds, in the words of a caption.

    Args:
        cells: columns n and interval, as of `cell_table`.
    """
    counts = cells["n"].astype(int)
    number = f"n = {counts.min()}" if counts.min() == counts.max() else f"n = {counts.min()} to {counts.max()}"
    scopes = [scope for scope in dict.fromkeys(cells["interval"]) if scope.startswith("over")]
    return f"mean, 95 % interval {' or '.join(scopes)} ({number})" if scopes else f"mean ({number})"
