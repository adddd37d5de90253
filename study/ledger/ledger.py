"""The ledger: what happened, kept in MLflow. The only module that knows it.

    mlruns/mlflow.db      one experiment; a launch is a run, its trials are child runs
    mlruns/artifacts/     config.json, built.json, predictions.parquet, at most one model per trial

A tracking server can have both instead; checkpoints and what else a launch needs meanwhile stay in the folder.
One run per identity, whatever happens: a trial that was interrupted and goes on keeps its run.
"""

import logging
import os
import re
import shutil
import sys
import tempfile
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.db.utils import _initialize_tables
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.rest_utils import http_request
from requests import HTTPError
from requests.exceptions import JSONDecodeError
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from revit.errors import InputError
from revit.paths import check_writable
from study.layout import ARTIFACTS, DATABASE, OPEN_LOCK, TRACEBACK
from study.ledger.locks import Locks
from study.ledger.records import RunInfo, RunningLaunch, TrialRecord, TrialUpdate, now_ms, owner_of
from study.ledger.schema import (
    CELL_PREFIX,
    EVICTED_TAG,
    EXPERIMENT,
    EXPERIMENT_KIND,
    EXPERIMENT_KIND_TAG,
    FAILURE_TAG,
    HEARTBEAT_TAG,
    HELD_LOCK_PREFIX,
    IDENTITY_TAG,
    KIND_TAG,
    LAUNCH,
    LOCK_TAG,
    MESSAGE_TAG,
    NUM_STEPS_DONE,
    PARENT_TAG,
    POINT_PREFIX,
    STATE_TAG,
    STUDY_PREFIX,
    STUDY_TAG,
    TRIAL,
    YES,
)
from study.ledger.states import TrialState
from study.system import retry as patience
from study.system.retry import retry_transient

T = TypeVar("T")

PAGE = 1000
BATCH_METRICS = 800
"""Metrics in one `log_batch`: of the 1,000 entries that MLflow takes, 100 may be params and 100 tags."""

SERVER_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # a second try is ours: it can be given up, and looks before it creates
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
UNREACHABLE = re.compile(
    "API request to .* failed with (exception|timeout exception)|.* response body was not in a valid JSON format",
    re.DOTALL,
)
"""MLflow's messages where its server is not reached, or where a proxy's page comes in the place of its answer."""
REFUSED = re.compile(r"API request to .* failed with error code (\d+)", re.DOTALL)
"""MLflow's message where a status other than 200 comes without its own reason."""
SERVER_ERROR = 500
"""The least HTTP status of a fault that is the server's."""
TRANSIENT_STATUSES = frozenset({401, 407, 408, 429})
"""HTTP statuses that somebody may mend while a study waits: expired credentials, a proxy, too many requests."""


class RestoredError(Exception):
    """A run that is written was deleted in MLflow; it is restored, and the write may be repeated."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"run {run_id} was deleted in MLflow while it was written; it is restored")


def is_transient(error: BaseException) -> bool:
    """Return whether it is worth repeating what failed: a disk or server may come back, a proxy let through again."""
    status = _http_status(error)
    if status is not None:
        return status >= SERVER_ERROR or status in TRANSIENT_STATUSES
    away = isinstance(error, MlflowException) and (
        error.error_code == "TEMPORARILY_UNAVAILABLE" or UNREACHABLE.match(str(error)) is not None
    )
    return away or isinstance(error, RestoredError | JSONDecodeError) or patience.is_transient(error)


def _http_status(error: BaseException) -> int | None:
    """Return the HTTP status that an error tells of, None where it tells of none."""
    if isinstance(error, RestException):
        return int(error.get_http_status_code())  # type: ignore[no-untyped-call]  # MLflow leaves it so
    if isinstance(error, HTTPError) and error.response is not None:
        return error.response.status_code
    refused = REFUSED.match(str(error)) if isinstance(error, MlflowException) else None
    return None if refused is None else int(refused[1])


class Ledger:
    """The MLflow store of one folder, or of a tracking server. Created, or migrated, when it is opened.

    Args:
        root: the folder, usually `mlruns/`; with a server, it is not made before a launch needs it.
        server: address of the tracking server that keeps runs and artifacts; empty where the folder does.

    Raises:
        InputError: the folder cannot be written, MLflow could not find it, or the server does not answer.
    """

    def __init__(self, root: Path, server: str = "") -> None:
        self.root = root.absolute()
        self.server = server
        self.uri = server or tracking_uri(self.root)
        if not server:
            check_writable(self.root, "store")
        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of every table it creates
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # and of errors that are raised, too
        self._artifact_uris: dict[str, str] = {}  # by run: asked for one by one they take longer than all of a report
        self._copies: Path | None = None
        os.environ.update(SERVER_SETTINGS if server else {})
        try:
            # two that create the same tables at once break them
            with nullcontext() if server else FileLock(self.root / OPEN_LOCK):
                if not server:
                    _create_database(self.root / DATABASE)
                self._client = MlflowClient(self.uri)
                self._experiment, self._made_at = self._find_or_create_experiment()
        except (MlflowException, SQLAlchemyError, OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            what = server or self.root / DATABASE
            raise InputError(f"{what} is no store that MLflow can open: {reason}") from error

    def _find_or_create_experiment(self) -> tuple[str, str]:
        """Return the experiment's id, and the address at which its artifacts were when the store was made."""
        tags = {EXPERIMENT_KIND_TAG: EXPERIMENT_KIND}
        location = None if self.server else self._artifacts_uri
        found = self._client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            with suppress(MlflowException):  # another machine created it on the server meanwhile; else it is told below
                self._client.create_experiment(EXPERIMENT, location, tags)
            found = self._client.get_experiment_by_name(EXPERIMENT)
        if found is None or found.lifecycle_stage == LifecycleStage.DELETED:
            raise ValueError(f"its experiment {EXPERIMENT} is deleted: restore it in MLflow's UI")
        return str(found.experiment_id), str(found.artifact_location).rstrip("/")

    def check_experiment(self) -> None:
        """Raise InputError where the experiment was deleted since it was opened."""
        if self._client.get_experiment(self._experiment).lifecycle_stage == LifecycleStage.DELETED:
            raise InputError(
                f"the experiment {EXPERIMENT} of {self.server or self.root} was deleted in MLflow: restore it there, "
                "and give the same command again"
            )

    def retry(
        self,
        call: Callable[[], T],
        *,
        log: Callable[[str], None],
        should_stop: Callable[[], bool] = lambda: False,
    ) -> T:
        """Return what a call on this store returns, once its disk or server is available.

        Args:
            call: may be repeated.
            tell: called with a line when waiting begins and when it is over.
            should_stop: polled every second; True abandons the retry.
        """
        name = self.server or self.root
        return retry_transient(
            call, passing=is_transient, should_stop=should_stop, log=lambda line: log(f"the store {name} {line}")
        )

    def trials(self) -> dict[str, TrialRecord]:
        """Every trial there is, by identity."""
        return {identity: _record(max(runs, key=_precedence)) for identity, runs in self._runs_by(IDENTITY_TAG).items()}

    def _runs_by(self, tag: str) -> dict[str, list[Run]]:
        """Return the runs that have a tag, by its value."""
        runs = defaultdict(list)
        for run in self._search(f"tags.{tag} != ''"):
            runs[run.data.tags[tag]].append(run)
        return runs

    def duplicates(self) -> list[str]:
        """Return identities and locks that several runs have: a request to create one was executed twice."""
        return [name for tag in (IDENTITY_TAG, LOCK_TAG) for name, runs in self._runs_by(tag).items() if len(runs) > 1]

    def merge_duplicates(self, name: str) -> None:
        """Keep, of the runs of an identity or lock, the one that got furthest. Only for whoever holds that lock."""
        for tag in (IDENTITY_TAG, LOCK_TAG):
            if runs := self._runs_of(tag, name):
                self._merge(runs)

    def _runs_of(self, tag: str, value: str) -> list[Run]:
        return list(self._search(f"tags.{tag} = '{value}'"))

    def _merge(self, runs: list[Run]) -> Run:
        """Delete all runs but the one that got furthest, which becomes of the others' studies, too; returns it."""
        kept = max(runs, key=_precedence)
        for run in runs:
            if run is not kept:
                studies = {
                    tag: value
                    for tag, value in run.data.tags.items()
                    if tag.startswith((STUDY_PREFIX, CELL_PREFIX, POINT_PREFIX))
                }
                if missing := {tag: studies[tag] for tag in studies if tag not in kept.data.tags}:
                    self.tag(kept.info.run_id, missing)
                if run.info.status == "RUNNING":
                    self._close(run.info.run_id, TrialState.INTERRUPTED)
                self._client.delete_run(run.info.run_id)
        return kept

    def _create_once(self, tag: str, value: str, name: str, tags: Mapping[str, str]) -> Run:
        """Create the run that a tag names, unless it is there.

        The answer to an earlier request may have been lost after it was executed, and a proxy may send one twice.
        """
        if not self._runs_of(tag, value):
            try:
                self._client.create_run(self._experiment, run_name=name, tags={**tags, tag: value})
            except MlflowException:
                self.check_experiment()
                raise
        return self._merge(self._runs_of(tag, value))

    def run_infos(self) -> list[RunInfo]:
        """Every run of the database, the deleted ones and those of other experiments among them."""
        experiments = [str(each.experiment_id) for each in self._client.search_experiments(ViewType.ALL)]
        return [self._entry(run) for run in self._search("", experiments, ViewType.ALL)]

    def _entry(self, run: Run) -> RunInfo:
        return RunInfo(
            run_id=run.info.run_id,
            name=run.info.run_name,
            status=run.info.status,
            deleted=run.info.lifecycle_stage == LifecycleStage.DELETED,
            is_ours=run.info.experiment_id == self._experiment,
            artifacts=_local(self._here(run.info.artifact_uri)),
            began_ms=run.info.start_time,
            metrics=run.data.metrics,
            tags=run.data.tags,
        )

    def server_version(self) -> str:
        """Version of MLflow that the server runs."""
        credentials = get_default_host_creds(self.server)  # type: ignore[no-untyped-call]  # MLflow leaves it so
        response = http_request(credentials, "/version", "GET")  # type: ignore[no-untyped-call]  # likewise
        return str(response.text)

    @property
    def artifacts(self) -> Path:
        """Folder in which the experiment keeps its files: where the store was when it was created."""
        return _local(self._client.get_experiment(self._experiment).artifact_location)

    def delete(self, run_id: str) -> None:
        """Set a run aside, as the UI's Delete does: it counts no more, and can be restored there."""
        self._client.delete_run(run_id)

    def purge(self, run_id: str) -> None:
        """Remove a deleted run from the database for good. Its files stay."""
        self._client._tracking_client.store._hard_delete_run(run_id)  # of `mlflow gc`, which would remove more

    def find(self, identity: str) -> TrialRecord | None:
        """A trial as it is now, None where it never began."""
        runs = self._runs_of(IDENTITY_TAG, identity)
        return _record(max(runs, key=_precedence)) if runs else None

    def close_stale_runs(self, locks: Locks) -> None:
        """End every run that nobody ended, as whoever ran it died: of the living, its lease cannot be taken."""
        for run in self._search("attributes.status = 'RUNNING'"):
            name = owner_of(run.info.run_id, run.data.tags)
            if locks.acquire_if_free(name):
                self._client.log_batch(run.info.run_id, tags=[RunTag(STATE_TAG, TrialState.INTERRUPTED)])
                self._close(run.info.run_id, TrialState.INTERRUPTED)
                locks.release(name)

    def open_launch(self, study: str, tags: Mapping[str, str], lock: str = "") -> str:
        """Begin a launch of a study; returns the id of its run, the parent of its trials' runs.

        Args:
            lock: name of a lock that the launch holds already, so that whoever sees the run takes it for alive.
        """
        name = f"{study} {time.strftime('%Y-%m-%d %H:%M:%S')}"
        run = self._create_once(LOCK_TAG, lock or uuid4().hex, name, {**tags, KIND_TAG: LAUNCH, STUDY_TAG: study})
        return str(run.info.run_id)

    def claim(self, launch: str, name: str) -> None:
        """Write down that a launch has claimed a name for itself."""
        self.tag(launch, {f"{HELD_LOCK_PREFIX}{name}": YES})

    def unlock(self, launch: str, name: str) -> None:
        """Take a claim back, where there is one."""
        if f"{HELD_LOCK_PREFIX}{name}" not in self._client.get_run(launch).data.tags:
            return
        try:
            self._client.delete_tag(launch, f"{HELD_LOCK_PREFIX}{name}")
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # so where a proxy sends the request twice
                raise

    def lock_holders(self, name: str) -> list[RunningLaunch]:
        """The launches that nobody has ended and that claim a name, or whose own lock it is."""
        return [each for each in self.running().values() if name in each.claims or name == each.lock]

    def running(self) -> dict[str, RunningLaunch]:
        """Return the launches that nobody has ended, by the ids of their runs."""
        runs = self._search(f"attributes.status = 'RUNNING' and tags.{KIND_TAG} = '{LAUNCH}'")
        return {run.info.run_id: self._running(run) for run in runs}

    @staticmethod
    def _running(run: Run) -> RunningLaunch:
        tags = run.data.tags
        claims = frozenset(tag.removeprefix(HELD_LOCK_PREFIX) for tag in tags if tag.startswith(HELD_LOCK_PREFIX))
        return RunningLaunch(run.info.run_id, owner_of(run.info.run_id, tags), tags.get(HEARTBEAT_TAG, ""), claims)

    def beat(self, launch: str, count: int) -> bool:
        """Tell that a launch lives; False where another has given it up."""
        self.tag(launch, {HEARTBEAT_TAG: str(count)})
        return EVICTED_TAG not in self._client.get_run(launch).data.tags

    def evict(self, launch: str) -> None:
        """End a launch whose process seems to be dead: what it claimed is free, and should it live, it is to stop."""
        self.tag(launch, {EVICTED_TAG: YES, STATE_TAG: TrialState.INTERRUPTED})
        self._close(launch, TrialState.INTERRUPTED)

    def close_launch(self, launch: str, state: TrialState, counts: Mapping[str, float]) -> None:
        """End a launch, with how many of its trials ended how."""
        now = now_ms()
        with self._writing(launch):
            self._client.log_batch(launch, metrics=[Metric(name, value, now, 0) for name, value in counts.items()])
        self._close(launch, state)

    def open_trial(
        self, identity: str, record: TrialRecord | None = None, *, launch: str, name: str, tags: Mapping[str, str]
    ) -> TrialRecord:
        """Begin a trial, or take up its run again; returns what is written of it.

        Args:
            known: what `find` found of it, since when nobody else may have begun it.
        """
        all_tags = {KIND_TAG: TRIAL, IDENTITY_TAG: identity, STATE_TAG: TrialState.RUNNING, PARENT_TAG: launch, **tags}
        if record is None:
            return _record(self._create_once(IDENTITY_TAG, identity, name, all_tags))
        if record.failure:
            self._repository(record.run_id).delete_artifacts(TRACEBACK)  # type: ignore[no-untyped-call]  # as above
        with self._writing(record.run_id):
            self._client.update_run(record.run_id, status="RUNNING")
        self.tag(record.run_id, {**all_tags, MESSAGE_TAG: "", FAILURE_TAG: ""})
        return record

    def log(self, run_id: str, update: TrialUpdate) -> None:
        """Write what is known of a trial, its tags last. Written twice, it is there once: MLflow keeps no equals."""
        metrics = [
            Metric(name, value, at_ms, int(row["step"]))
            for row, at_ms in update.rows
            for name, value in {**row, NUM_STEPS_DONE: row["step"]}.items()
            if name != "step"
        ]
        params = [Param(key, str(value)) for key, value in update.config.items()]
        tags = [RunTag(key, value) for key, value in update.tags.items()]
        with self._writing(run_id):
            while len(metrics) > BATCH_METRICS:
                self._client.log_batch(run_id, metrics[:BATCH_METRICS])
                metrics = metrics[BATCH_METRICS:]
            self._client.log_batch(run_id, metrics, params, tags)

    def close_trial(
        self,
        run_id: str,
        state: TrialState,
        *,
        update: TrialUpdate | None = None,
        message: str = "",
        failure: str = "",
        artifacts: Path | None = None,
    ) -> None:
        """End a trial's run.

        Args:
            news: what is not written yet.
            message: one line on why it did not finish.
            failure: the class of a failure.
            artifacts: a folder whose files are kept with the run.
        """
        if artifacts is not None and artifacts.is_dir():
            self._keep(run_id, artifacts)
        update = update or TrialUpdate()
        how = {STATE_TAG: state, MESSAGE_TAG: message[:5000], FAILURE_TAG: failure}
        self.log(run_id, replace(update, tags={**update.tags, **how}))
        self._close(run_id, state)

    def _keep(self, run_id: str, files: Path) -> None:
        """As the client's `log_artifacts`, which asks for the run again, and holds on to a repository for each."""
        repository = self._repository(run_id)
        repository.log_artifacts(str(files))  # type: ignore[no-untyped-call]  # MLflow leaves it so
        if self.server:
            _check_kept(files, repository)

    def _repository(self, run_id: str) -> ArtifactRepository:
        return get_artifact_repository(self._artifact_uri(run_id), tracking_uri=self.uri)

    def _artifact_uri(self, run_id: str) -> str:
        if run_id not in self._artifact_uris:
            self._artifact_uris[run_id] = self._client.get_run(run_id).info.artifact_uri
        return self._here(self._artifact_uris[run_id])

    def _here(self, uri: str) -> str:
        """Return where artifacts lie now: a store that was copied or moved still has the addresses it was made with."""
        return uri if self.server else uri.replace(f"{self._made_at}/", f"{self._artifacts_uri}/", 1)

    @property
    def _artifacts_uri(self) -> str:
        return (self.root / ARTIFACTS).as_uri()

    def relocate(self) -> None:
        """Let MLflow look for artifacts in this folder, after the store was copied or moved.

        MLflow changes no address itself, so this is written to its tables.
        """
        engine = self._client._tracking_client.store.engine
        paths = {"before": self._made_at, "now": self._artifacts_uri}
        with engine.begin() as connection:
            for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
                moved = f"{column} = :now || substr({column}, length(:before) + 1)"
                is_of_it = f"substr({column}, 1, length(:before)) = :before"
                connection.execute(text(f"UPDATE {table} SET {moved} WHERE {is_of_it}"), paths)
        self._made_at = self._artifacts_uri
        self._artifact_uris.clear()

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run."""
        with self._writing(run_id):
            self._client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def tag_study(self, record: TrialRecord, tags: Mapping[str, str]) -> None:
        """Let a trial that another study ran be found from this one, by its `study_tags`."""
        if not tags.items() <= record.tags.items():
            self.tag(record.run_id, tags)

    def curve(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """A trial's metric at every step at which it was written."""
        return sorted((point.step, point.value) for point in self._client.get_metric_history(run_id, metric))

    def attach(self, study: Mapping[str, str], paths: Iterable[Path], folder: str) -> None:
        """Keep files as artifacts of a study's newest launch, in a folder there; do nothing where there is none.

        Args:
            study: tags that the launch must have: its study's name as `study`, its recipe and scale.
        """
        alike = [f"tags.{name} = '{value}'" for name, value in study.items()]
        launches = self._client.search_runs(
            [self._experiment],
            " and ".join([f"tags.{KIND_TAG} = '{LAUNCH}'", *alike]),
            max_results=1,
            order_by=["attributes.start_time DESC"],
        )
        for launch in launches:
            repository = get_artifact_repository(self._here(launch.info.artifact_uri), tracking_uri=self.uri)
            for path in paths:
                repository.log_artifact(str(path), folder)  # type: ignore[no-untyped-call]  # MLflow leaves it so

    def artifact(self, run_id: str, name: str) -> Path:
        """Where an artifact of a trial lies on this machine's disk. Of a server's, it is a copy that goes with us."""
        if self.server:
            return self._copy(run_id, name)
        return _local(self._artifact_uri(run_id)) / name

    def _copy(self, run_id: str, name: str) -> Path:
        if self._copies is None:
            self._copies = Path(tempfile.mkdtemp(prefix="artifacts-"))
            weakref.finalize(self, shutil.rmtree, self._copies, ignore_errors=True)
        folder = self._copies / run_id
        folder.mkdir(exist_ok=True)
        if not (folder / name).exists() and name in {file.path for file in self._client.list_artifacts(run_id)}:
            self._client.download_artifacts(run_id, name, str(folder))
        return folder / name

    def address(self, run_id: str, name: str) -> str:
        """Where a reader finds an artifact of a trial: a path, or a page of the server's UI."""
        if self.server:
            return f"{self.server}/#/experiments/{self._experiment}/runs/{run_id}/artifacts/{name}"
        return str(self.artifact(run_id, name))

    def ui_path(self) -> str:
        """Path, below the UI's address, of the page that lists the runs."""
        return f"/#/experiments/{self._experiment}/runs?workflowType=machine_learning"

    def _close(self, run_id: str, state: TrialState) -> None:
        with self._writing(run_id):
            self._client.set_terminated(run_id, status=state.mlflow_status)

    @contextmanager
    def _writing(self, run_id: str) -> Iterator[None]:
        """Write a run, and restore it where it was deleted since it began.

        Raises:
            RestoredError: it was; nothing is written yet, and can be now.
            InputError: the experiment was deleted.
        """
        try:
            yield
        except MlflowException as error:
            if is_transient(error) or self._client.get_run(run_id).info.lifecycle_stage == LifecycleStage.ACTIVE:
                raise
            self.check_experiment()
            self._client.restore_run(run_id)
            raise RestoredError(run_id) from error

    def end_deleted(self, run_id: str) -> None:
        """End a run of an experiment that was deleted: whoever restores that does not find it running."""
        self._client.restore_run(run_id)
        self._client.set_terminated(run_id, TrialState.INTERRUPTED.mlflow_status)
        self._client.delete_run(run_id)

    def _search(
        self, wanted: str, experiments: list[str] | None = None, view: int = ViewType.ACTIVE_ONLY
    ) -> Iterator[Run]:
        token: str | None = None
        while True:
            page = self._client.search_runs(
                experiments or [self._experiment], wanted, view, max_results=PAGE, page_token=token
            )
            self._artifact_uris |= {run.info.run_id: run.info.artifact_uri for run in page}
            yield from page
            token = page.token
            if not token:
                return


def _create_database(path: Path) -> None:
    """Create the tables of a new store, all of them or none: MLflow cannot go on with what a killed process left."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    if path.exists():
        return
    unfinished.mkdir()
    engine = create_engine(f"sqlite:///{unfinished / path.name}")
    _initialize_tables(engine)  # type: ignore[no-untyped-call]  # MLflow leaves it so
    engine.dispose()
    (unfinished / path.name).rename(path)
    unfinished.rmdir()


def tracking_uri(root: Path) -> str:
    """The MLflow tracking URI of a store folder.

    Raises:
        InputError: MLflow would look for it elsewhere.
    """
    if set("%?") & set(str(root.absolute())):
        raise InputError(f"the store {root} cannot be there: no part of its path may hold a % or a ?")
    return f"sqlite:///{root.absolute() / DATABASE}"


def ui_command(root: Path, host: str, port: int) -> list[str]:
    """The command that serves MLflow's UI on a store.

    Raises:
        InputError: there is no store yet.
    """
    if not (root / DATABASE).exists():
        raise InputError(f"the store {root} has no mlflow.db: run a study first, or name another with --store")
    address = ["--host", host, "--port", str(port)]
    return [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", tracking_uri(root), *address]


def _local(uri: str) -> Path:
    return Path(local_file_uri_to_path(uri))  # type: ignore[no-untyped-call]  # MLflow leaves it so


def _check_kept(files: Path, repository: ArtifactRepository) -> None:
    """Raise a transient MlflowException where a server lacks a file: a proxy may have answered in its place."""
    kept = {file.path: file.file_size for file in repository.list_artifacts()}
    missing = [path.name for path in files.iterdir() if kept.get(path.name) != path.stat().st_size]
    if missing:
        raise MlflowException(f"the server did not keep {', '.join(missing)}", TEMPORARILY_UNAVAILABLE)


def _precedence(run: Run) -> tuple[bool, float, int, int]:
    """Return a key by which, of several runs of one trial or launch, the one that got furthest is the largest."""
    is_terminal = _state(run).is_terminal
    return is_terminal, run.data.metrics.get(NUM_STEPS_DONE, 0.0), len(run.data.metrics), run.info.start_time


def _state(run: Run) -> TrialState:
    return TrialState(run.data.tags.get(STATE_TAG) or TrialState.RUNNING)


def _record(run: Run) -> TrialRecord:
    tags: dict[str, Any] = run.data.tags
    return TrialRecord(
        run_id=run.info.run_id,
        identity=tags[IDENTITY_TAG],
        state=_state(run),
        last_step=int(run.data.metrics.get(NUM_STEPS_DONE, 0)),
        metrics=run.data.metrics,
        params=run.data.params,
        tags=tags,
    )
