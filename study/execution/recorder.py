"""Writes what happens to the ledger, in order, in one thread, so that no trial waits for a database."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from revit.errors import InputError, first_line
from study.labels import trial_label
from study.layout import NEEDED_FILES, TRACEBACK
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.orphans import merge_duplicates
from study.ledger.records import Measurement, TrialRecord, TrialUpdate, now_ms, study_tags
from study.ledger.schema import DATASET_TAG, DIGEST_PREFIX, MODEL_TAG, SEED_TAG, STUDY_TAG, TEST_ACCURACY
from study.ledger.states import TrialState
from study.plan import Trial

WRITE_EVERY_S = 1.0
"""What a trial tells sooner after it was last written waits for what it tells next, or for its end."""
"""Metric of the one row that a trial measures when it is over."""


class Recorder:
    """The only writer of one launch. Its methods return at once; `close` waits until all is written.

    What a trial tells in quick succession is written at once: of a short trial, writing is the larger part.

    While the disk is full, or a server is away, it waits and writes later what is measured meanwhile: trials go on. A
    trial of which something can never be written is failed, not finished: its results are not whole.

    Args:
        ledger: where to.
        launch: id of the launch's run.
        study: tags of the study: its name as `study`, its recipe and scale.
        trials: every trial that may start.
        leases: of the launch; they are confirmed before each write.
        tell: what to do with a line for the user, on waiting for the store.

    Attributes:
        states: how each trial that started has ended, by identity; complete after `close`.
        messages: why, one line, for each that did not finish and was not interrupted.
        fault: why nothing can be written any more, one line; empty while all is well.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        launch: str,
        study: Mapping[str, str],
        trials: list[Trial],
        locks: Locks,
        log: Callable[[str], None],
    ) -> None:
        self.states: dict[str, TrialState] = {}
        self.messages: dict[str, str] = {}
        self.fault = ""
        self._ledger = ledger
        self._launch = launch
        self._study = study
        self._trials = {trial.identity: trial for trial in trials}
        self._locks = locks
        self._log = log
        self._open: dict[str, TrialRecord] = {}
        self._last_step: dict[str, int] = {}
        self._pending: defaultdict[str, TrialUpdate] = defaultdict(TrialUpdate)
        self._written_s: dict[str, float] = {}
        self._stop_requested = threading.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")

    def started(self, identity: str, record: TrialRecord | None = None) -> None:
        """A trial began, or goes on; of one that is new to this launch, `known` is what the ledger had of it."""
        self._submit(identity, lambda: self._open_trial(identity, self._open.get(identity, record)))

    def rows(self, identity: str, rows: list[dict[str, float]]) -> None:
        """A trial measured something. Steps that the ledger has already, from before a resume, are left out."""
        now = now_ms()
        self._note(identity, lambda update: update.rows.extend(Measurement(row, now) for row in rows))
        self._submit(identity, lambda: self._write_where_due(identity))

    def final(self, identity: str, row: dict[str, float]) -> None:
        """What a finished trial measured at the end, once; it is written with that end."""
        measurement = Measurement(row, now_ms())
        self._note(identity, lambda update: update.rows.append(measurement))

    def tags(self, identity: str, tags: dict[str, str]) -> None:
        """What is known of a trial's surroundings: its device, precision, versions."""
        self._note(identity, lambda update: update.tags.update(tags))
        self._submit(identity, lambda: self._write_where_due(identity))

    def ended(
        self,
        identity: str,
        state: TrialState,
        *,
        message: str,
        failure: str = "",
        traceback: str = "",
        artifacts: Path,
        then: Callable[[TrialState], None],
    ) -> None:
        """A trial is over.

        Args:
            failure, traceback: the class of its failure and where it came from, empty where it did not fail.
            artifacts: folder of the files to keep; the traceback joins them.
            then: called with the state once all is written.
        """
        if traceback:
            self._submit(identity, lambda: _write_traceback(artifacts, traceback))
        self._submit(identity, lambda: self._close_trial(identity, state, message, failure, artifacts))
        self._submit_last(lambda: then(self.states[identity]))

    def close(self, *, interrupted: bool, complete: bool) -> None:
        """Mark as interrupted whatever began and did not end, end the launch, wait until all is written.

        Args:
            interrupted: the user is in a hurry: what cannot be written now is left to the next launch, which has it
                from the trials' checkpoints.
            complete: every trial of the launch has been settled, by this launch or another.
        """
        if interrupted:
            self._stop_requested.set()
        for identity in self._trials:
            self._submit(identity, partial(self._close_interrupted, identity))
        self._submit_last(partial(self._close_launch, interrupted, complete))
        self._thread.shutdown(wait=True)

    def _note(self, identity: str, add: Callable[[TrialUpdate], None]) -> None:
        self._thread.submit(lambda: add(self._pending[identity]))

    def _submit(self, identity: str, write: Callable[[], None]) -> None:
        def write_or_note() -> None:
            try:
                self._write(write)
            except InputError as error:  # it holds for every trial
                self.fault = self.fault or str(error)
                self.states[identity] = TrialState.INTERRUPTED
            except Exception as error:  # whatever a store can raise: the trial is then not whole
                self._pending.pop(identity, None)  # it can still be ended
                self.messages.setdefault(identity, f"not written: {type(error).__name__}: {first_line(error)}")
                self.states[identity] = TrialState.FAILED

        self._thread.submit(write_or_note)

    def _submit_last(self, write: Callable[[], None]) -> None:
        """Write what no trial depends on any more; where that fails, the launch is at fault."""

        def write_or_note() -> None:
            try:
                self._write(write)
            except Exception as error:  # as above
                self.fault = self.fault or first_line(error)

        self._thread.submit(write_or_note)

    def _write(self, write: Callable[[], None]) -> None:
        def confirm_and_write() -> None:
            self._locks.confirm()
            write()

        log = self._log
        self._ledger.retry(
            confirm_and_write, should_stop=self._stop_requested.is_set, log=lambda line: log(f"{line}; trials go on")
        )

    def _open_trial(self, identity: str, record: TrialRecord | None) -> None:
        trial = self._trials[identity]
        config = trial.candidate.config
        record = self._ledger.open_trial(
            identity,
            record,
            launch=self._launch,
            name=trial_label(trial),
            tags={
                **self._study,
                **study_tags(self._study[STUDY_TAG], cell=trial.candidate.cell, point=trial.candidate.point),
                SEED_TAG: str(config.seed),
                DATASET_TAG: config.dataset,
                MODEL_TAG: config.model.name,
                **{f"{DIGEST_PREFIX}{name}": value for name, value in trial.input_digests.items()},
                **{name: str(count) for name, count in trial.sizes.items()},
            },
        )
        self._open[identity] = record
        self._last_step.setdefault(identity, record.last_step)
        self._pending[identity] = TrialUpdate(config=config.flat())  # again, too: whoever began it may have died before
        self._written_s[identity] = time.monotonic()

    def _write_where_due(self, identity: str) -> None:
        if time.monotonic() - self._written_s[identity] >= WRITE_EVERY_S:
            update = self._unwritten(identity)
            self._ledger.log(self._open[identity].run_id, update)
            self._last_step[identity] = max([self._last_step[identity], *(int(row["step"]) for row, _ in update.rows)])
            self._pending[identity] = TrialUpdate()
            self._written_s[identity] = time.monotonic()

    def _unwritten(self, identity: str) -> TrialUpdate:
        """What is known of a trial, without what is written from before a resume."""
        update = self._pending[identity]
        return replace(update, rows=[each for each in update.rows if self._is_new(identity, each.row)])

    def _is_new(self, identity: str, row: Mapping[str, float]) -> bool:
        if TEST_ACCURACY in row:
            return TEST_ACCURACY not in self._open[identity].metrics  # else it died between this and its end
        return row["step"] > self._last_step[identity]

    def _close_trial(self, identity: str, state: TrialState, message: str, failure: str, artifacts: Path) -> None:
        missing = (
            [name for name in NEEDED_FILES if not (artifacts / name).is_file()] if state == TrialState.FINISHED else []
        )
        if self.states.get(identity) == TrialState.FAILED:
            state, message = TrialState.FAILED, self.messages[identity]
        elif missing:
            state = TrialState.FAILED
            message = f"{', '.join(missing)} missing in {artifacts}: every node needs the same store folder"
        self._ledger.close_trial(
            self._open[identity].run_id,
            state,
            update=self._unwritten(identity),
            message=message,
            failure=failure,
            artifacts=artifacts,
        )
        del self._open[identity], self._pending[identity]
        self.states[identity] = state
        if message:
            self.messages[identity] = message

    def _close_interrupted(self, identity: str) -> None:
        if identity in self._open:
            state = self.states.setdefault(identity, TrialState.INTERRUPTED)
            message = self.messages.get(identity, "stopped before its last step")
            run_id, update = self._open[identity].run_id, self._unwritten(identity)
            self._end(run_id, partial(self._ledger.close_trial, run_id, state, update=update, message=message))

    def _close_launch(self, interrupted: bool, complete: bool) -> None:
        ended = list(self.states.values())
        counts = {f"num_{state}": float(ended.count(state)) for state in sorted(set(ended))}
        done = complete and all(each.is_terminal for each in ended)
        state = TrialState.INTERRUPTED if interrupted else TrialState.FINISHED if done else TrialState.FAILED
        if not interrupted:
            merge_duplicates(self._ledger, self._locks)
        self._end(self._launch, partial(self._ledger.launches.close, self._launch, state, counts))

    def _end(self, run_id: str, end: Callable[[], None]) -> None:
        """End a run, also where the experiment was deleted and nothing can be written with that.

        Raises:
            InputError: it was.
        """
        try:
            end()
        except InputError:
            self._ledger.runs.end_deleted(run_id)
            raise


def _write_traceback(artifacts: Path, traceback: str) -> None:
    artifacts.mkdir(parents=True, exist_ok=True)
    (artifacts / TRACEBACK).write_text(traceback)
