"""Reports of a worker to Tune, with the checkpoints that they announce."""

import resource
import time
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from study.execution.work_folder import WorkFolder
from study.ledger.schema import TRAIN_TIME_S

if TYPE_CHECKING:
    from revit.training.train_state import Row, TrainState

CHECKPOINT_INTERVAL_S, MAX_CHECKPOINT_INTERVAL_S = 2.0, 300.0
"""Minimum seconds between checkpoints: at a validation, and at any report. Shorter gaps are cheap to recompute."""
REPORT_INTERVAL_S = 1.0
"""Minimum seconds between reports to Tune. Rows in between are batched."""
MAX_REPORTS_PER_S = 25
"""Reports of all trials together for which the driver has time: where more run at a time, each reports less often."""

Send = Callable[[dict[str, Any]], None]
"""Hands a report to Tune. It returns once Tune has let the trial continue."""


class TrialReporter:
    """Reports the rows of one trial to Tune, and saves its checkpoint.

    Args:
        validation_steps: steps after which the trial is validated; the last one is its last step.
        is_prunable: report each validation at once, except for the last one, so that the trial can be pruned before it
            trains on.
        is_replay: the trial is resumed, so that its first report repeats earlier rows.
        num_concurrent: trials that run at a time.
        work: has the checkpoints; once the study stops, the next report saves one.
    """

    def __init__(
        self,
        identity: str,
        work: WorkFolder,
        validation_steps: Collection[int],
        *,
        is_prunable: bool,
        is_replay: bool,
        num_concurrent: int,
        send: Send,
    ) -> None:
        self._identity = identity
        self._work = work
        self._validation_steps = validation_steps
        self._is_prunable = is_prunable
        self._is_replay = is_replay
        self._interval_s = REPORT_INTERVAL_S * max(1.0, num_concurrent / MAX_REPORTS_PER_S)
        self._send = send
        self._pending_rows: list[Row] = []
        self._saved_s = self._reported_s = time.monotonic()

    def add_rows(self, rows: "list[Row]", state: "TrainState") -> None:
        """Take rows of metrics; save and report where it is time."""
        is_saved = self._is_replay or self._save_if_due(state)
        self._pending_rows.extend(rows)
        is_prunable = self._is_prunable and state.step < max(self._validation_steps)
        is_decided_on = is_prunable and state.step in self._validation_steps
        if is_saved or is_decided_on or time.monotonic() - self._reported_s > self._interval_s:
            time_used = {TRAIN_TIME_S: state.train_time_s} if is_prunable else {}
            self.report({"is_replay": self._is_replay, "saved": is_saved, **time_used})
        self._is_replay = False

    def report(self, update: dict[str, Any], rows: "Sequence[Row]" = ()) -> None:
        """Report an update, with rows, those that are pending, and the peak memory of this process."""
        self._pending_rows.extend(rows)
        if self._pending_rows:
            update = {"rows": self._pending_rows, "is_replay": False, "saved": False, **update}
            self._pending_rows = []
        peak_bytes = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        artifacts = dict(self._work.artifact_sizes)
        self._send({"identity": self._identity, "peak_bytes": peak_bytes, "artifacts": artifacts, **update})
        self._reported_s = time.monotonic()

    def _save_if_due(self, state: "TrainState") -> bool:
        is_validation = state.step in self._validation_steps
        interval_s = CHECKPOINT_INTERVAL_S if is_validation else MAX_CHECKPOINT_INTERVAL_S
        if time.monotonic() - self._saved_s <= interval_s and not self._work.should_stop():
            return False
        is_saved = self._work.save_checkpoint(state)
        self._saved_s = time.monotonic()
        return is_saved
