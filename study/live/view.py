"""The view of a state, fitted to the size of a terminal."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from revit.training.metrics import find_metric
from study.ledger.states import TrialState
from study.live.study_state import CellState, Phase, RunningTrial, StudyState, Totals

MIN_HEIGHT = 17
"""Lines of the view on the lowest terminal, which cuts it."""
MIN_LABEL = 16
"""Columns of a trial's or cell's name before columns beside it are left out."""
NUM_FIXED_LINES = 11
"""Lines beside the rows and the lines at the bottom: the top two, headings, hidden rows, empty lines, the cursor's."""
MIN_BAR, MAX_BAR = 8, 40
"""Columns of the bar; narrower, it is left out."""
ELLIPSIS = "…"
MISSING = "missing"
"""Heading of the column that says what a cell lacks."""


@dataclass(frozen=True)
class StudyView:
    """View of a state: a renderable of rich. Rows that do not fit the height are counted instead.

    Attributes:
        height: lines that it may take; None for as many as it needs.
    """

    state: StudyState
    height: int | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield its lines."""
        state, width = self.state, options.max_width
        foot = list(_foot(state))
        free = sys.maxsize if self.height is None else max(MIN_HEIGHT, self.height) - NUM_FIXED_LINES - len(foot)
        num_running = min(len(state.running), max(2, free // 3))
        num_cells = min(len(state.cells), max(2, free - num_running))
        yield from _head(state, width)
        if state.running:
            names = _names(state, [each.study for each in state.running], [each.trial for each in state.running])
            rows = [(name, *_running_values(each)) for name, each in zip(names, state.running, strict=True)]
            yield Text()
            yield _table(("running", "step", "steps/s", "val accuracy, %"), rows[:num_running], width)
            yield from _hidden(len(rows) - num_running, "running")
        if state.cells:
            names = _names(state, [each.study for each in state.cells], [each.cell for each in state.cells])
            values = [(name, *_cell_values(each)) for name, each in zip(names, state.cells, strict=True)]
            first = _first_shown(state.cells, num_cells)
            headings = ("cell", _mean_heading(state.cells), "95 % interval", "seeds", MISSING)
            yield Text()
            yield _table(headings, values[first : first + num_cells], width)
            yield from _hidden(len(values) - num_cells, "cells")
        yield from [Text()] if foot else []
        for line in foot:
            yield Text(line, overflow="ellipsis", no_wrap=True)


def trial_line(totals: Totals, trial: str, news: str) -> str:
    """Return the line about a trial, as in `5/12 trials, 2 running  lr=0.1 seed=0  finished  0:02:10 left`."""
    return f"{counts_line(totals)}  {trial}  {news}  {time_left(totals)}"


def end_news(state: TrialState, val_accuracy: float | None) -> str:
    """Return how a trial ended, as in `finished  val accuracy 92.36 %`.

    Args:
        val_accuracy: from 0 to 1, None where it has none.
    """
    return f"{state}" + ("" if val_accuracy is None else f"  val accuracy {100 * val_accuracy:.2f} %")


def counts_line(state: Totals) -> str:
    """Return how far the studies are, as in `5/12 trials, 2 running, 1 failed`."""
    parts = [f"{state.num_done + state.num_failed}/{state.num_trials} trials", f"{state.num_running} running"]
    return ", ".join([*parts, *([f"{state.num_failed} failed"] if state.num_failed else [])])


def time_left(state: Totals) -> str:
    """Return the time that is left, as in `0:02:10 left`; the phase where no launch runs."""
    if state.phase != Phase.RUNNING:
        return state.phase.value
    return "starting" if state.eta_s is None else f"{timedelta(seconds=round(state.eta_s))} left"


def minute_line(state: Totals) -> str:
    """Return the line of a pipe once a minute, as in `5/12 trials, 2 running  41 %  0:02:10 left`."""
    return f"{counts_line(state)}  {state.share_done:.0%}  {time_left(state)}".replace("%", " %")


def _head(state: StudyState, width: int) -> Iterator[Text | Table]:
    left = counts_line(state)
    percent = f"{100 * state.share_done:3.0f} %"
    elapsed = f", {timedelta(seconds=round(state.elapsed_s))} so far" if state.elapsed_s is not None else ""
    right = time_left(state)
    if cell_len(left + percent + right + elapsed) + 20 <= width:
        right += elapsed
    yield Text(", ".join(state.studies), style="bold", overflow="ellipsis", no_wrap=True)
    bar_width = min(MAX_BAR, width - cell_len(left + percent + right) - 6)
    if bar_width < MIN_BAR:
        yield Text("  ".join([percent.strip(), right, left]), overflow="ellipsis", no_wrap=True)
        return
    line = Table.grid(padding=(0, 2, 0, 0))
    bar = ProgressBar(total=1.0, completed=state.share_done, width=bar_width)
    line.add_row(Text(left), bar, Text(percent), Text(right, style="cyan"))
    yield line


def _foot(state: StudyState) -> Iterator[str]:
    if state.failures:
        kinds = ", ".join(f"{number} {kind}" for kind, number in state.failures.items())
        yield f"failures: {kinds}" + (f": {state.newest_failure}" if state.newest_failure else "")
    if state.log:
        yield f"log: {state.log}"
    if state.next_step:
        yield f"next: {state.next_step}"


def _table(headings: Sequence[str], rows: Sequence[tuple[str, ...]], width: int) -> Table:
    """Return a table whose rows stay one line each.

    Where it is too wide, what is missing is cut, then names are shortened, then columns go from the right.
    """
    widths = [max(map(cell_len, column)) for column in zip(headings, *rows, strict=True)]
    if headings[-1] == MISSING:
        widths[-1] = min(widths[-1], max(MIN_LABEL, width - sum(each + 2 for each in widths[:-1])))
    num_columns = len(headings)
    while num_columns > 2 and width - sum(each + 2 for each in widths[1:num_columns]) < min(MIN_LABEL, widths[0]):
        num_columns -= 1
    room = max(1, width - sum(each + 2 for each in widths[1:num_columns]))
    table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    for column, heading in enumerate(headings[:num_columns]):
        is_text = column == 0 or heading == MISSING
        table.add_column(
            justify="left" if is_text else "right", no_wrap=True, overflow="ellipsis", max_width=widths[column]
        )
    table.add_row(*(Text(each, style="dim") for each in headings[:num_columns]))
    for row in rows:
        table.add_row(*(Text(each) for each in (_shorten(row[0], room), *row[1:num_columns])))
    return table


def _hidden(number: int, what: str) -> Iterator[Text]:
    if number:
        yield Text(f"{ELLIPSIS} {number} more {what}", style="dim", overflow="ellipsis", no_wrap=True)


def _shorten(text: str, width: int) -> str:
    """Return a text with its middle left out where it is too long: rows differ at their end, as by their seed."""
    if cell_len(text) <= width or width < 4:
        return text if cell_len(text) <= width else set_cell_size(text, width)
    tail = (width - 1) * 2 // 3
    end = text
    while cell_len(end) > tail:
        end = end[1:]
    return set_cell_size(text, width - 1 - cell_len(end)) + ELLIPSIS + end


def _names(state: StudyState, studies: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the names of rows, with their study where there are several."""
    if len(state.studies) == 1:
        return list(names)
    return [f"{study}: {name}" for study, name in zip(studies, names, strict=True)]


def _running_values(trial: RunningTrial) -> tuple[str, str, str]:
    rate = "-" if trial.steps_per_s is None else f"{trial.steps_per_s:.3g}"
    accuracy = "-" if trial.val_accuracy is None else f"{100 * trial.val_accuracy:.2f}"
    return f"{trial.step}/{trial.num_steps}", rate, accuracy


def _cell_values(cell: CellState) -> tuple[str, str, str, str]:
    metric = find_metric(cell.metric)
    mean = "-" if cell.mean is None else metric.format(cell.mean)
    is_known = cell.low is not None and cell.high is not None
    interval = f"{metric.format(cell.low)} to {metric.format(cell.high)}" if is_known else "-"  # type: ignore[arg-type]
    return mean, interval, f"{cell.num_finished}/{cell.num_seeds}", cell.status


def _mean_heading(cells: Sequence[CellState]) -> str:
    headings = {find_metric(cell.metric).heading for cell in cells}
    return headings.pop() if len(headings) == 1 else "mean"


def _first_shown(cells: Sequence[CellState], num_shown: int) -> int:
    """Return the first cell to show: so many that the first one that is not filled yet is in view."""
    if len(cells) <= num_shown:
        return 0
    unfilled = next((index for index, cell in enumerate(cells) if cell.num_finished < cell.num_seeds), 0)
    return max(0, min(unfilled - num_shown // 3, len(cells) - num_shown))
