"""The view by its text on terminals of several sizes."""

import io
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from study.ledger.states import TrialState
from study.live.study_state import Phase, StudyState
from study.live.view import StudyView, counts_line, end_news, minute_line, time_left, trial_line
from tests.study.live.example_state import EXAMPLE, cell, running

WIDE = """
quickstart
7/12 trials, 2 running, 1 failed  ━━━━━━━━━━━━━━━━━━━━━                      53 %  0:01:17 left, 0:01:33 so far

running                                    step  steps/s  val accuracy, %
optimizer=sgd schedule=cosine seed=2     40/300     12.3            81.23
optimizer=adam schedule=constant seed=2   0/300        -                -

cell                              test accuracy, %   95 % interval  seeds  missing
optimizer=sgd schedule=constant              90.00  89.00 to 92.00    3/3
optimizer=sgd schedule=cosine                93.00  92.00 to 95.00    2/3  1 still running
optimizer=adam schedule=constant                 -               -    0/3  1 diverged, 1 still running, 1 not run
optimizer=adam schedule=cosine               91.00               -    1/3  1 lost worker, 1 not run

failures: 1 lost worker, 1 diverged: RayActorError: the worker died
log: /mlruns/logs/2026-01-01_12-00-00_7.log
next: Ctrl-C stops the trials and keeps what they did; the same command resumes
"""
NARROW = """
quickstart
53 %  0:01:17 left  7/12 trials, 2 running, 1 failed

running                       step  steps/s  val accuracy, %
optimizer…le=cosine seed=2  40/300     12.3            81.23
optimizer…=constant seed=2   0/300        -                -

cell                 test accuracy, %   95 % interval  seeds
optimi…ule=constant             90.00  89.00 to 92.00    3/3
optimi…edule=cosine             93.00  92.00 to 95.00    2/3
optimi…ule=constant                 -               -    0/3
optimi…edule=cosine             91.00               -    1/3

failures: 1 lost worker, 1 diverged: RayActorError: the wor…
log: /mlruns/logs/2026-01-01_12-00-00_7.log
next: Ctrl-C stops the trials and keeps what they did; the …
"""


def shown(state: StudyState, width: int, height: int | None = None) -> list[str]:
    console = Console(file=io.StringIO(), record=True, width=width, color_system=None)
    console.print(StudyView(state, height))
    return [line.rstrip() for line in console.export_text().splitlines()]


@pytest.mark.parametrize(("width", "expected"), [(120, WIDE), (60, NARROW)])
def test_the_view_fits_its_width(width: int, expected: str) -> None:
    assert shown(EXAMPLE, width) == expected.strip().splitlines()


@pytest.mark.parametrize("width", [20, 33, 50, 64, 80, 100, 160])
@pytest.mark.parametrize("height", [10, 24, 50])
def test_no_row_is_broken_and_none_is_too_many(width: int, height: int) -> None:
    many = replace(
        EXAMPLE,
        running=tuple(running(f"lr=0.{number:03} seed={number}", number, 1.0, 0.5) for number in range(40)),
        cells=tuple(cell(f"lr=0.{number:03}", 0.5, 3 if number < 30 else 0) for number in range(60)),
    )
    lines = shown(many, width, height)
    assert len(lines) < max(height, 17)
    assert max(map(cell_len, lines)) <= width
    assert sum("more" in line for line in lines) == 2, "hidden rows are counted"


def test_the_first_cell_that_is_not_filled_is_in_view() -> None:
    cells = tuple(cell(f"lr={number}", 0.5 if number < 30 else None, 3 if number < 30 else 0) for number in range(60))
    lines = shown(replace(EXAMPLE, cells=cells), 100, 24)
    assert any(line.startswith("lr=30 ") for line in lines)
    assert any("more cells" in line for line in lines)


def test_without_a_height_every_row_is_shown() -> None:
    cells = tuple(cell(f"lr={number}", 0.5, 3) for number in range(300))
    assert sum(line.startswith("lr=") for line in shown(replace(EXAMPLE, cells=cells), 100)) == 300


def test_rows_of_several_studies_name_theirs() -> None:
    lines = shown(replace(EXAMPLE, studies=("quickstart", "other")), 120)
    assert lines[0] == "quickstart, other"
    assert any(line.startswith("quickstart: optimizer=sgd schedule=cosine seed=2") for line in lines)


@pytest.mark.parametrize("text", ["[red]small[/red]", "[/a]", ":smile:"])
def test_what_looks_like_markup_is_shown_unchanged(text: str) -> None:
    state = replace(EXAMPLE, running=(running(text, 1, None, None),), cells=(cell(text, 0.5, 3),), newest_failure=text)
    assert sum(text in line for line in shown(state, 100)) == 3


def test_a_study_without_a_launch_shows_its_phase() -> None:
    ended = replace(EXAMPLE, phase=Phase.FAILED, running=(), num_running=0, eta_s=None, elapsed_s=None)
    assert time_left(ended) == "failed"
    assert not any(line.startswith("running") for line in shown(ended, 100))


def test_lines_of_a_pipe() -> None:
    assert counts_line(EXAMPLE) == "7/12 trials, 2 running, 1 failed"
    assert minute_line(EXAMPLE) == "7/12 trials, 2 running, 1 failed  53 %  0:01:17 left"
    assert time_left(replace(EXAMPLE, eta_s=None)) == "starting"
    news = end_news(TrialState.FINISHED, 0.9236)
    assert (
        trial_line(EXAMPLE, "lr=0.1 seed=0", news)
        == "7/12 trials, 2 running, 1 failed  lr=0.1 seed=0  finished  val accuracy 92.36 %  0:01:17 left"
    )
    assert end_news(TrialState.DIVERGED, None) == "diverged"
