"""Cells of a study in the layout of a paper's tables, with the published values of each."""

import math
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from revit.training.metrics import METRICS, Metric
from search_spaces.framework.candidates import Candidate
from search_spaces.framework.published import Published
from study.analysis.results import cell_table
from study.labels import format_value
from study.plan import Plan


def paper_table(plan: Plan) -> pd.DataFrame:
    """Return the study's table: its rows are the index, `columns` its columns, each cell a tuple of lines of text.

    The first lines are our result (mean, 95 % interval, number of seeds; a line each where the table has
    columns), the selected nuisance values once they are known, and the status of the trials without a result. Each
    other line is a published value, with our difference from it in percentage points at paper scale.
    """
    space, metric = plan.space, METRICS[plan.space.metric]
    rows = []
    for cell, candidate in cells_with_candidates(plan):
        labels = {axis: format_value(cell[axis]) for axis in space.scientific}
        selected = [f"{axis} {format_value(value)}, tuned" for axis, value in candidate.nuisance.items()]
        own = [
            *cell_lines(cell, metric, is_stacked=bool(space.columns)),
            *selected,
            *filter(None, [format_status(cell)]),
        ]
        accuracy = 100 * cell["mean"] if space.scale == "paper" else math.nan
        published = [_format_published(row, accuracy) for row in space.published(candidate)]
        rows.append({**labels, "lines": (*own, *published)})
    frame = pd.DataFrame(rows)
    index = [axis for axis in space.scientific if axis not in space.columns]
    if not index:
        index = [""]
        frame[""] = metric.heading
    if not space.columns:
        return frame.set_index(index).rename(columns={"lines": metric.heading})
    wide = frame.pivot(index=index, columns=list(space.columns), values="lines")  # noqa: PD010  (a cell twice is an error)
    wide = wide.reindex(index=_unique_index(frame, index), columns=_unique_index(frame, list(space.columns)))
    return wide.map(lambda lines: lines if isinstance(lines, tuple) else ())  # the constraint leaves cells out


def cells_with_candidates(plan: Plan) -> list[tuple[dict[Hashable, Any], Candidate]]:
    """Return each row of `cell_table` with the candidate of the cell's first trial."""
    first = {tuple(trial.candidate.cell.values()): trial.candidate for trial in reversed(plan.trials)}
    cells = cell_table(plan).to_dict("records")
    return [(cell, first[tuple(cell[axis] for axis in plan.space.scientific)]) for cell in cells]


def cell_lines(cell: Mapping[Hashable, Any], metric: Metric, *, is_stacked: bool) -> list[str]:
    """Return mean, interval and number of seeds of a row of `cell_table`, a line each or all in one."""
    if cell["n"] == 0:
        return ["-"]
    has_interval = not math.isnan(cell["low"])
    interval = f"[{metric.format(cell['low'])}, {metric.format(cell['high'])}]" if has_interval else cell["interval"]
    scope = " (images only)" if cell["n"] == 1 else ""
    mean, num_seeds = metric.format(cell["mean"]), f"n = {cell['n']}{scope}"
    if is_stacked:
        return [mean, interval, num_seeds]
    return [f"{mean} {interval if has_interval else f'({interval})'}, {num_seeds}"]


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
