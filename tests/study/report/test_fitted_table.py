"""Rows of tables stay one line each at 80 columns."""

import io
import itertools

import pytest
from rich.console import Console

import search_spaces
from study.plan import Plan
from study.report.fitted_table import FittedTable
from study.report.terminal_tables import plan_table, terminal_table
from tests.study.report.small_study import finish

HEADINGS = ("run", "model.pos_embed", "state", "run")
ROWS = [("first", "learned", "finished", "0123456789abcdef"), ("second", "none", "diverged", "")]


def shown(table: object, width: int) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width, markup=False).print(table)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def finished(study: str) -> Plan:
    space = search_spaces.load(study)
    space = space if space.base is not None else space.variant(scale="nano")
    space = space if space.metric == "accuracy" else space.about("accuracy")
    return finish(space, space.seeds, itertools.repeat(0.9))


@pytest.mark.parametrize("study", search_spaces.names())
def test_every_row_of_a_study_is_one_line_at_80_columns(study: str) -> None:
    plan = finished(study)
    cells = {tuple(trial.candidate.cell.items()) for trial in plan.trials}
    for table, mark, num_rows in (
        (plan_table(plan), "finished", len(plan.trials)),
        (terminal_table(plan), " 90.00 ", len(cells)),
    ):
        lines = shown(table, 80)
        assert max(map(len, lines)) <= 80
        first, *_, last = [place for place, line in enumerate(lines) if mark in line]
        assert last - first == num_rows - 1, "no row has a second line"
        assert sum(mark in line for line in lines) == num_rows


def test_a_table_that_fits_is_complete() -> None:
    lines = shown(FittedTable(HEADINGS, ROWS, title="asks: ?", caption="below", spare=("run",)), 100)
    assert lines[0] == "asks: ?"
    assert "┃ run    ┃ model.pos_embed ┃ state    ┃ run              ┃" in lines
    assert "│ first  │ learned         │ finished │ 0123456789abcdef │" in lines
    assert lines[-1] == "below"


@pytest.mark.parametrize(
    ("width", "first_row"),
    [
        (61, "│ first  │ learned         │ finished │ 0123456789abcdef │"),
        (50, "│ first  │ learned         │ finished │"),
        (36, "│ first  │ learned │ finished │"),
        (26, "first  learned finished"),
    ],
)
def test_a_narrow_table_drops_spare_columns_then_breaks_headings_then_drops_lines(width: int, first_row: str) -> None:
    lines = shown(FittedTable(HEADINGS, ROWS, spare=("run",)), width)
    assert first_row in lines
    assert sum("second" in line for line in lines) == 1


def test_a_table_that_is_still_too_wide_is_folded() -> None:
    lines = shown(FittedTable(HEADINGS, ROWS, spare=("run",)), 20)
    assert max(map(len, lines)) <= 20
    assert not any("finished" in line for line in lines)
