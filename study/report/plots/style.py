"""How every figure looks: on light and on dark pages, at 390 px and at page width.

Backgrounds are transparent, grid lines of a middle tone, and every text inherits `layout.font.color`: a page
that knows its own background sets that one value.
"""

import html
import textwrap
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

TEXT = "#767676"
"""Has a contrast of 4.5 to white and to black alike."""
GRID = "rgba(128, 128, 128, 0.25)"
REST = "rgba(128, 128, 128, 0.55)"
"""Of lines and points that are there for company."""

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C")
"""Okabe and Ito's colors that show on white and on black (2008, jfly.uni-koeln.de/color); gray for their black."""
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x")
GLYPHS = ("●", "■", "◆", "▲", "▼", "✚", "✖")
"""SYMBOLS as text."""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")

MAX_COLORED = 6
"""Cells that a reader can tell apart, from each other and from gray."""

LINE_CHARS = 44
"""Characters that fit on a line at 390 px."""
TITLE_PX, LINE_PX, ENTRY_GAP_PX = 20, 16, 8

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
    }
)


def figure(title: str, caption: str, *, height: int = 320, run_infos: Iterable[str] = ()) -> go.Figure:
    """An empty figure of this look.

    Args:
        title: plain text, broken into lines that a narrow page holds; kept whole in `layout.meta["title"]`.
        caption: plain text that belongs below it; kept in `layout.meta["caption"]` for the page to show.
        height: of what is between title and legend, in pixels.
        entries: names that the legend will list, to leave room for.
    """
    lines = textwrap.wrap(title, LINE_CHARS)
    top = TITLE_PX * len(lines) + 20
    legend = sum(LINE_PX * len(_lines(entry)) + ENTRY_GAP_PX for entry in run_infos)
    return go.Figure(
        layout={
            "template": TEMPLATE,
            "title": {"text": "<br>".join(map(plain, lines)), "pad": {"t": TITLE_PX * len(lines) / 2, "l": 8}},
            "meta": {"title": title, "caption": caption},
            "height": top + height + legend,
            "margin": {"t": top},
        }
    )


def plain(text: object) -> str:
    """Text that plotly shows letter by letter: it would read HTML and `%{...}` in it. It decodes no `&quot;`."""
    return html.escape(str(text), quote=False).replace("%{", "%&#123;")


def short(text: object, chars: int) -> str:
    """The same, cut where it is longer than `chars`."""
    whole = str(text)
    return plain(whole if len(whole) <= chars else whole[: chars - 1] + "…")


def broken(text: object) -> str:
    """The same as `plain`, in lines that a narrow page holds; for the names in a legend."""
    return "<br>".join(map(plain, _lines(text)))


def _lines(text: object) -> list[str]:
    return textwrap.wrap(str(text), LINE_CHARS) or [""]


def colors_of(order: Sequence[str]) -> dict[str, int]:
    """Return the color, as `color` numbers them, of each cell that has one: of all where they are few.

    Args:
        order: cells in the order of their colors.
    """
    return {cell: index for index, cell in enumerate(dict.fromkeys(order)) if index < MAX_COLORED}


def color(index: int) -> str:
    """Of series `index`."""
    return COLORS[index % len(COLORS)]


def faint(index: int, alpha: float) -> str:
    """The same color, as see-through as `alpha`, 0 to 1."""
    red, green, blue = (int(color(index)[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {alpha})"


def symbol(index: int) -> str:
    """Marker of series `index`: where colors begin anew, symbols go on by one, so that 49 series differ in either."""
    return SYMBOLS[(index + index // len(COLORS)) % len(SYMBOLS)]


def dash(index: int) -> str:
    """Line style of series `index`."""
    return DASHES[index % len(DASHES)]


def numbers(values: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Values as plotly stores them smallest: 4 bytes each, more exact than any screen."""
    return np.asarray(values, np.float32)


def color_bar(title: str) -> dict[str, object]:
    """A color bar below the plot, where it takes nothing of a narrow page's width."""
    return {
        "title": {"text": title, "side": "bottom"},
        "orientation": "h",
        "yref": "container",
        "y": 0,
        "yanchor": "bottom",
        "thickness": 10,
        "len": 0.6,
        "outlinewidth": 0,
    }


def add_picture_axes(fig: go.Figure, *, row: int | None = None, col: int | None = None) -> None:
    """Axes of a panel that is a picture: its own proportions, no lines, no ticks."""
    axis: dict[str, object] = {"showgrid": False, "ticks": "", "constrain": "domain", "showticklabels": False}
    fig.update_xaxes(**axis, row=row, col=col)
    fig.update_yaxes(**axis, constraintoward="top", autorange="reversed", row=row, col=col)
    for y_axis in fig.select_yaxes(row=row, col=col):
        y_axis.scaleanchor = y_axis.anchor or "x"
