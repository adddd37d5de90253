import io
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console

from study.live import screen as screens
from study.live.screen import Screen, pause_after
from study.live.study_state import StudyState
from tests.study.live.example_state import EXAMPLE


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(s=0.0)
    monkeypatch.setattr(screens, "time", SimpleNamespace(monotonic=lambda: now.s))
    return now


def test_making_views_takes_a_small_share_of_the_time(clock: SimpleNamespace) -> None:
    made: list[float] = []

    def make() -> StudyState:
        made.append(clock.s)
        clock.s += 2  # a large study
        return replace(EXAMPLE, share_done=len(made) / 10)

    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with Screen(console, make, make) as screen:
        while clock.s < 100:
            screen.refresh()
            clock.s += 0.5
    assert made == pytest.approx([0, 42, 84], abs=1)
    assert pause_after(2.0) == pytest.approx(40)


def test_a_pipe_gets_numbers_once_a_minute_and_no_view(clock: SimpleNamespace) -> None:
    file = io.StringIO()

    def fail() -> StudyState:
        raise AssertionError("cells are not needed")

    with Screen(Console(file=file), fail, lambda: EXAMPLE) as screen:
        assert not screen.is_live
        while clock.s < 130:
            screen.refresh()
            clock.s += 1
        screen.print("[red]a line[/red]")
    assert file.getvalue().splitlines() == [
        *["7/12 trials, 2 running, 1 failed  53 %  0:01:17 left"] * 2,
        "[red]a line[/red]",
    ]


def test_the_view_is_gone_at_the_end() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100, height=40)
    with Screen(console, lambda: EXAMPLE, lambda: EXAMPLE) as screen:
        screen.refresh()
        num_lines = file.getvalue().count("\n")
    erased = file.getvalue().count("\x1b[1A\x1b[2K")
    assert erased >= num_lines
