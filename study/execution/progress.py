"""The progress of a study on the terminal."""

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from study.ledger.states import TrialState
from study.plan import Trial


class StudyProgress:
    """A live bar of the trials to run on a terminal; elsewhere one line per ended trial."""

    def __init__(self, console: Console, trials: list[Trial]) -> None:
        self._console = console
        self._num_steps = {trial.identity: trial.num_steps for trial in trials}
        self._steps_done: dict[str, int] = {}
        self._steps_before: dict[str, int] = {}
        self._running: set[str] = set()
        self._num_ended = 0
        self._best: tuple[float, str] | None = None
        self._started: float | None = None
        self._bar = Progress(
            TextColumn("{task.fields[counts]}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %  {task.fields[eta]}  {task.fields[best]}", markup=False),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", total=sum(self._num_steps.values()), **self._fields())

    def __enter__(self) -> "StudyProgress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def start_trial(self, identity: str) -> None:
        """Show that a trial runs."""
        self._started = self._started or time.monotonic()
        self._running.add(identity)
        self._refresh()

    def update_step(self, identity: str, step: int) -> None:
        """Show that a trial has done `step` steps."""
        self._steps_done[identity] = step
        self._refresh()

    def resume_trial(self, identity: str, step: int) -> None:
        """Show that a trial resumes after `step` steps, which took no time of this launch."""
        self._steps_before[identity] = step
        self.update_step(identity, step)

    def requeue_trial(self, identity: str, name: str, reason: str) -> None:
        """Show that a trial stopped, and will resume by itself."""
        self._running.discard(identity)
        self._print(f"{self._counts()}  {name}  resumes after: {reason}")
        self._refresh()

    def end_trial(self, identity: str, name: str, state: TrialState, val_accuracy: float | None) -> None:
        """Show that a trial ended.

        Args:
            val_accuracy: from 0 to 1, None where it has none.
        """
        self._running.discard(identity)
        self._steps_done[identity] = self._num_steps[identity]
        self._num_ended += 1
        if val_accuracy is not None and (self._best is None or val_accuracy > self._best[0]):
            self._best = (val_accuracy, name)
        score = "" if val_accuracy is None else f"  val accuracy {_percent(val_accuracy)}"
        line = f"{self._counts()}  {name}  {state}{score}"
        self._print(line if self._console.is_terminal else f"{line}  {self._eta()}")
        self._refresh()

    def eta_s(self) -> float | None:
        """Return the seconds left, in proportion to the steps left; None before the first report."""
        done, total = sum(self._steps_done.values()), sum(self._num_steps.values())
        done_here = done - sum(self._steps_before.values())
        if self._started is None or done_here <= 0:
            return None
        return (time.monotonic() - self._started) * (total - done) / done_here

    def _print(self, line: str) -> None:
        """Print a line without markup: a label in it may look like markup."""
        self._console.print(line, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def _refresh(self) -> None:
        self._bar.update(self._task, completed=sum(self._steps_done.values()), **self._fields())

    def _fields(self) -> dict[str, Any]:
        best = "" if self._best is None else f"best val accuracy {_percent(self._best[0])} ({self._best[1]})"
        return {"counts": self._counts(), "eta": self._eta(), "best": best}

    def _counts(self) -> str:
        return f"{self._num_ended}/{len(self._num_steps)} trials, {len(self._running)} running"

    def _eta(self) -> str:
        left = self.eta_s()
        if left is None:
            return "starting"
        minutes, seconds = divmod(round(left), 60)
        return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d} left"


def _percent(accuracy: float) -> str:
    return f"{100 * accuracy:.2f} %"
