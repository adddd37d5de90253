"""A study's cells in the layout of the paper's tables, beside what is published for each."""

import html
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from search_spaces.framework.published import Published, published
from search_spaces.framework.recipes import FLOWERS, FLOWERS_SPLITS
from search_spaces.framework.space import Candidate, SearchSpace
from study.analysis.results import cell_table
from study.labels import format_value
from study.plan import Plan

SOURCES = {
    "re_vit": "paper",
    "vit_2021": "ViT",
    "vit_jax_readme": "ViT code",
    "bwconrad_vit_finetune": "vit-finetune",
    "bit_readme": "BiT code",
}
"""What a source is called where space is short."""


def published_of(space: SearchSpace, candidate: Candidate) -> list[Published]:
    """Return what is published for a cell: the rows of the study's table that have its values.

    Compared are the axes that identify a row's cell, and what the study sets itself.
    """
    cell = {**space.paper_config(candidate.requested_values).flat(), **candidate.requested_values}
    if cell["dataset"] in FLOWERS_SPLITS:
        cell["dataset"] = FLOWERS
    return [
        row
        for row in published()
        if row.table == space.table
        and all(
            cell.get(axis) == row.point[axis]
            for axis in row.point.keys() & (row.identifying_axes | space.explicit_fields)
        )
    ]


def paper_table(plan: Plan) -> pd.DataFrame:
    """The study's table: axes that go down as index, `columns` across, each cell as lines of text.

    First comes ours, in percent: mean, 95 % interval, number of seeds, a line each where cells stand side by side; or
    why there is none. Then come the nuisance values that validation chose. Each other line is a published value, with
    the difference from ours where the scale is the paper's.
    """
    space = plan.space
    first: dict[tuple[Any, ...], Candidate] = {}
    for trial in plan.trials:
        first.setdefault(tuple(trial.candidate.cell.values()), trial.candidate)
    rows = []
    for cell in cell_table(plan).to_dict("records"):
        candidate = first[tuple(cell[axis] for axis in space.scientific)]
        labels = {axis: format_value(cell[axis]) for axis in space.scientific}
        theirs = published_of(space, candidate)
        chosen = [f"{axis} {format_value(cell[axis])}, tuned" for axis in space.nuisance_axes if cell["n"]]
        lines = cell_lines(cell, theirs, chosen, compare=space.scale == "paper", narrow=bool(space.columns))
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


def cell_lines(
    cell: Mapping[Any, Any], rows: Sequence[Published], chosen: Sequence[str], *, compare: bool, narrow: bool
) -> tuple[str, ...]:
    """The lines of one cell; see `paper_table`."""
    mean, *rest = _own(cell)
    own = [mean, *rest] if narrow else [" ".join([mean, ", ".join(rest)]).strip()]
    own += chosen
    if cell["missing"]:
        own.append(f"missing: {cell['missing']}")
    if cell["diverged"]:
        own.append(f"diverged: {cell['diverged']}")
    return (*own, *(_theirs(row, 100 * cell["mean"] if compare else math.nan) for row in rows))


def to_markdown(table: pd.DataFrame) -> str:
    """As a table in Markdown; the lines of a cell are parted by <br>."""
    flat = _flat(table, "\n").rename(columns=for_markdown).map(for_markdown)
    text: str = flat.to_markdown(index=False, disable_numparse=True)
    return text


def to_latex(table: pd.DataFrame, caption: str, below: Sequence[str], command: str) -> str:
    """As a LaTeX table that needs booktabs alone.

    Args:
        below: paragraphs under the table, as plain text.
        command: shown under these, letter by letter.
    """
    flat = _flat(table, "\n").rename(columns=_for_latex).map(_for_latex)
    paragraphs = [*(text.translate(LATEX) for text in below), rf"command: \texttt{{{command.translate(TYPED)}}}"]
    lines = [
        r"\begin{table}[t]",
        rf"\caption{{{caption.translate(LATEX)}}}",
        r"\medskip\footnotesize",
        flat.style.hide(axis="index").to_latex(hrules=True),
        r"\medskip\raggedright",
        "\n\n".join(paragraphs),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


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
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "[": "{[}",
        "*": "{*}",
        **{special: "\\" + special for special in "&%$#_{}"},
    }
)
"""Characters that mean something to LaTeX, be it only at the start of a row, or are others in its own fonts."""
LATEX_CHARS = 30
"""Of a line in a LaTeX table's cell."""
STACK = r"\begin{{tabular}}[t]{{@{{}}l@{{}}}}{} \\[3pt]\end{{tabular}}"
"""Lines one below the other, and some room below the last."""
TYPED = {**LATEX, ord("-"): "-{}", ord("'"): r"\textquotesingle{}", ord("/"): r"/\allowbreak{}"}
"""The same for what is to be typed: two hyphens are no dash, quotes are straight, a path may end a line."""


def for_markdown(text: str) -> str:
    """Return plain text as Markdown that shows it, in a table or outside: HTML in it is escaped."""
    return html.escape(text, quote=False).replace("|", r"\|").replace("\n", "<br>")


def _for_latex(text: str) -> str:
    """Its lines one below the other, none longer than a column of a page should be."""
    lines = [part.translate(LATEX) for line in text.split("\n") for part in textwrap.wrap(line, LATEX_CHARS) or [""]]
    return lines[0] if len(lines) == 1 else STACK.format(r" \\ ".join(lines))


def _flat(table: pd.DataFrame, separator: str) -> pd.DataFrame:
    """The table with plain columns and text in every cell."""
    flat = table.map(separator.join)
    flat.columns = pd.Index([_heading(table.columns.names, label) for label in table.columns])
    return flat.reset_index()


def _heading(axes: Sequence[Any], label: Any) -> str:
    """What a column is of; a number alone would not say."""
    labels = label if isinstance(label, tuple) else (label,)
    pairs = zip(axes, labels, strict=True)
    return " ".join(f"{axis} {text}" if axis and text[:1].isdigit() else text for axis, text in pairs)


def _own(cell: Mapping[Any, Any]) -> list[str]:
    """Return mean, interval and number of seeds; or that there is none."""
    if cell["n"] == 0:
        return ["-"]
    is_shown = not math.isnan(cell["low"])
    interval = f"[{100 * cell['low']:.2f}, {100 * cell['high']:.2f}]" if is_shown else cell["interval"]
    kind = " (images only)" if cell["n"] == 1 else ""
    return [f"{100 * cell['mean']:.2f}", interval, f"n = {cell['n']}{kind}"]


def _theirs(row: Published, own: float) -> str:
    difference = "" if math.isnan(own) else f" ({own - row.accuracy_pct:+.2f})"
    note = f", {row.note}" if row.note else ""
    return f"{SOURCES[row.source]} {row.accuracy_pct:.2f}{difference}{note}"


def _in_order(frame: pd.DataFrame, axes: list[str]) -> pd.Index:
    """The combinations of values that there are, in the order of the study."""
    return frame[axes].drop_duplicates().set_index(axes).index
