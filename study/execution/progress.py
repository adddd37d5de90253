"""The progress of a study on the terminal."""

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from study.labels import trial_label
from study.ledger.states import TrialState
from study.trial import Trial


class StudyProgress:
    """A live bar of the trials to run on a terminal; elsewhere one line per ended trial.

    Args:
        trials: known trials by identity; others may be added later.
        num_to_run: trials that this launch may run, those that are not known yet included.
        work: their work, in any unit; of those that are not known yet, as of the known ones on average.
        work_of: returns the work of a trial in that unit.
    """

    def __init__(
        self,
        console: Console,
        trials: Mapping[str, Trial],
        num_to_run: int,
        work: float,
        work_of: Callable[[Trial], float],
    ) -> None:
        self._console = console
        self._trials = trials
        self._num_to_run = num_to_run
        self._work = work
        self._work_of = work_of
        self._done: dict[str, float] = {}
        self._done_before: dict[str, float] = {}
        self._running: set[str] = set()
        self._num_ended = 0
        self._started: float | None = None
        self._bar = Progress(
            TextColumn("{task.fields[counts]}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %  {task.fields[eta]}", markup=False),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", total=self._work, **self._fields())

    def __enter__(self) -> "StudyProgress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, line: str) -> None:
        """Show a line about the whole launch."""
        self._console.print(line, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def start_trial(self, identity: str) -> None:
        """Show that a trial runs."""
        self._started = self._started or time.monotonic()
        self._running.add(identity)
        self._refresh()

    def update_step(self, identity: str, step: int, *, is_replay: bool) -> None:
        """Show that a trial has done `step` steps; those of a replay took no time of this launch."""
        if is_replay:
            self._done_before[identity] = self._work_until(identity, step)
        self._done[identity] = self._work_until(identity, step)
        self._refresh()

    def requeue_trial(self, identity: str, reason: str) -> None:
        """Show that a trial stopped, and will resume by itself; silently where the reason is empty."""
        self._running.discard(identity)
        if reason:
            self._print(identity, f"resumes after: {reason}")
        self._refresh()

    def end_trial(self, identity: str, state: TrialState, val_accuracy: float | None) -> None:
        """Show that a trial ended.

        Args:
            val_accuracy: from 0 to 1, None where it has none.
        """
        self._running.discard(identity)
        self._done[identity] = self._work_of(self._trials[identity])
        self._num_ended += 1
        score = "" if val_accuracy is None else f"  val accuracy {100 * val_accuracy:.2f} %"
        self._print(identity, f"{state}{score}  {self._eta()}")
        self._refresh()

    def _print(self, identity: str, news: str) -> None:
        """Print a line on a trial without markup: its label may look like markup."""
        line = f"{self._counts()}  {trial_label(self._trials[identity])}  {news}"
        self._console.print(line, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def _work_until(self, identity: str, step: int) -> float:
        trial = self._trials[identity]
        return self._work_of(trial) * step / trial.num_steps

    def _refresh(self) -> None:
        self._bar.update(self._task, completed=sum(self._done.values()), **self._fields())

    def _fields(self) -> dict[str, Any]:
        return {"counts": self._counts(), "eta": self._eta()}

    def _counts(self) -> str:
        return f"{self._num_ended}/{self._num_to_run} trials, {len(self._running)} running"

    def _eta(self) -> str:
        """Return the time left, in proportion to the work left."""
        done = sum(self._done.values())
        done_here = done - sum(self._done_before.values())
        if self._started is None or done_here <= 0:
            return "starting"
        left_s = (time.monotonic() - self._started) * (self._work - done) / done_here
        return f"{timedelta(seconds=round(left_s))} left"
