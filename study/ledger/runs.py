"""MLflow runs of one experiment: searched, created once, merged, restored."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Metric, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.utils import get_results_from_paginated_fn

from revit.errors import InputError
from study.ledger.bulk_reading import OpenSession, read_points, read_runs, read_values
from study.ledger.records import RunInfo, TrialRecord
from study.ledger.schema import (
    CELL_PREFIX,
    EXPERIMENT,
    EXPERIMENT_KIND,
    EXPERIMENT_KIND_TAG,
    IDENTITY_TAG,
    KEEP_PREFIX,
    LOCK_TAG,
    NUM_STEPS_DONE,
    POINT_PREFIX,
    SEARCH_PREFIX,
    STATE_TAG,
    STUDY_PREFIX,
)
from study.ledger.states import TrialState
from study.ledger.transient import RunRestoredError, is_transient

PAGE_SIZE = 1000
"""Runs in one answer to a search."""
MAX_NAME_CHARS = 250
"""Length of a run's name that every database of MLflow takes."""


class Runs:
    """Runs of the experiment of a store, which is created if necessary.

    Args:
        artifact_location: URI of the folder for artifacts of a new experiment; None leaves it to the server.

    Attributes:
        artifact_location: URI of the folder for artifacts that MLflow has.
        key: name of the store among others; the same wherever it is moved to, or by whichever path it is reached.

    Raises:
        ValueError: the experiment is deleted.
    """

    def __init__(self, client: MlflowClient, artifact_location: str | None) -> None:
        self.client = client
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            with suppress(MlflowException):  # another machine may have created it; other errors show below
                client.create_experiment(EXPERIMENT, artifact_location, {EXPERIMENT_KIND_TAG: EXPERIMENT_KIND})
            found = client.get_experiment_by_name(EXPERIMENT)
        if found is None or found.lifecycle_stage == LifecycleStage.DELETED:
            raise ValueError(f"its experiment {EXPERIMENT} is deleted: restore it in MLflow's UI")
        self.experiment_id = str(found.experiment_id)
        self.artifact_location = str(found.artifact_location).rstrip("/")
        self.key = f"{found.creation_time}-{self.experiment_id}"

    def check_experiment(self) -> None:
        """Raise InputError if the experiment was deleted since it was opened."""
        if self.client.get_experiment(self.experiment_id).lifecycle_stage == LifecycleStage.DELETED:
            advice = "restore it there, and give the same command again"
            raise InputError(f"the experiment {EXPERIMENT} was deleted in MLflow: {advice}")

    def search(self, condition: str, *, view: int = ViewType.ACTIVE_ONLY) -> list[Run]:
        """Return the runs that match a condition in MLflow's search syntax, the newest first."""
        ids = [self.experiment_id]
        runs: list[Run] = get_results_from_paginated_fn(  # type: ignore[no-untyped-call]  # untyped in MLflow
            lambda size, token: self.client.search_runs(ids, condition, view, size, page_token=token), PAGE_SIZE
        )
        return runs

    def with_tag(self, tag: str, value: str) -> list[Run]:
        """Return the runs with a value of a tag, the newest first."""
        if self._open_session is None:
            return self.search(f"tags.`{tag}` = '{value}'")
        return read_runs(self._open_session, self.experiment_id, tag, value)

    def by_tag(self, tag: str) -> dict[str, list[Run]]:
        """Return the runs that have a tag, by its value. All at once: it is asked about every trial of a store."""
        if self._open_session is None:
            found = self.search(f"tags.{tag} != ''")
        else:
            found = read_runs(self._open_session, self.experiment_id, tag)
        runs = defaultdict(list)
        for run in found:
            runs[run.data.tags[tag]].append(run)
        return runs

    def points(self, run: Run) -> list[Metric]:
        """Return every value of every metric of a run, with its step."""
        if self._open_session is None:
            return [each for name in run.data.metrics for each in self.curve(run.info.run_id, name)]
        return read_points(self._open_session, run.info.run_id)

    def curve(self, run_id: str, metric: str) -> list[Metric]:
        """Return every value of a metric of a run, with its step."""
        if self._open_session is None:
            return list(self.client.get_metric_history(run_id, metric))
        return read_points(self._open_session, run_id, metric)

    def _values_of(self, tag: str) -> list[str]:
        """Return the value of a tag in each run that has it."""
        if self._open_session is None:
            return [run.data.tags[tag] for run in self.search(f"tags.{tag} != ''")]
        return read_values(self._open_session, self.experiment_id, tag)

    @property
    def _open_session(self) -> OpenSession | None:
        """The opener of sessions of the store's database; None with a server."""
        return getattr(self.client._tracking_client.store, "ManagedSessionMaker", None)

    def create_once(self, tag: str, value: str, name: str, tags: Mapping[str, str], start_ms: int | None = None) -> Run:
        """Return the run with a value of a tag, created if necessary.

        The answer to an earlier request may be lost after the server executed it, and a proxy may send a request twice.

        Args:
            start_ms: when it began, in milliseconds since 1970; None for now.
        """
        if found := self.with_tag(tag, value):
            return self._merge(found)
        try:
            all_tags = {key: storable(text) for key, text in {**tags, tag: value}.items()}
            run = self.client.create_run(
                self.experiment_id, start_ms, all_tags, run_name=storable(name[:MAX_NAME_CHARS])
            )
        except MlflowException:
            self.check_experiment()
            raise
        return run if self._open_session is not None else self._merge(self.with_tag(tag, value))

    def duplicates(self) -> list[str]:
        """Return the identities and locks that several runs have: a request to create one was executed twice."""
        counts = [Counter(self._values_of(tag)) for tag in (IDENTITY_TAG, LOCK_TAG)]
        return [name for each in counts for name, count in each.items() if count > 1]

    def merge_duplicates(self, name: str) -> None:
        """Keep, of the runs of an identity or lock, the one that got furthest. Call only with that lock."""
        for tag in (IDENTITY_TAG, LOCK_TAG):
            if runs := self.with_tag(tag, name):
                self._merge(runs)

    def _merge(self, runs: list[Run]) -> Run:
        """Delete all runs but the one that got furthest, which gets the others' study tags, and return it."""
        kept = max(runs, key=precedence)
        for run in runs:
            if run is not kept:
                self.tag(kept.info.run_id, {**_study_tags(run), **_study_tags(kept)})
                if run.info.status == "RUNNING":
                    self.close(run.info.run_id, TrialState.INTERRUPTED)
                self.delete(run.info.run_id)
        return kept

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run."""
        with self.restored(run_id):
            self.client.log_batch(run_id, tags=run_tags(tags))

    def close(self, run_id: str, state: TrialState) -> None:
        """End a run with the MLflow status of a state. Does not write the state's tag."""
        with self.restored(run_id):
            self.client.set_terminated(run_id, status=state.mlflow_status)

    def interrupt(self, run_id: str) -> None:
        """End a run whose process seems dead."""
        self.tag(run_id, {STATE_TAG: TrialState.INTERRUPTED})
        self.close(run_id, TrialState.INTERRUPTED)

    def delete(self, run_id: str) -> None:
        """Delete a run as MLflow's UI does: it can be restored there."""
        self.client.delete_run(run_id)

    def purge(self, run_id: str) -> None:
        """Remove a deleted run from the database for good. Its files stay."""
        self.client._tracking_client.store._hard_delete_run(run_id)  # of `mlflow gc`, which would remove more

    @contextmanager
    def restored(self, run_id: str) -> Iterator[None]:
        """Restore a run if writing to it fails because it was deleted.

        Raises:
            RunRestoredError: it was deleted. Nothing is written; the write can be repeated.
            InputError: the experiment was deleted.
        """
        try:
            yield
        except MlflowException as error:
            if is_transient(error) or self.client.get_run(run_id).info.lifecycle_stage == LifecycleStage.ACTIVE:
                raise
            self.check_experiment()
            self.client.restore_run(run_id)
            message = f"run {run_id} was deleted in MLflow while it was written; it is restored"
            raise RunRestoredError(message) from error


def run_tags(tags: Mapping[str, str]) -> list[RunTag]:
    """Return tags as MLflow writes them."""
    return [RunTag(key, storable(value)) for key, value in tags.items()]


def storable(text: str) -> str:
    """Return a text without what a database may refuse: NUL (PostgreSQL), and halves of surrogate pairs (all)."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def state_of(run: Run) -> TrialState:
    """Return the state of a trial's run, RUNNING if it was never closed.

    Raises:
        InputError: somebody changed its tag to another word.
    """
    state = run.data.tags.get(STATE_TAG) or TrialState.RUNNING
    try:
        return TrialState(state)
    except ValueError as error:
        known = ", ".join(TrialState)
        raise InputError(f"run {run.info.run_id}: tag {STATE_TAG} = {state!r}: must be one of {known}") from error


def run_info(run: Run) -> RunInfo:
    """Return the plain values of a run."""
    return RunInfo(
        run_id=run.info.run_id,
        status=run.info.status,
        deleted=run.info.lifecycle_stage == LifecycleStage.DELETED,
        metrics=run.data.metrics,
        tags=run.data.tags,
        start_ms=run.info.start_time,
    )


def trial_record(run: Run) -> TrialRecord:
    """Return the plain values of a trial's run."""
    return TrialRecord(
        run_id=run.info.run_id,
        identity=run.data.tags[IDENTITY_TAG],
        state=state_of(run),
        last_step=int(run.data.metrics.get(NUM_STEPS_DONE, 0)),
        metrics=run.data.metrics,
        params=run.data.params,
        tags=run.data.tags,
        start_s=(run.info.start_time or 0) / 1000,
        end_s=(run.info.end_time or 0) / 1000,
    )


def precedence(run: Run) -> tuple[bool, float, int, int]:
    """Return a sort key: of several runs of one trial or launch, the largest is of the run that got furthest."""
    num_steps_done = run.data.metrics.get(NUM_STEPS_DONE, 0.0)
    return state_of(run).is_terminal, num_steps_done, len(run.data.metrics), run.info.start_time


def _study_tags(run: Run) -> dict[str, str]:
    prefixes = (STUDY_PREFIX, CELL_PREFIX, POINT_PREFIX, KEEP_PREFIX, SEARCH_PREFIX)
    return {tag: value for tag, value in run.data.tags.items() if tag.startswith(prefixes)}
