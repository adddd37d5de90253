"""Tables whose rows stay one line each: where a terminal is narrow, they give up what a reader misses least."""

import re
from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

UNBOUNDED = 10_000
"""Columns in which every table fits."""


class FittedTable:
    """A table that is drawn as wide as its rows need, if that fits; else narrower, step by step.

    First the spare columns go, one after the other; then headings break where their words end; then the lines between
    columns go. Only what is wider still is folded.

    Args:
        headings: of the columns.
        rows: text of each cell.
        title, caption: above and below the table.
        numbers: headings of columns that are aligned to the right.
        spare: headings of columns that can go, the first ones first.
    """

    def __init__(
        self,
        headings: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        title: str = "",
        caption: str = "",
        numbers: Sequence[str] = (),
        spare: Sequence[str] = (),
    ) -> None:
        self.headings, self.rows = list(headings), [list(row) for row in rows]
        self.title, self.caption = title, caption
        self._numbers = numbers
        own = {heading: place for place, heading in enumerate(headings)}  # an axis may be named alike, further left
        self._spare = [own[heading] for heading in spare if heading in own]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the first of the forms that fits, else the narrowest."""
        for table in self._forms():
            if console.measure(table, options=options.update(width=UNBOUNDED)).maximum <= options.max_width:
                break
        yield from [Text(self.title, style="table.title")] if self.title else []
        yield table
        yield from [Text(self.caption, style="table.caption")] if self.caption else []

    def _forms(self) -> Iterator[Table]:
        for num_gone in range(len(self._spare) + 1):
            yield self._table(self._spare[:num_gone])
        yield self._table(self._spare, breaks=True)
        yield self._table(self._spare, breaks=True, lines=False)

    def _table(self, gone: Sequence[int], *, breaks: bool = False, lines: bool = True) -> Table:
        style = box.HEAVY_HEAD if lines else box.SIMPLE_HEAD
        table = Table(box=style, show_edge=lines, padding=(0, 1) if lines else 0)
        kept = [place for place in range(len(self.headings)) if place not in gone]
        for place in kept:
            heading = self.headings[place]
            shown = re.sub(r"(?<=[._ ])(?=\w)", "\n", heading) if breaks else heading
            table.add_column(shown, justify="right" if heading in self._numbers else "left", overflow="fold")
        for row in self.rows:
            table.add_row(*(row[place] for place in kept))
        return table
