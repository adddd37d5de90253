"""The writer of a launch: one thread that writes events to the ledger in order.

No trial waits for a database, until so many events do that the driver's memory is at risk.
"""

import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

from revit.errors import InputError, first_line
from study.execution.artifact_fetch import fetch_artifacts
from study.labels import trial_label
from study.layout import ARTIFACTS, NEEDED_FILES, TRACEBACK, WORK
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.orphans import merge_duplicates
from study.ledger.records import (
    Measurement,
    TrialRecord,
    TrialUpdate,
    config_tags,
    keep_tags,
    now_ms,
    study_tags,
)
from study.ledger.schema import DIGEST_PREFIX, REGISTRATION_TAG, STATE_TAG, TRAIN_TIME_S
from study.ledger.states import TrialState
from study.trial import Trial

WRITE_INTERVAL_S = 1.0
"""Minimum seconds between writes of one trial. Rows in between are batched."""
MAX_BACKLOG = 5_000
"""Events that wait to be written from which on Tune's loop waits, too. One of its steps adds a few."""
DRAIN_TIMEOUT_S = 2.0
"""Maximum seconds to wait for the writes that are due."""


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """Result of a launch.

    Attributes:
        states: states of the trials that started, by identity.
        messages: one line for each trial that failed or diverged, by identity.
        interrupted: a signal ended it, such as Ctrl-C.
        stop_reason: reason why it stopped early; empty if it did not.
        num_slots: trials that ran at a time; 1 where none was to be run.
    """

    states: Mapping[str, TrialState]
    messages: Mapping[str, str]
    interrupted: bool
    stop_reason: str
    num_slots: int = 1


class Recorder:
    """The only writer of one launch. Its methods return at once; `close` waits until all is written.

    Rows in quick succession are written together: writing takes most of the time of a short trial.

    While the disk is full, or a server is unavailable, trials continue, and their rows are written later: at most
    MAX_BACKLOG events wait, and trials with them from then on. A trial whose rows can never be written fails: its
    results are incomplete.

    Args:
        launches: ids of the launch's runs, by the name of their study.
        registered: digests of what is registered for each study (`study.registration`), by its name.
        trials: every trial that may start, by identity; others may be added later.
        locks: those of the launch, confirmed before each write; a trial's is released once its end is written.
        log: called with a line for the user while the store is unavailable.
        on_finished: called with each trial that is recorded as finished, while its lock is held. It can be repeated.

    Attributes:
        states: final state of each trial that started, by identity; complete after `close`.
        messages: reason, one line, of each trial that failed or diverged.
        error: why nothing can be written any more, one line; empty while all is well.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        launches: Mapping[str, str],
        trials: Mapping[str, Trial],
        locks: Locks,
        log: Callable[[str], None],
        registered: Mapping[str, str] = MappingProxyType({}),
        on_finished: Callable[[Trial], None] = lambda trial: None,
    ) -> None:
        self.states: dict[str, TrialState] = {}
        self.messages: dict[str, str] = {}
        self.error = ""
        self._ledger = ledger
        self._storage = ledger.storage
        self._launches = launches
        self._registered = registered
        self._trials = trials
        self._locks = locks
        self._log = log
        self._on_finished = on_finished
        self._open: dict[str, TrialRecord] = {}
        self._pending: defaultdict[str, TrialUpdate] = defaultdict(TrialUpdate)
        self._last_write_s: dict[str, float] = {}
        self._stop_requested = False
        self._num_submitted = 0  # counted by Tune's loop
        self._num_done = 0  # counted by the thread
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")

    @property
    def backlog(self) -> int:
        """Number of events that wait to be written."""
        return self._num_submitted - self._num_done

    @property
    def is_full(self) -> bool:
        """True while Tune's loop has to wait (`TuneCallback`). What it reports by then is still taken."""
        return self.backlog >= MAX_BACKLOG

    def start_trial(self, identity: str) -> None:
        """Open the run of a trial that starts or resumes."""
        self._submit(lambda: self._open_trial(identity), identity)

    def reserve_trial(self, trial: Trial) -> None:
        """Create the run of a trial that is to be trained, before this returns. It can be repeated."""
        tags = {**self._tags(trial), STATE_TAG: TrialState.NEW}
        self._ledger.reserve_trial(trial.identity, launch=self._launch_of(trial), name=trial_label(trial), tags=tags)

    def is_drained(self) -> bool:
        """Return whether the ends of all trials are written; wait for it a little."""
        return bool(wait([self._thread.submit(lambda: None)], DRAIN_TIMEOUT_S).done)

    def study_tags(self, trial: Trial) -> dict[str, str]:
        """Return the tags by which a trial is found from the study."""
        candidate = trial.candidate
        return study_tags(trial.study_name, cell=candidate.cell, point=candidate.point)

    def add_rows(self, identity: str, rows: list[dict[str, float]]) -> None:
        """Write rows of metrics. Steps that the ledger has already, from before a resume, are left out."""
        now = now_ms()
        self._update(identity, lambda update: update.rows.extend(Measurement(row, now) for row in rows))

    def add_tags(self, identity: str, tags: dict[str, str]) -> None:
        """Write the environment of a trial: device, precision, versions."""
        self._update(identity, lambda update: update.tags.update(tags))

    def end_trial(
        self,
        identity: str,
        state: TrialState,
        *,
        message: str = "",
        failure: str = "",
        traceback: str = "",
        artifacts: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Close the run of a trial, with the artifacts in its work folder. A trial that is done loses that folder.

        Args:
            artifacts: bytes of each file that its worker wrote, by its name in the storage.
            failure: class of its failure, empty where it did not fail.
            traceback: of its failure, kept among the artifacts.
        """
        self._submit(lambda: self._close_trial(identity, state, message, failure, traceback, artifacts), identity)
        self._submit(lambda: self._settle(identity))
        self._submit(lambda: self._release(identity))

    def close(self, *, interrupted: bool, incomplete: Collection[str] = ()) -> None:
        """End the launch, with every open trial interrupted. Waits until all is written.

        Args:
            interrupted: a signal ended the launch: what cannot be written now is left to the next launch, which
                has it from the checkpoints.
            incomplete: names of studies that have trials left, which no launch has ended.
        """
        self._stop_requested = interrupted
        for identity in self._trials:
            self._submit(partial(self._close_interrupted, identity), identity)
        for study in self._launches:
            complete = study not in incomplete
            self._submit(partial(self._close_launch, study, interrupted=interrupted, complete=complete))
        self._thread.shutdown(wait=True)

    def _update(self, identity: str, add: Callable[[TrialUpdate], None]) -> None:
        self._submit(lambda: self._write_if_due(identity), identity, before=lambda: add(self._pending[identity]))

    def _submit(self, write: Callable[[], None], identity: str = "", before: Callable[[], None] = lambda: None) -> None:
        """Write something of a trial, or of the launch where no identity is given.

        Args:
            before: called once, however often the write is retried.
        """

        def write_or_record_error() -> None:
            before()
            try:
                self._write(write)
            except Exception as error:  # whatever a store can raise
                if not identity or isinstance(error, InputError):  # it affects every trial
                    self.error = self.error or first_line(error)
                    return
                self._pending.pop(identity, None)  # it can still be ended
                self.messages.setdefault(identity, f"not written: {type(error).__name__}: {first_line(error)}")
                self.states[identity] = TrialState.FAILED
            finally:
                self._num_done += 1

        self._num_submitted += 1
        self._thread.submit(write_or_record_error)

    def _write(self, write: Callable[[], None]) -> None:
        def confirm_and_write() -> None:
            self._locks.confirm()
            write()

        self._ledger.retry(
            confirm_and_write,
            should_stop=lambda: self._stop_requested,
            log=lambda line: self._log(f"{line}; trials continue"),
        )

    def _open_trial(self, identity: str) -> None:
        trial = self._trials[identity]
        config = trial.candidate.config
        record = self._ledger.open_trial(
            identity,
            self._ledger.find(identity),
            launch=self._launch_of(trial),
            name=trial_label(trial),
            tags=self._tags(trial),
        )
        self._open[identity] = record
        unwritten = {} if record.params else config.flat()  # others differ only without effect
        self._pending[identity] = TrialUpdate(config=unwritten)
        self._last_write_s[identity] = time.monotonic()

    def _tags(self, trial: Trial) -> dict[str, str]:
        return {
            **trial.study,
            **self.study_tags(trial),
            **keep_tags(trial.keeps),
            **trial.tags,
            **config_tags(trial.candidate.config),
            **{f"{DIGEST_PREFIX}{name}": value for name, value in trial.input_digests.items()},
            **{name: str(count) for name, count in trial.sizes.items()},
            **({REGISTRATION_TAG: digest} if (digest := self._registered.get(trial.study_name)) else {}),
        }

    def _write_if_due(self, identity: str) -> None:
        if time.monotonic() - self._last_write_s[identity] >= WRITE_INTERVAL_S:
            record, update = self._open[identity], self._unwritten(identity)
            self._ledger.log(record.run_id, update)
            last_step = max([record.last_step, *(int(row["step"]) for row, _ in update.rows)])
            self._open[identity] = replace(record, last_step=last_step)
            self._pending[identity] = TrialUpdate()
            self._last_write_s[identity] = time.monotonic()

    def _unwritten(self, identity: str) -> TrialUpdate:
        """Return the pending update of a trial, without rows that were written before a resume.

        The row of its results is written in any case: it has the last step, as the last row of its curve.
        """
        update, last_step = self._pending[identity], self._open[identity].last_step
        rows = [each for each in update.rows if each.row["step"] > last_step or TRAIN_TIME_S in each.row]
        return replace(update, rows=rows)

    def _close_trial(
        self,
        identity: str,
        state: TrialState,
        message: str,
        failure: str,
        traceback: str,
        reported: Mapping[str, int],
    ) -> None:
        if identity not in self._open:  # no worker got to start it
            self._open_trial(identity)
        artifacts = self._artifacts(identity)
        damaged = self._storage.retry(
            lambda: fetch_artifacts(self._storage, reported, artifacts),
            should_stop=lambda: self._stop_requested,
            log=lambda line: self._log(f"{line}; trials continue"),
        )
        if traceback:
            artifacts.mkdir(parents=True, exist_ok=True)
            (artifacts / TRACEBACK).write_text(traceback)
        absent = [name for name in NEEDED_FILES if not (artifacts / name).is_file()]
        missing = list(dict.fromkeys([*damaged, *absent]))
        if self.states.get(identity) == TrialState.FAILED:
            state, message = TrialState.FAILED, self.messages[identity]
        elif missing and state == TrialState.FINISHED:
            state = TrialState.FAILED
            place = artifacts if self._storage.folder else f"{WORK}/{identity} of {self._storage.address}"
            message = f"{', '.join(missing)} missing in {place}: every node has to reach it, see --storage"
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
        if message and state != TrialState.PRUNED:
            self.messages[identity] = message

    def _close_interrupted(self, identity: str) -> None:
        if identity in self._open:
            state = self.states.setdefault(identity, TrialState.INTERRUPTED)
            message = self.messages.get(identity, "stopped before its last step")
            run_id, update = self._open[identity].run_id, self._unwritten(identity)
            self._ledger.close_trial(run_id, state, update=update, message=message)

    def _launch_of(self, trial: Trial) -> str:
        return self._launches[trial.study_name]

    def _close_launch(self, study: str, *, interrupted: bool, complete: bool) -> None:
        """End the run of a study's launch. A trial of several studies counts in the first."""
        ended = [state for identity, state in self.states.items() if self._trials[identity].study_name == study]
        counts = {f"num_{state}": float(ended.count(state)) for state in sorted(set(ended))}
        done = complete and all(each.is_terminal for each in ended)
        state = TrialState.INTERRUPTED if interrupted else TrialState.FINISHED if done else TrialState.FAILED
        if not interrupted:
            merge_duplicates(self._ledger, self._locks)
        self._ledger.launches.close(self._launches[study], state, counts)

    def _settle(self, identity: str) -> None:
        if self.states.get(identity) != TrialState.FINISHED:
            return
        trial = self._trials[identity]
        try:
            self._on_finished(trial)
        except Exception as error:  # whatever a store can raise; the next launch does it
            if self._ledger.is_transient(error):
                raise
            self._log(f"{trial_label(trial)}: models that are not kept could not be removed: {first_line(error)}")

    def _release(self, identity: str) -> None:
        if self.states.get(identity, TrialState.INTERRUPTED).is_terminal:
            shutil.rmtree(self._artifacts(identity).parent, ignore_errors=True)
            with suppress(OSError):  # the next launch removes it
                self._storage.delete(f"{WORK}/{identity}")
        self._locks.release(identity)

    def _artifacts(self, identity: str) -> Path:
        """Return the folder of a trial's artifacts on this machine."""
        return (self._storage.folder or self._ledger.root) / WORK / identity / ARTIFACTS
