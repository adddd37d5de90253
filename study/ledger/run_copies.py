"""Copies of another store's runs, each unseen until it is complete."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from mlflow.entities import LifecycleStage, Param, Run, ViewType

from study.layout import REGISTRATION_FOLDER
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.other_store import OtherStore
from study.ledger.records import TrialRecord
from study.ledger.runs import run_info, run_tags
from study.ledger.schema import (
    HEARTBEAT_TAG,
    HELD_LOCK_PREFIX,
    IDENTITY_TAG,
    KIND_TAG,
    LAUNCH,
    LOCK_TAG,
    PARENT_TAG,
    REHEARSAL,
    SEARCH_PREFIX,
    SOURCE_RUN_TAG,
    SOURCE_STORE_TAG,
    STATE_TAG,
)
from study.ledger.states import TrialState

T = TypeVar("T")

MAX_METRICS, MAX_PARAMS, MAX_TAGS = 900, 100, 100
"""Entries that MLflow writes at once, 1,000 of all kinds."""
LAST_TAGS = (SEARCH_PREFIX, STATE_TAG, IDENTITY_TAG, KIND_TAG)
"""Tags by which others find a run; they are written last, in one request."""


class RunCopies:
    """Writes copies of another store's runs. Each call can be repeated, also after the process was killed.

    A copy gets the tags by which it is found last, in one request: before that, others see no trial, launch or
    rehearsal.
    """

    def __init__(self, other: OtherStore, ledger: Ledger) -> None:
        self._other = other
        self._ledger = ledger
        self._runs = ledger.runs

    def launches(self) -> dict[str, str]:
        """Return the ids of launches here, copied or its own, by the ids of their runs in the other store."""
        ids = {name: run.info.run_id for run in self._known(LAUNCH) for name in (run.info.run_id, original_id(run))}
        found = ((run.info.run_id, original_id(run)) for run in self._other.launches)
        return {run_id: ids[name] for run_id, name in found if name in ids}

    def new_launches(self) -> list[Run]:
        """Return the launches that are not here, or that have ended since they were copied."""
        known = {original_id(run): run for run in self._known(LAUNCH)}
        return [run for run in self._other.launches if self._is_new(run, known.get(original_id(run)))]

    @staticmethod
    def _is_new(run: Run, known: Run | None) -> bool:
        if known is None:
            return True
        is_copy = SOURCE_RUN_TAG in known.data.tags and known.info.lifecycle_stage == LifecycleStage.ACTIVE
        return is_copy and known.info.status != _end_status(run)

    def new_rehearsals(self) -> list[Run]:
        """Return the rehearsals that are not here."""
        known = {original_id(run) for run in self._known(REHEARSAL)}
        return [run for run in self._other.rehearsals if original_id(run) not in known]

    def _known(self, kind: str) -> list[Run]:
        return self._runs.search(f"tags.{KIND_TAG} = '{kind}'", view=ViewType.ALL)

    def add_trial(self, trial: TrialRecord, tags: Mapping[str, str], launches: Mapping[str, str]) -> None:
        """Add a trial with its files. Call only with its lock.

        Args:
            tags: those of the copy, beside the ones that say where it is from.
            launches: ids of the copies of launches, by the ids of their runs.
        """
        parent = {PARENT_TAG: launches[trial.launch]} if trial.launch in launches else {}
        own = {name: value for name, value in tags.items() if name != PARENT_TAG}

        def write_files(copy: str) -> None:
            with self._other.artifacts.copied(trial.run_id) as files:
                self._ledger.artifacts.upload(copy, files)

        copy = self._copy(self._other.run_of(trial), trial.identity, {**own, **parent}, write_files)
        self._runs.client.delete_tag(copy, LOCK_TAG)

    def add_launch(self, run: Run, locks: Locks) -> None:
        """Add a launch with what it registered."""
        registered = self._other.artifacts.read_texts(run.info.run_id, REGISTRATION_FOLDER)

        def write_files(copy: str) -> None:
            if registered:
                self._ledger.artifacts.write_texts(copy, REGISTRATION_FOLDER, registered)

        of_locks = (HELD_LOCK_PREFIX, HEARTBEAT_TAG)
        tags = {name: value for name, value in run.data.tags.items() if not name.startswith(of_locks)}
        with _held(locks, run_info(run).owner) as lock:
            copy = self._copy(run, lock, tags, write_files)
        if run.info.lifecycle_stage == LifecycleStage.DELETED:
            self._runs.delete(copy)

    def add_rehearsal(self, run: Run, locks: Locks) -> None:
        """Add a rehearsal."""
        with _held(locks, original_id(run)) as lock:
            copy = self._copy(run, lock, run.data.tags, lambda copy: None)
        self._runs.client.delete_tag(copy, LOCK_TAG)

    def _copy(self, run: Run, lock: str, tags: Mapping[str, str], write_files: Callable[[str], None]) -> str:
        """Write a copy of a run, and return its id.

        Args:
            lock: name of the lock that is held: a cleanup would end the run without.
            write_files: called with the id of the copy.
        """
        store = run.data.tags.get(SOURCE_STORE_TAG, self._other.address)
        tags = {**tags, SOURCE_STORE_TAG: store, SOURCE_RUN_TAG: original_id(run), LOCK_TAG: lock}
        first = {name: value for name, value in tags.items() if not name.startswith(LAST_TAGS)}
        copy = self._runs.create_once(SOURCE_RUN_TAG, original_id(run), run.info.run_name, first, run.info.start_time)
        run_id = str(copy.info.run_id)
        if STATE_TAG in copy.data.tags:  # a cleanup ended it after an earlier attempt was killed
            self._runs.client.delete_tag(run_id, STATE_TAG)
        *points, last_points = list(_chunks(self._other.runs.points(run), MAX_METRICS)) or [[]]
        *params, last_params = list(_chunks([Param(*each) for each in run.data.params.items()], MAX_PARAMS)) or [[]]
        for metrics in points:
            self._runs.client.log_batch(run_id, metrics)
        for entries in params:
            self._runs.client.log_batch(run_id, params=entries)
        self._runs.client.log_batch(run_id, last_points, last_params)
        write_files(run_id)
        self._runs.client.set_terminated(run_id, _end_status(run), run.info.end_time)
        new = run_tags({name: value for name, value in tags.items() if copy.data.tags.get(name) != value})
        for tags_chunk in _chunks(sorted(new, key=lambda tag: tag.key.startswith(LAST_TAGS)), MAX_TAGS):
            self._runs.client.log_batch(run_id, tags=tags_chunk)
        return run_id


def original_id(run: Run) -> str:
    """Return the id of a run in the first store that had it."""
    return str(run.data.tags.get(SOURCE_RUN_TAG, run.info.run_id))


@contextmanager
def _held(locks: Locks, name: str) -> Iterator[str]:
    """Hold a lock that only a cleanup may hold otherwise."""
    locks.acquire(name)
    try:
        yield name
    finally:
        locks.release(name)


def _end_status(run: Run) -> str:
    """Return the status of the copy of a run. One that runs counts as interrupted."""
    is_running = run.info.status == TrialState.RUNNING.mlflow_status
    return TrialState.INTERRUPTED.mlflow_status if is_running else str(run.info.status)


def _chunks(entries: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(entries), size):
        yield entries[start : start + size]
