"""Figures of a report by file name, on the page or in a folder."""

import base64
import gzip
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs, get_plotlyjs_version

MAX_NAME_CHARS = 100
"""Characters of a figure's file name."""


def figures_context(figures: Mapping[str, go.Figure]) -> dict[str, Any]:
    """Return what the templates show of figures."""
    return {"figures": figures, "plotly": packed_plotly(), "plotly_version": get_plotlyjs_version()}


@cache
def packed_plotly() -> str:
    """Return plotly.js as gzip in base64: 2 MB of a page in place of 5, which a browser unpacks."""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()


def name_figures(figures: Sequence[go.Figure]) -> dict[str, go.Figure]:
    """Return figures by file name: number and title in a-z, 0-9 and hyphens."""
    titles = [re.sub("[^a-z0-9]+", "-", figure.layout.meta["title"].lower()) for figure in figures]
    names = [f"{number:02}-{title}"[:MAX_NAME_CHARS].strip("-") for number, title in enumerate(titles, start=1)]
    return dict(zip(names, figures, strict=True))


def write_figures(figures: Mapping[str, go.Figure], folder: Path) -> list[Path]:
    """Write figures as JSON in place of those of an earlier report; return their paths."""
    folder.mkdir(exist_ok=True)
    for earlier in folder.glob("*.json"):
        earlier.unlink()
    for name, figure in figures.items():
        (folder / f"{name}.json").write_text(figure.to_json(), encoding="utf-8")
    return [folder / f"{name}.json" for name in figures]
