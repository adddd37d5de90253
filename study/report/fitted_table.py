"""Tables that fit a terminal: rows stay one line each, as the least important columns go first."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

UNBOUNDED_WIDTH = 10_000
"""Width at which every table fits."""


@dataclass(frozen=True)
class FittedTable:
    """A table as wide as its rows, or narrower to fit.

    It drops the spare columns one by one, then breaks headings between words, then drops the lines between columns. A
    table that is still too wide is folded.

    Attributes:
        numbers: headings of columns that are aligned to the right.
        spare: headings of columns that may be dropped, in this order.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    caption: str = ""
    numbers: Sequence[str] = ()
    spare: Sequence[str] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the widest form that fits, or the narrowest of all."""
        widest = [max(cells, key=cell_len) for cells in zip(*self.rows, strict=True)]
        unbounded = options.update(width=UNBOUNDED_WIDTH)
        for form in self._forms():
            if console.measure(form([widest] if widest else []), options=unbounded).maximum <= options.max_width:
                break
        yield from [Text(self.title, style="table.title")] if self.title else []
        yield form(self.rows)
        yield from [Text(self.caption, style="table.caption")] if self.caption else []

    def _forms(self) -> Iterator[Callable[[Sequence[Sequence[str]]], Table]]:
        """Yield functions that make the table of some rows, the widest form first."""
        last = {heading: column for column, heading in enumerate(self.headings)}  # an axis of that name is further left
        spare = [last[heading] for heading in self.spare if heading in last]
        for num_dropped in range(len(spare) + 1):
            yield partial(self._table, spare[:num_dropped])
        yield partial(self._table, spare, breaks=True)
        yield partial(self._table, spare, breaks=True, lines=False)

    def _table(
        self, dropped: Sequence[int], rows: Sequence[Sequence[str]], *, breaks: bool = False, lines: bool = True
    ) -> Table:
        style = box.HEAVY_HEAD if lines else box.SIMPLE_HEAD
        table = Table(box=style, show_edge=lines, padding=(0, 1) if lines else 0)
        kept = [column for column in range(len(self.headings)) if column not in dropped]
        for column in kept:
            heading = self.headings[column]
            shown = re.sub(r"(?<=[._ ])(?=\w)", "\n", heading) if breaks else heading
            table.add_column(shown, justify="right" if heading in self.numbers else "left", overflow="fold")
        for row in rows:
            table.add_row(*(row[column] for column in kept))
        return table
