"""Look of all figures: on light pages or dark ones, at 390 px or at page width.

Backgrounds are transparent, grid lines are of a middle gray, and every text inherits `layout.font.color`, the one value
that a page has to set.
"""

import html
import textwrap
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from revit.training.metrics import Metric

TEXT = "#767676"
"""Color of text; its contrast is 4.5 to white and to black alike."""
GRID = "rgba(128, 128, 128, 0.25)"
MUTED = "rgba(128, 128, 128, 0.55)"
"""Color of de-emphasized series."""

COLORS = ("#4760B6", "#EA7402", "#388E62", "#CB1818", "#1791FF", "#A381AC", "#8C8C8C")
"""Colors whose contrast is 3 to a white page and to a dark one, and that the color-blind can distinguish.

They were searched for as the six, beside a gray, with the largest smallest difference (CIEDE2000) under normal vision
and simulated deuteranopia, protanopia and tritanopia. Okabe and Ito's (2008) are nearer to each other, and two of them
are too light for a white page.
"""
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x")

DASHES = ("solid", "8px,3px", "5px,2px", "10px,3px,3px,3px", "16px,4px", "8px,2px,3px,2px,3px,2px")
"""Dashes of lines without markers; dotted lines are published ones."""

MAX_COLORED = 6
"""Number of colors that a reader can distinguish, from each other and from gray."""

LINE_CHARS = 44
"""Characters that fit on a line at 390 px."""
TITLE_PX, LINE_PX, ENTRY_GAP_PX = 20, 16, 8

COLOR_BAR = {
    "title": {"side": "bottom"},
    "orientation": "h",
    "yref": "container",
    "y": 0,
    "yanchor": "bottom",
    "thickness": 10,
    "len": 0.6,
    "outlinewidth": 0,
}
"""Color bar below the plot, where it takes no width from a narrow page."""

TEMPLATE = go.layout.Template(
    layout={
        "font": {"color": TEXT, "size": 12},
        "paper_bgcolor": "rgba(0, 0, 0, 0)",
        "plot_bgcolor": "rgba(0, 0, 0, 0)",
        "title": {"x": 0, "xanchor": "left", "y": 1, "yanchor": "top", "font": {"size": 15}},
        "margin": {"l": 8, "r": 12, "b": 8},
        "legend": {"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom", "maxheight": 1},
        "xaxis": {"gridcolor": GRID, "linecolor": GRID, "zeroline": False, "automargin": True, "ticks": "outside"},
        "yaxis": {
            "gridcolor": GRID,
            "linecolor": GRID,
            "zeroline": False,
            "automargin": True,
            "title": {"standoff": 8},
        },
        "hoverlabel": {"namelength": -1},
        "modebar": {
            "bgcolor": "rgba(0, 0, 0, 0)",
            "color": MUTED,
            "activecolor": TEXT,
            "remove": ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d"],
        },
    },
    data={"heatmap": [{"colorbar": COLOR_BAR}]},
)


def new_figure(
    title: str,
    caption: str,
    *,
    height: int = 320,
    legend: Iterable[str] = (),
    wide: bool = False,
    lookup: bool = False,
) -> go.Figure:
    """Return an empty figure of this look.

    `layout.meta` has what a page needs that lays it out: title, caption, wide, lookup, and title_px, the height of the
    title, which a page leaves out that shows the title itself.

    Args:
        title: plain text; broken into lines that fit a narrow page, kept whole in `layout.meta`.
        caption: plain text for below the figure; kept in `layout.meta`.
        height: of the part between title and legend, in pixels.
        legend: names that the legend will list, to leave room for.
        wide: it needs the width of a page; others stand two abreast.
        lookup: it is for looking something up, not part of the answer.
    """
    lines = textwrap.wrap(title, LINE_CHARS)
    top = TITLE_PX * len(lines) + 20
    bottom = sum(LINE_PX * len(textwrap.wrap(entry, LINE_CHARS)) + ENTRY_GAP_PX for entry in legend)
    return go.Figure(
        layout={
            "template": TEMPLATE,
            "title": {"text": "<br>".join(map(escape, lines)), "pad": {"t": TITLE_PX * len(lines) / 2, "l": 8}},
            "meta": {
                "title": title,
                "caption": caption,
                "wide": wide,
                "lookup": lookup,
                "title_px": TITLE_PX * len(lines),
            },
            "height": top + height + bottom,
            "margin": {"t": top},
        }
    )


def escape(text: object) -> str:
    """Return a text that plotly shows letter by letter, though it reads HTML and `%{...}`; it decodes no `&quot;`."""
    return html.escape(str(text), quote=False).replace("%{", "%&#123;")


def shorten(text: object, max_chars: int) -> str:
    """Return a text, escaped, cut where it is longer than `max_chars`."""
    whole = str(text)
    return escape(whole if len(whole) <= max_chars else whole[: max_chars - 1] + "…")


def wrap(text: object) -> str:
    """Return a text, escaped, in lines that fit a narrow page: a name in a legend."""
    return "<br>".join(map(escape, textwrap.wrap(str(text), LINE_CHARS)))


def capitalize(text: str) -> str:
    """Return a text with a capital first letter."""
    return text[:1].upper() + text[1:]


def hover(axis: str, metric: Metric) -> str:
    """Return what a hover template shows of a value on an axis, in the metric's unit."""
    return f"%{{{axis}:.{metric.decimals}f}} {metric.unit}"


def seed_marker(color: str) -> dict[str, object]:
    """Return the marker of a single seed, small beside that of a mean."""
    return {"color": color, "symbol": "circle", "size": 5, "opacity": 0.75}


def color(index: int) -> str:
    """Return the color of series `index`."""
    return COLORS[index % len(COLORS)]


def symbol(index: int) -> str:
    """Return the marker of series `index`: shifted by one whenever colors repeat, so that 49 series differ."""
    return SYMBOLS[(index + index // len(COLORS)) % len(SYMBOLS)]


def dash(index: int) -> str:
    """Return the dash of series `index`, of a line without markers."""
    return DASHES[index % len(DASHES)]


def as_float32(values: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Return values as plotly stores them smallest: 4 bytes each, more exact than any screen."""
    return np.asarray(values, np.float32)


def add_picture_axes(fig: go.Figure, *, row: int | None = None, col: int | None = None) -> None:
    """Give a panel the axes of a picture: its own proportions, no lines, no ticks."""
    axis: dict[str, object] = {"showgrid": False, "ticks": "", "constrain": "domain", "showticklabels": False}
    fig.update_xaxes(**axis, row=row, col=col)
    fig.update_yaxes(**axis, constraintoward="top", autorange="reversed", row=row, col=col)
    for y_axis in fig.select_yaxes(row=row, col=col):
        y_axis.scaleanchor = y_axis.anchor or "x"
