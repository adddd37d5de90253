"""Studies that are watched while another thread runs them."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from study.api import live_status
from study.live.study_state import Phase
from tests.study.live.example_state import EXAMPLE


class Feed:
    """A feed whose study ends after three looks."""

    def __init__(self) -> None:
        self.num_looks = 0
        self.confirmed = False

    def refresh(self) -> list[str]:
        self.num_looks += 1
        return [f"trial {self.num_looks} ended"]

    def confirm(self) -> None:
        self.confirmed = True

    def totals(self) -> SimpleNamespace:
        return SimpleNamespace(phase=Phase.RUNNING if self.num_looks < 3 else Phase.FINISHED)

    def state(self) -> object:
        return EXAMPLE


@pytest.mark.parametrize("terminal", [True, False])
def test_it_ends_with_the_study(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> None:
    monkeypatch.setattr(live_status, "time", SimpleNamespace(monotonic=lambda: 0.0, sleep=lambda seconds: None))
    file, feed = io.StringIO(), Feed()
    ledger = SimpleNamespace(retry=lambda call, log: call())
    console = Console(file=file, force_terminal=terminal, width=100)
    assert live_status.watch(feed, ledger, console) is EXAMPLE  # type: ignore[arg-type]
    lines = file.getvalue().splitlines()
    if terminal:
        assert any("53 %" in line for line in lines)
        assert "ended" not in file.getvalue(), "what has ended is in the view"
    else:
        assert lines == ["trial 1 ended", "trial 2 ended", "trial 3 ended"]


def test_the_state_of_now_is_confirmed() -> None:
    feed = Feed()
    assert live_status.current_state(feed) is EXAMPLE  # type: ignore[arg-type]
    assert feed.confirmed
