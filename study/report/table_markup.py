"""Tables in HTML, Markdown or LaTeX.

A table is a DataFrame whose cells are tuples of lines, as `paper_tables.paper_table` returns it.
"""

import html
import textwrap
from collections.abc import Sequence
from typing import Any

import pandas as pd

BEST = " (best)"
"""Mark of a cell behind its mean."""
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
"""Escapes of special characters; of [ and *, special behind a line break; of < > |, others in LaTeX's old fonts."""
LATEX_VERBATIM = {**LATEX, ord("-"): "-{}", ord("'"): r"\textquotesingle{}", ord("/"): r"/\allowbreak{}"}
"""LATEX for a command: no two hyphens become a dash, quotes stay straight, a path may break."""
MAX_LATEX_CHARS = 30
"""Characters of a line in a cell of a LaTeX table."""
LATEX_LINES = r"\begin{{tabular}}[t]{{@{{}}l@{{}}}}{} \\[3pt]\end{{tabular}}"
"""Lines one below the other, with space below the last."""


def to_html(table: pd.DataFrame, css_class: str) -> str:
    """Return an HTML table of a class, every text escaped; the lines of a cell are separated by line feeds."""
    return flat_to_html(_flatten(table), css_class, num_headings=table.index.nlevels)


def flat_to_html(table: pd.DataFrame, css_class: str, num_headings: int = 1) -> str:
    """Return a sortable HTML table of a class, without the index, every text escaped.

    Args:
        num_headings: columns whose cells are headings of their row.
    """
    head = "".join(_element("th", name, ' scope="col"') if name else "<td></td>" for name in table.columns)
    rows = [
        "".join(_element("th", text, ' scope="row"') for text in row[:num_headings])
        + "".join(_element("td", text, ' class="best"' if BEST in text else "") for text in row[num_headings:])
        for row in table.to_numpy()
    ]
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f'<table class="{css_class} sortable">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>'


def _element(name: str, text: str, attributes: str) -> str:
    return f"<{name}{attributes}>{html.escape(text)}</{name}>"


def to_markdown(table: pd.DataFrame) -> str:
    """Return a Markdown table; the lines of a cell are separated by <br>."""
    flat = _flatten(table).rename(columns=escape_markdown).map(escape_markdown)
    text: str = flat.to_markdown(index=False, disable_numparse=True)
    return text


def escape_markdown(text: str) -> str:
    """Return plain text as Markdown that shows it, in a table or outside; HTML is escaped."""
    return html.escape(text, quote=False).replace("|", r"\|").replace("\n", "<br>")


def to_latex(table: pd.DataFrame, caption: str, paragraphs: Sequence[str], command: str) -> str:
    """Return a LaTeX table that needs only booktabs.

    Args:
        paragraphs: plain text for below the table.
        command: shown below these, letter by letter.
    """
    flat = _flatten(table).rename(columns=_to_latex_cell).map(_to_latex_cell)
    below = [text.translate(LATEX) for text in paragraphs]
    lines = [
        r"\begin{table}[t]",
        rf"\caption{{{caption.translate(LATEX)}}}",
        r"\medskip\footnotesize",
        flat.style.hide(axis="index").to_latex(hrules=True),
        r"\medskip\raggedright",
        "\n\n".join([*below, rf"command: \texttt{{{command.translate(LATEX_VERBATIM)}}}"]),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _to_latex_cell(text: str) -> str:
    lines = [
        part.translate(LATEX) for line in text.split("\n") for part in textwrap.wrap(line, MAX_LATEX_CHARS) or [""]
    ]
    return lines[0] if len(lines) == 1 else LATEX_LINES.format(r" \\ ".join(lines))


def _flatten(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with plain columns, its index among them, and text in every cell."""
    flat = table.map("\n".join)
    flat.columns = pd.Index([_heading(table.columns.names, label) for label in table.columns])
    return flat.reset_index()


def _heading(axes: Sequence[Any], label: Any) -> str:
    """Return the heading of a column: its values, a number with its axis."""
    labels = label if isinstance(label, tuple) else (label,)
    pairs = zip(axes, labels, strict=True)
    return " ".join(f"{axis} {text}" if axis and text[:1].isdigit() else text for axis, text in pairs)
