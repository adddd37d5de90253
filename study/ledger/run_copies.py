"""Copies of another store's runs, each unseen until it is complete."""

from collections.abc import Iterator, Mapping, Sequence
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

MAX_METRICS, MAX_PARAMS, MAX_TAGS = 1000, 100, 100
"""Entries that MLflow writes at once."""
LAST_TAGS = (SEARCH_PREFIX, IDENTITY_TAG, KIND_TAG)
"""Tags by which a run is found; they are written last."""


class RunCopies:
    """Writes copies of another store's runs. Each call can be repeated, also after the process was killed.

    A copy gets its tags last, in one request. Before that, it is no trial, launch or rehearsal to anybody.
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

        A run that it had here is deleted, as in MLflow's UI; its studies become those of the copy.

        Args:
            tags: those of the copy, beside the ones that say where it is from.
            launches: ids of the copies of launches, by the ids of their runs.
        """
        run = self._other.run_of(trial)
        parent = {PARENT_TAG: launches[trial.launch]} if trial.launch in launches else {}
        copy = self._create(run, trial.identity)
        with self._other.artifacts.copied(trial.run_id) as files:
            self._ledger.artifacts.upload(copy, files)
        self._finish(copy, run, {**{name: tags[name] for name in tags if name != PARENT_TAG}, **parent})
        self._runs.client.delete_tag(copy, LOCK_TAG)
        self._runs.merge_duplicates(trial.identity)

    def add_launch(self, run: Run, locks: Locks) -> None:
        """Add a launch with what it registered."""
        with _held(locks, run_info(run).owner) as lock:
            self._add_launch(run, lock)

    def _add_launch(self, run: Run, lock: str) -> None:
        copy = self._create(run, lock)
        if registered := self._other.artifacts.read_texts(run.info.run_id, REGISTRATION_FOLDER):
            self._ledger.artifacts.write_texts(copy, REGISTRATION_FOLDER, registered)
        self._finish(copy, run, {LOCK_TAG: lock, **_own_tags(run)})
        if run.info.lifecycle_stage == LifecycleStage.DELETED:
            self._runs.delete(copy)

    def add_rehearsal(self, run: Run, locks: Locks) -> None:
        """Add a rehearsal."""
        with _held(locks, original_id(run)) as lock:
            copy = self._create(run, lock)
            self._finish(copy, run, run.data.tags)
            self._runs.client.delete_tag(copy, LOCK_TAG)

    def _create(self, run: Run, lock: str) -> str:
        """Create the copy of a run with all of its measurements, and return its id."""
        own = {LOCK_TAG: lock}  # a cleanup would end it without
        copy = self._runs.create_once(SOURCE_RUN_TAG, original_id(run), run.info.run_name, own, run.info.start_time)
        if STATE_TAG in copy.data.tags:  # of an earlier attempt that was killed
            self._runs.client.delete_tag(copy.info.run_id, STATE_TAG)
        for points in _chunks(self._other.runs.points(run), MAX_METRICS):
            self._runs.client.log_batch(copy.info.run_id, metrics=points)
        for params in _chunks([Param(*each) for each in run.data.params.items()], MAX_PARAMS):
            self._runs.client.log_batch(copy.info.run_id, params=params)
        return str(copy.info.run_id)

    def _finish(self, copy: str, run: Run, tags: Mapping[str, str]) -> None:
        """End a copy as its run ended, then give it its tags."""
        self._runs.client.set_terminated(copy, _end_status(run), run.info.end_time)
        source = {SOURCE_STORE_TAG: run.data.tags.get(SOURCE_STORE_TAG, self._other.address)}
        source[SOURCE_RUN_TAG] = original_id(run)
        entries = sorted(run_tags({**tags, **source}), key=lambda tag: tag.key.startswith(LAST_TAGS))
        for chunk in (*_chunks(entries[:-MAX_TAGS], MAX_TAGS), entries[-MAX_TAGS:]):
            self._runs.client.log_batch(copy, tags=chunk)


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


def _own_tags(run: Run) -> dict[str, str]:
    """Return the tags of a launch but those of its locks."""
    of_locks = (HELD_LOCK_PREFIX, HEARTBEAT_TAG)
    return {name: value for name, value in run.data.tags.items() if not name.startswith(of_locks)}


def _chunks(entries: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(entries), size):
        yield entries[start : start + size]
