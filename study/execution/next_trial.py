"""Preparation of the trial that a worker probably trains next, while it trains another."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from study.execution.trial_task import TrialTask

if TYPE_CHECKING:
    from revit.training.fine_tune import TrialData
    from revit.training.preparation import Prepared


class ReadyTrial(NamedTuple):
    """The data of a trial, with its model and first batches."""

    data: "TrialData"
    prepared: "Prepared"


class NextTrial:
    """One trial that is prepared in a thread; the one before it is dropped.

    Args:
        prepare: prepares the trial of a task.
    """

    def __init__(self, prepare: Callable[[TrialTask], ReadyTrial]) -> None:
        self._prepare = prepare
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="next-trial")
        self._identity = ""
        self._ready: Future[ReadyTrial] | None = None

    def begin(self, task: TrialTask) -> None:
        """Prepare the trial of a task."""
        self._identity = task.identity
        self._ready = self._thread.submit(self._prepare, task)

    def take(self, task: TrialTask) -> ReadyTrial | None:
        """Return the trial of a task if it is the one that was prepared, and drop what was prepared.

        A preparation that failed is None, too: the trial fails by itself, for the same reason.
        """
        identity, ready = self._identity, self._ready
        self._identity, self._ready = "", None
        if ready is None or identity != task.identity or ready.exception() is not None:
            return None
        return ready.result()
