"""Cells of a study in the layout of a paper's tables, with the published values of each."""

import math
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from revit.training.metrics import Metric, find_metric
from search_spaces.framework.candidates import Candidate
from search_spaces.framework.published import Published
from study.analysis.results import cell_table
from study.labels import format_value
from study.plan import Plan
from study.report.axis_words import axis_titles, value_title
from study.report.table_markup import BEST


def paper_table(plan: Plan) -> pd.DataFrame:
    """Return the study's table: its rows are the index, `columns` its columns, each cell a tuple of lines of text.

    The first lines are our result (mean, 95 % interval; a line each where the table has columns; the number of seeds
    where it is not that of `seeds_note`), the selected nuisance values once they are known, and the status of the
    trials without a result. Each other line is a published value, with our difference from it in percentage points at
    paper scale. A further metric has a column, or a line where the table has columns.
    """
    space, metric, further = plan.space, find_metric(plan.space.metric), further_columns(plan)
    cells = cells_with_candidates(plan)
    titles = axis_titles([*space.scientific, *space.nuisance_axes])
    usual, best = _usual_num_seeds(plan), _best_cells(plan)
    rows = []
    for position, (cell, candidate) in enumerate(cells):
        labels = {titles[axis]: value_title(cell[axis]) for axis in space.scientific}
        selected = [f"{titles[axis]} {format_value(value)}, tuned" for axis, value in candidate.nuisance.items()]
        own = [
            *cell_lines(cell, metric, is_stacked=bool(space.columns), usual=usual, is_best=position in best),
            *(f"{name} {texts[position]}" for name, texts in further.items() if space.columns),
            *selected,
            *filter(None, [format_status(cell)]),
        ]
        accuracy = 100 * cell["mean"] if space.scale == "paper" else math.nan
        published = [_format_published(row, accuracy) for row in space.published(candidate)]
        shown = {name: (texts[position],) for name, texts in further.items() if not space.columns}
        rows.append({**labels, "lines": (*own, *published), **shown})
    frame = pd.DataFrame(rows)
    index = [titles[axis] for axis in space.scientific if axis not in space.columns]
    columns = [titles[axis] for axis in space.columns]
    if not index:
        index = [""]
        frame[""] = metric.heading
    if not space.columns:
        return frame.set_index(index).rename(columns={"lines": metric.heading})
    wide = frame.pivot(index=index, columns=columns, values="lines")  # noqa: PD010  (a cell twice is an error)
    wide = wide.reindex(index=_unique_index(frame, index), columns=_unique_index(frame, columns))
    return wide.map(lambda lines: lines if isinstance(lines, tuple) else ())  # the constraint leaves cells out


def further_columns(plan: Plan) -> dict[str, list[str]]:
    """Return value and interval of every cell in each further metric of a measured plan, by its heading."""
    columns = {}
    for each in plan.further:
        metric = find_metric(each.space.metric)
        cells = cell_table(each).to_dict("records")
        columns[metric.heading] = [_value_text(cell, metric) for cell in cells]
    return columns


def _value_text(cell: Mapping[Hashable, Any], metric: Metric) -> str:
    """Return mean and interval of a row of `cell_table`."""
    if cell["n"] == 0:
        return "-"
    interval = f" [{metric.format(cell['low'])}, {metric.format(cell['high'])}]"
    return metric.format(cell["mean"]) + ("" if math.isnan(cell["low"]) else interval)


def cells_with_candidates(plan: Plan) -> list[tuple[dict[Hashable, Any], Candidate]]:
    """Return each row of `cell_table` with the candidate of the cell's first trial."""
    first = {tuple(trial.candidate.cell.values()): trial.candidate for trial in reversed(plan.trials)}
    cells = cell_table(plan).to_dict("records")
    return [(cell, first[tuple(cell[axis] for axis in plan.space.scientific)]) for cell in cells]


def cell_lines(
    cell: Mapping[Hashable, Any], metric: Metric, *, is_stacked: bool, usual: int = 0, is_best: bool = False
) -> list[str]:
    """Return mean, interval and number of seeds of a row of `cell_table`, a line each or all in one.

    Args:
        usual: number of seeds that is not said.
    """
    if cell["n"] == 0:
        return ["-"]
    has_interval = not math.isnan(cell["low"])
    interval = f"[{metric.format(cell['low'])}, {metric.format(cell['high'])}]" if has_interval else cell["interval"]
    mean = metric.format(cell["mean"]) + (BEST if is_best else "")
    num_seeds = [] if cell["n"] == usual else [f"n = {cell['n']}" + (" (images only)" if cell["n"] == 1 else "")]
    if is_stacked:
        return [mean, interval, *num_seeds]
    return [", ".join([f"{mean} {interval if has_interval else f'({interval})'}", *num_seeds])]


def seeds_note(plan: Plan) -> str:
    """Return a sentence with the number of seeds that cells do not show; empty where no cell has a result."""
    usual = _usual_num_seeds(plan)
    if usual == 0:
        return ""
    where = "in each cell" if set(_num_seeds(plan)) == {usual} else "where a cell shows no other n"
    seeds = "1 seed" if usual == 1 else f"{usual} seeds"
    return f"n = {seeds} {where}" + (": intervals are over test images only." if usual == 1 else ".")


def best_note(plan: Plan) -> str:
    """Return a sentence on the mark of the best cells; empty where none is marked."""
    if not _best_cells(plan):
        return ""
    of_dataset = " of its dataset" if "dataset" in plan.space.scientific else ""
    extreme = "highest" if find_metric(plan.space.metric).sign == 1 else "lowest"
    return f"Best: the {extreme} mean{of_dataset}, which is not always a real difference."


def _num_seeds(plan: Plan) -> pd.Series:
    """Return the number of seeds of each cell that has a result."""
    numbers = cell_table(plan)["n"]
    return numbers[numbers > 0]


def _usual_num_seeds(plan: Plan) -> int:
    """Return the most frequent number of seeds of the cells that have a result; 0 where none has."""
    numbers = _num_seeds(plan)
    return 0 if numbers.empty else int(numbers.mode().iloc[-1])


def _best_cells(plan: Plan) -> set[int]:
    """Return the positions, in `cell_table`, of the cells with the best mean of their dataset, one of several."""
    cells = cell_table(plan)
    cells = cells[cells["n"] > 0]
    datasets = cells["dataset"] if "dataset" in plan.space.scientific else pd.Series("", index=cells.index)
    values = find_metric(plan.space.metric).sign * cells["mean"]
    of_dataset = values.groupby(datasets)
    is_best = (values == of_dataset.transform("max")) & (values > of_dataset.transform("min"))
    return set(cells.index[is_best])


def format_status(cell: Mapping[Hashable, Any]) -> str:
    """Return the status of the trials of a cell without a result, as in `1 diverged, 2 not run`; empty for none."""
    diverged = [f"{cell['diverged']} diverged"] if cell["diverged"] else []
    return ", ".join([*diverged, *filter(None, [cell["missing"]])])


def _format_published(row: Published, own: float) -> str:
    difference = "" if math.isnan(own) else f" ({own - row.value:+.2f})"
    runs = f"mean of {row.n} runs" if row.n > 1 else ""
    return ", ".join(filter(None, [f"{row.source or 'paper'} {row.value:.2f}{difference}", runs, row.note]))


def _unique_index(frame: pd.DataFrame, axes: list[str]) -> pd.Index:
    """Return the combinations of values in a frame, in the order of their first rows."""
    return frame[axes].drop_duplicates().set_index(axes).index
