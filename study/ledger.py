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
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException, RestException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.db.utils import _get_latest_schema_revision
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.rest_utils import http_request
from requests import HTTPError
from sqlalchemy.exc import SQLAlchemyError

from revit.errors import InputError
from revit.folders import check_writable
from study import patience
from study.leases import Leases
from study.records import (
    PARENT_TAG,
    STATUS,
    STEPS_DONE,
    Entry,
    News,
    Outcome,
    TrialRecord,
    now_ms,
    study_tags,
)

EXPERIMENT = "vit-fine-tuning"
PAGE = 1000
BATCH_METRICS = 800
"""Metrics in one `log_batch`: of the 1,000 entries that MLflow takes, 100 may be params and 100 tags."""

CLAIM_TAG = "claim."
"""Prefix of the tags of a launch that say what it has claimed for itself."""
BEAT_TAG, GIVEN_UP_TAG = "beat", "given_up"
"""Tags of a launch: how often it told that it lives; that another launch took it for dead."""

SERVER_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # a second try is ours: it can be given up, and looks before it creates
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
AWAY = re.compile(r"API request to .* failed with (exception|timeout exception|error code 5)", re.DOTALL)
"""What MLflow says where its server is not reached, or something before the server answers in its place."""
SERVER_ERROR = 500
"""The least HTTP status of a fault that is the server's."""


def may_pass(error: BaseException) -> bool:
    """Whether what kept the ledger from being written may pass: a disk, or a server that is not reached or is ill."""
    if isinstance(error, RestException):
        return int(error.get_http_status_code()) >= SERVER_ERROR  # type: ignore[no-untyped-call]  # MLflow leaves it so
    if isinstance(error, HTTPError):
        return error.response is not None and error.response.status_code >= SERVER_ERROR
    away = isinstance(error, MlflowException) and (
        error.error_code == "TEMPORARILY_UNAVAILABLE" or AWAY.match(str(error)) is not None
    )
    return away or patience.may_pass(error)


class Ledger:
    """The MLflow store of one folder, or of a tracking server. Created, or migrated, when it is opened.

    Args:
        root: the folder, usually `mlruns/`.
        server: address of the tracking server that keeps runs and artifacts; empty where the folder does.

    Raises:
        InputError: the folder cannot be written, MLflow could not find it, or the server does not answer.
    """

    def __init__(self, root: Path, server: str = "") -> None:
        self.root = root.absolute()
        self.server = server
        self.uri = server or tracking_uri(self.root)
        check_writable(self.root, "--store")
        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of every table it creates
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # and of errors that are raised, too
        self._artifact_uris: dict[str, str] = {}  # by run: asked for one by one they take longer than all of a report
        self._copies: Path | None = None
        os.environ.update(SERVER_SETTINGS if server else {})
        try:
            with FileLock(self.root / "open.lock"):  # two that create the same tables at once break them
                self._client = MlflowClient(self.uri)
                self._experiment = self._find_or_create_experiment()
        except (MlflowException, SQLAlchemyError, OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            what = server or self.root / "mlflow.db"
            raise InputError(f"{what} is no store that MLflow can open: {reason}") from error

    def _find_or_create_experiment(self) -> str:
        tags = {"mlflow.experimentKind": "custom_model_development"}
        location = None if self.server else (self.root / "artifacts").as_uri()
        found = self._client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            with suppress(MlflowException):  # another machine created it on the server meanwhile; else it is told below
                self._client.create_experiment(EXPERIMENT, location, tags)
            found = self._client.get_experiment_by_name(EXPERIMENT)
        if found is None or found.lifecycle_stage == LifecycleStage.DELETED:
            raise ValueError(f"its experiment {EXPERIMENT} is deleted: restore it in MLflow's UI")
        return str(found.experiment_id)

    def trials(self) -> dict[str, TrialRecord]:
        """Every trial there is, by identity."""
        records = (_record(run) for run in self._search("tags.identity != ''"))
        return {record.identity: record for record in records}

    def entries(self) -> list[Entry]:
        """Every run of the database, the deleted ones and those of other experiments among them."""
        experiments = [str(each.experiment_id) for each in self._client.search_experiments(ViewType.ALL)]
        return [self._entry(run) for run in self._search("", experiments, ViewType.ALL)]

    def _entry(self, run: Run) -> Entry:
        return Entry(
            run_id=run.info.run_id,
            name=run.info.run_name,
            status=run.info.status,
            deleted=run.info.lifecycle_stage == LifecycleStage.DELETED,
            is_ours=run.info.experiment_id == self._experiment,
            artifacts=_local(run.info.artifact_uri),
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
        return next((_record(run) for run in self._search(f"tags.identity = '{identity}'")), None)

    def close_abandoned(self, leases: Leases) -> None:
        """End every run that nobody ended, as whoever ran it died: of the living, its lease cannot be taken."""
        for run in self._search("attributes.status = 'RUNNING'"):
            name = run.data.tags.get("identity", run.info.run_id)
            if leases.take_over(name):
                self._client.log_batch(run.info.run_id, tags=[RunTag("outcome", "interrupted")])
                self._close(run.info.run_id, "interrupted")
                leases.release(name)

    def open_launch(self, study: str, tags: Mapping[str, str]) -> str:
        """Begin a launch of a study; returns the id of its run, the parent of its trials' runs."""
        name = f"{study} {time.strftime('%Y-%m-%d %H:%M:%S')}"
        run = self._client.create_run(self._experiment, run_name=name, tags={**tags, "kind": "launch", "study": study})
        return str(run.info.run_id)

    def claim(self, launch: str, name: str) -> None:
        """Write down that a launch has claimed a name for itself."""
        self.tag(launch, {f"{CLAIM_TAG}{name}": "yes"})

    def unclaim(self, launch: str, name: str) -> None:
        """Take a claim back, where there is one."""
        if f"{CLAIM_TAG}{name}" in self._client.get_run(launch).data.tags:
            self._client.delete_tag(launch, f"{CLAIM_TAG}{name}")

    def claimants(self, name: str) -> list[str]:
        """The launches that nobody has ended and that claim a name, or whose own id it is."""
        claim = f"{CLAIM_TAG}{name}"
        return [
            run.info.run_id for run in self._running_launches() if claim in run.data.tags or run.info.run_id == name
        ]

    def beats(self) -> dict[str, str]:
        """What the launches that nobody has ended last told of themselves (`beat`), by their ids."""
        return {run.info.run_id: run.data.tags.get(BEAT_TAG, "") for run in self._running_launches()}

    def _running_launches(self) -> Iterator[Run]:
        return self._search("attributes.status = 'RUNNING' and tags.kind = 'launch'")

    def beat(self, launch: str, count: int) -> bool:
        """Tell that a launch lives; False where another has given it up."""
        self.tag(launch, {BEAT_TAG: str(count)})
        return GIVEN_UP_TAG not in self._client.get_run(launch).data.tags

    def give_up(self, launch: str) -> None:
        """End a launch whose process seems to be dead: what it claimed is free, and should it live, it is to stop."""
        self.tag(launch, {GIVEN_UP_TAG: "yes", "outcome": "interrupted"})
        self._close(launch, "interrupted")

    def close_launch(self, launch: str, outcome: Outcome, counts: Mapping[str, float]) -> None:
        """End a launch, with how many of its trials ended how."""
        now = now_ms()
        self._client.log_batch(launch, metrics=[Metric(name, value, now, 0) for name, value in counts.items()])
        self._close(launch, outcome)

    def open_trial(
        self, identity: str, known: TrialRecord | None = None, *, launch: str, name: str, tags: Mapping[str, str]
    ) -> TrialRecord:
        """Begin a trial, or take up its run again; returns what is written of it.

        Args:
            known: what `find` found of it, since when nobody else may have begun it.
        """
        all_tags = {"kind": "trial", "identity": identity, PARENT_TAG: launch, **tags}
        if known is None:
            run = self._client.create_run(self._experiment, run_name=name, tags=all_tags)
            self._artifact_uris[run.info.run_id] = run.info.artifact_uri
            return _record(run)
        self._client.update_run(known.run_id, status="RUNNING")
        self.tag(known.run_id, {**all_tags, "outcome": "", "message": "", "failure": ""})
        return known

    def log(self, run_id: str, news: News) -> None:
        """Write what is known of a trial, its tags last. Written twice, it is there once: MLflow keeps no equals."""
        metrics = [
            Metric(name, value, at_ms, int(row["step"]))
            for row, at_ms in news.rows
            for name, value in {**row, STEPS_DONE: row["step"]}.items()
            if name != "step"
        ]
        while len(metrics) > BATCH_METRICS:
            self._client.log_batch(run_id, metrics[:BATCH_METRICS])
            metrics = metrics[BATCH_METRICS:]
        params = [Param(key, str(value)) for key, value in news.config.items()]
        tags = [RunTag(key, value) for key, value in news.tags.items()]
        self._client.log_batch(run_id, metrics, params, tags)

    def close_trial(
        self,
        run_id: str,
        outcome: Outcome,
        *,
        news: News | None = None,
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
        news = news or News()
        how = {"outcome": outcome, "message": message[:5000], "failure": failure}
        self.log(run_id, replace(news, tags={**news.tags, **how}))
        self._close(run_id, outcome)

    def _keep(self, run_id: str, files: Path) -> None:
        """As the client's `log_artifacts`, which asks for the run again, and holds on to a repository for each."""
        repository = get_artifact_repository(self._artifact_uri(run_id), tracking_uri=self.uri)
        repository.log_artifacts(str(files))  # type: ignore[no-untyped-call]  # MLflow leaves it so

    def _artifact_uri(self, run_id: str) -> str:
        if run_id not in self._artifact_uris:
            self._artifact_uris[run_id] = self._client.get_run(run_id).info.artifact_uri
        return self._artifact_uris[run_id]

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run."""
        self._client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def tag_study(self, known: TrialRecord, study: str, cell: str) -> None:
        """Let a trial that another study ran be found from this one, in its own cell."""
        tags = study_tags(study, cell)
        if not tags.items() <= known.tags.items():
            self.tag(known.run_id, tags)

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
            " and ".join(["tags.kind = 'launch'", *alike]),
            max_results=1,
            order_by=["attributes.start_time DESC"],
        )
        for launch in launches:
            for path in paths:
                self._client.log_artifact(launch.info.run_id, str(path), folder)

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

    def _close(self, run_id: str, outcome: Outcome) -> None:
        self._client.set_terminated(run_id, status=STATUS[outcome])

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


def latest_schema() -> str:
    """The version of the tables that this MLflow works on; it opens no database of another."""
    version: str = _get_latest_schema_revision()  # type: ignore[no-untyped-call]  # MLflow leaves it so
    return version


def tracking_uri(root: Path) -> str:
    """The MLflow tracking URI of a store folder.

    Raises:
        InputError: MLflow would look for it elsewhere.
    """
    if set("%?") & set(str(root.absolute())):
        raise InputError(f"the store {root} cannot be there: no part of its path may hold a % or a ?")
    return f"sqlite:///{root.absolute() / 'mlflow.db'}"


def ui_command(root: Path, host: str, port: int) -> list[str]:
    """The command that serves MLflow's UI on a store.

    Raises:
        InputError: there is no store yet.
    """
    if not (root / "mlflow.db").exists():
        raise InputError(f"the store {root} has no mlflow.db: run a study first, or name another with --store")
    address = ["--host", host, "--port", str(port)]
    return [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", tracking_uri(root), *address]


def _local(uri: str) -> Path:
    return Path(local_file_uri_to_path(uri))  # type: ignore[no-untyped-call]  # MLflow leaves it so


def _record(run: Run) -> TrialRecord:
    tags: dict[str, Any] = run.data.tags
    return TrialRecord(
        run_id=run.info.run_id,
        identity=tags["identity"],
        outcome=tags.get("outcome") or None,
        last_step=int(run.data.metrics.get(STEPS_DONE, 0)),
        metrics=run.data.metrics,
        params=run.data.params,
        tags=tags,
    )
