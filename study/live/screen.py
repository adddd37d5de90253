"""The display of states: one live view on a terminal, a line a minute elsewhere."""

import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live

from study.live.study_state import StudyState, Totals
from study.live.view import StudyView, minute_line

REFRESH_S, MAX_SHARE = 1.0, 0.05
"""Minimum seconds between two views, and the largest share of the time that may go into making them."""
MINUTE_S = 60.0


class Screen:
    """Shows states until it is closed. It draws only when asked to: no thread of its own.

    Args:
        make_state: returns the state as it is now; it may be slow.
        make_totals: returns its numbers only.
    """

    def __init__(
        self, console: Console, make_state: Callable[[], StudyState], make_totals: Callable[[], Totals]
    ) -> None:
        self._console = console
        self._make_state = make_state
        self._make_totals = make_totals
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._next_s = 0.0 if self._live else time.monotonic() + MINUTE_S

    def __enter__(self) -> "Screen":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    @property
    def is_live(self) -> bool:
        """True if there is a live view: lines on what it shows are not needed."""
        return self._live is not None

    def print(self, line: str) -> None:
        """Show a line that stays, above the view: unchanged, as it may look like markup."""
        self._console.print(line, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def refresh(self) -> None:
        """Show the state, if it is time."""
        began_s = time.monotonic()
        if began_s < self._next_s:
            return
        if self._live:
            self._live.update(StudyView(self._make_state(), self._console.height), refresh=True)
        else:
            self.print(minute_line(self._make_totals()))
        now_s = time.monotonic()
        self._next_s = now_s + (max(REFRESH_S, pause_after(now_s - began_s)) if self._live else MINUTE_S)


def pause_after(seconds: float) -> float:
    """Return how long to pause after what took some seconds, so that it takes a small share of the time."""
    return seconds / MAX_SHARE
