"""A study's cells in the layout of the paper's tables, beside what is published for each."""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from search_spaces.published import Published, published
from search_spaces.space import Candidate, SearchSpace
from study.plan import Plan
from study.results import cell_table

SOURCES = {
    "re_vit": "paper",
    "vit_2021": "ViT",
    "vit_jax_readme": "ViT code",
    "bwconrad_vit_finetune": "vit-finetune",
    "bit_readme": "BiT code",
}
"""What a source is called where space is short."""


def published_of(space: SearchSpace, candidate: Candidate) -> list[Published]:
    """What is published for a cell: the rows of the study's table that have its value on every axis they name."""
    cell = {**candidate.original.flat(), **candidate.asked}
    cell["dataset"] = str(cell["dataset"]).removesuffix("_nelorth")  # a form of Flowers-102, as the paper calls it
    return [
        row
        for row in published()
        if row.table == space.table and all(cell.get(axis) == value for axis, value in row.point.items())
    ]


def layout(plan: Plan) -> pd.DataFrame:
    """The study's table: axes that go down as index, `columns` across, each cell as lines of text.

    The first line is ours, in percent: mean, 95 % interval, number of seeds; or why there is none. Each other line is
    a published value, with the difference from ours where the scale is the paper's.
    """
    space = plan.space
    first: dict[tuple[Any, ...], Candidate] = {}
    for trial in plan.trials:
        first.setdefault(tuple(trial.candidate.cell.values()), trial.candidate)
    rows = []
    for cell in cell_table(plan).to_dict("records"):
        candidate = first[tuple(cell[axis] for axis in space.scientific)]
        labels = {axis: _label(cell[axis]) for axis in space.scientific}
        lines = cell_lines(cell, published_of(space, candidate), compare=space.scale == "paper")
        rows.append({**labels, "lines": lines})
    frame = pd.DataFrame(rows)
    down = [axis for axis in space.scientific if axis not in space.columns]
    if not down:
        down = [""]
        frame[""] = "test accuracy, %"
    if not space.columns:
        return frame.set_index(down).rename(columns={"lines": "test accuracy, %"})
    wide = frame.pivot(index=down, columns=list(space.columns), values="lines")  # noqa: PD010  (a cell twice is an error)
    wide = wide.reindex(index=_in_order(frame, down), columns=_in_order(frame, list(space.columns)))
    return wide.map(lambda lines: lines if isinstance(lines, tuple) else ())  # a cell that `keep` refused


def cell_lines(cell: Mapping[Any, Any], rows: Sequence[Published], *, compare: bool) -> tuple[str, ...]:
    """The lines of one cell; see `layout`."""
    own = [_own(cell)]
    if cell["missing"]:
        own.append(f"missing: {cell['missing']}")
    return (*own, *(_theirs(row, 100 * cell["mean"] if compare else math.nan) for row in rows))


def to_markdown(table: pd.DataFrame) -> str:
    """As a table in Markdown; the lines of a cell are parted by <br>."""
    flat = _flat(table, "\n").rename(columns=_for_markdown).map(_for_markdown)
    text: str = flat.to_markdown(index=False, disable_numparse=True)
    return text


def to_latex(table: pd.DataFrame, caption: str) -> str:
    """As a LaTeX table with booktabs; the lines of a cell are parted by semicolons."""
    style = _flat(table, "; ").style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis=1)
    text: str = style.to_latex(hrules=True, caption=caption.translate(LATEX), position="t")
    return text


def to_html(table: pd.DataFrame) -> str:
    """As an HTML table of class `answer`; every text is escaped, the lines of a cell are lines."""
    style = _flat(table, "\n").style.hide(axis="index").format(escape="html").format_index(escape="html", axis=1)
    text: str = style.set_table_attributes('class="answer"').to_html()
    return text


LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        **{special: "\\" + special for special in "&%$#_{}"},
    }
)
"""Characters that mean something to LaTeX, as it prints them."""


def _for_markdown(text: str) -> str:
    return html.escape(text, quote=False).replace("|", r"\|").replace("\n", "<br>")


def _flat(table: pd.DataFrame, separator: str) -> pd.DataFrame:
    """The table with plain columns and text in every cell."""
    flat = table.map(separator.join)
    flat.columns = pd.Index([" ".join(map(str, label)) if isinstance(label, tuple) else label for label in flat])
    return flat.reset_index()


def _own(cell: Mapping[Any, Any]) -> str:
    if cell["n"] == 0:
        return "-"
    interval = f"[{100 * cell['low']:.2f}, {100 * cell['high']:.2f}]"
    kind = " (Wilson)" if cell["n"] == 1 else ""
    return f"{100 * cell['mean']:.2f} {interval}{kind}, n = {cell['n']}"


def _theirs(row: Published, own: float) -> str:
    difference = "" if math.isnan(own) else f" ({own - row.accuracy_pct:+.2f})"
    note = f", {row.note}" if row.note else ""
    return f"{SOURCES[row.source]} {row.accuracy_pct:.2f}{difference}{note}"


def _label(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _in_order(frame: pd.DataFrame, axes: list[str]) -> pd.Index:
    """The combinations of values that there are, in the order of the study."""
    return frame[axes].drop_duplicates().set_index(axes).index
