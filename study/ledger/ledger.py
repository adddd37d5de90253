"""MLflow store of a folder or of a tracking server: what happened to each trial.

    mlruns/mlflow.db      one experiment; a launch is a run, its trials are child runs
    mlruns/artifacts/     config.json, built.json, predictions.parquet, at most one model per trial

A tracking server can have both instead; checkpoints and locks stay in the folder.
There is one run per identity: a trial that is interrupted and resumed keeps its run.
"""

import logging
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, ViewType
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from revit.errors import InputError
from revit.paths import check_writable
from search_spaces.framework.claim_cells import Value
from study.layout import ARTIFACTS, DATABASE, OPEN_LOCK, TRACEBACK
from study.ledger import transient
from study.ledger.artifacts import Artifacts
from study.ledger.database import create_database, tracking_uri
from study.ledger.launches import Launches
from study.ledger.logged_models import LoggedModels
from study.ledger.records import RunInfo, SearchTag, TrialRecord, TrialUpdate
from study.ledger.registrations import Registrations
from study.ledger.rehearsals import Rehearsals
from study.ledger.runs import Runs, precedence, run_info, run_tags, trial_record
from study.ledger.schema import (
    FAILURE_TAG,
    IDENTITY_TAG,
    KIND_TAG,
    MESSAGE_TAG,
    NUM_STEPS_DONE,
    PARENT_TAG,
    REGISTRATION_TAG,
    STATE_TAG,
    TRIAL,
)
from study.ledger.states import TrialState
from study.ledger.ui_view import SHARED_VIEW_PREFIX, curves_query
from study.system.retry import Unreliable
from study.system.storage import Storage

MAX_METRICS = 800
"""Metrics beside params and tags: MLflow writes 1,000 entries at once, of which 100 may be params and 100 tags."""
CLOCK_TOLERANCE_MS = 60_000
"""Maximum difference between the clocks of machines that share a store."""
MAX_MESSAGE_CHARS = 5000
"""Length of a tag that MLflow takes."""

SERVER_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # `retry` does it: it can be stopped, and looks before it creates a run
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


class Ledger(Unreliable):
    """MLflow store of a folder or of a tracking server. Created if necessary.

    Args:
        root: the folder, usually `mlruns/`; with a server, it is not created before a launch needs it.
        server: address of the tracking server that has runs and artifacts; empty where the folder has them.
        storage: address of the files that driver and workers share (`study.system.storage`); empty for the folder.

    Attributes:
        storage: files that driver and workers share: checkpoints, artifacts of trials that have not ended, inputs.

    Raises:
        InputError: the folder cannot be written, MLflow could not find it, or the server does not answer.
    """

    def __init__(self, root: Path, server: str = "", storage: str = "") -> None:
        self.root = root.absolute()
        self.server = server
        self._last_change_ms = 0
        self.uri = server or tracking_uri(self.root)
        if not server:
            check_writable(self.root, "store")
        configure_mlflow(server)
        artifacts = self.root / ARTIFACTS
        try:
            # two processes that create the same tables at once break them
            with nullcontext() if server else FileLock(self.root / OPEN_LOCK):
                if not server:
                    create_database(self.root / DATABASE)
                self.runs = Runs(MlflowClient(self.uri), None if server else artifacts.as_uri())
        except (MlflowException, SQLAlchemyError, OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            what = server or self.root / DATABASE
            raise InputError(f"{what} is not a store that MLflow can open: {reason}") from error
        self.artifacts = Artifacts(self.runs, artifacts, server)
        self.storage = Storage(str(self.root))
        if storage and Storage(storage).folder != self.storage.folder:
            self.storage = Storage(storage, self.runs.key)
        self.launches = Launches(self.runs, self.artifacts)
        self.rehearsals = Rehearsals(self.runs)
        self.models = LoggedModels(self.runs, self.artifacts)
        self.registrations = Registrations(self.runs, self.artifacts)

    @property
    def label(self) -> str:
        """Its name in messages."""
        return f"the store {self.server or self.root}"

    @staticmethod
    def is_transient(error: BaseException) -> bool:
        """Return whether a call that raised this error may succeed later."""
        return transient.is_transient(error)

    def trials(self) -> dict[str, TrialRecord]:
        """Return all trials by identity."""
        by_identity = self.runs.by_tag(IDENTITY_TAG)
        return {identity: trial_record(max(runs, key=precedence)) for identity, runs in by_identity.items()}

    def trials_of(self, launch: str) -> list[TrialRecord]:
        """Return the trials that a launch was the last to train."""
        return [trial_record(run) for run in self.runs.with_tag(PARENT_TAG, launch) if IDENTITY_TAG in run.data.tags]

    def changed_trials(self) -> dict[str, TrialRecord]:
        """Return the trials by identity that are open, or that ended since this was last called, or soon before."""
        since_ms = self._last_change_ms - CLOCK_TOLERANCE_MS
        has_changed = (
            *(f"attributes.status = '{state.mlflow_status}'" for state in (TrialState.NEW, TrialState.RUNNING)),
            f"attributes.end_time >= {since_ms}",
        )
        runs = [run for each in has_changed for run in self.runs.search(f"tags.{KIND_TAG} = '{TRIAL}' and {each}")]
        self._last_change_ms = max([self._last_change_ms, *(run.info.end_time or 0 for run in runs)])
        return {record.identity: record for record in map(trial_record, runs)}

    def search_trials(self, tag: str, cell: Mapping[str, Value], number: int) -> dict[str, TrialRecord]:
        """Return the trials by identity that train one point of a search.

        Args:
            tag: name of the tag of its trials.
            cell: value by scientific axis, as the study names it.
        """
        pattern = re.sub(r"[\\'%]", "_", SearchTag.prefix(cell, number))  # any character
        return {each.identity: each for each in map(trial_record, self.runs.search(f"tags.`{tag}` LIKE '{pattern}%'"))}

    def find(self, identity: str) -> TrialRecord | None:
        """Return a trial as it is now, None if it never began."""
        runs = self.runs.with_tag(IDENTITY_TAG, identity)
        return trial_record(max(runs, key=precedence)) if runs else None

    def curve(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """Return (step, value) of a metric of a trial, by step."""
        return sorted((point.step, point.value) for point in self.runs.curve(run_id, metric))

    def run_infos(self) -> list[RunInfo]:
        """Return all runs, also deleted ones, the newest first."""
        return [run_info(run) for run in self.runs.search("", view=ViewType.ALL)]

    def open_trial(
        self, identity: str, record: TrialRecord | None = None, *, launch: str, name: str, tags: Mapping[str, str]
    ) -> TrialRecord:
        """Begin a trial, or reopen its run, and return its record.

        A run that is there keeps its REGISTRATION_TAG, or its lack of one: its first results may be older.

        Args:
            record: what `find` returned, under the lock of the trial.
        """
        all_tags = {KIND_TAG: TRIAL, IDENTITY_TAG: identity, STATE_TAG: TrialState.RUNNING, PARENT_TAG: launch, **tags}
        if record is None:
            return trial_record(self.runs.create_once(IDENTITY_TAG, identity, name, all_tags))
        if record.failure:
            repository = self.artifacts.repository(record.run_id)
            repository.delete_artifacts(TRACEBACK)  # type: ignore[no-untyped-call]  # untyped in MLflow
        with self.runs.restored(record.run_id):
            self.runs.client.update_run(record.run_id, status="RUNNING")
        changed = {name: value for name, value in all_tags.items() if name != REGISTRATION_TAG}
        self.runs.tag(record.run_id, {**changed, MESSAGE_TAG: "", FAILURE_TAG: ""})
        return record

    def reserve_trial(self, identity: str, *, launch: str, name: str, tags: Mapping[str, str]) -> None:
        """Create the run of a trial that has none and is still to begin. It can be repeated."""
        all_tags = {KIND_TAG: TRIAL, IDENTITY_TAG: identity, PARENT_TAG: launch, **tags}
        run = self.runs.create_once(IDENTITY_TAG, identity, name, all_tags)
        self.runs.client.update_run(run.info.run_id, status=TrialState.NEW.mlflow_status)

    def log(self, run_id: str, update: TrialUpdate) -> None:
        """Write an update of a trial, tags last. It can be repeated: MLflow stores equal metrics once."""
        metrics = [
            Metric(name, value, at_ms, int(row["step"]))
            for row, at_ms in update.rows
            for name, value in {**row, NUM_STEPS_DONE: row["step"]}.items()
            if name != "step"
        ]
        params = [Param(key, str(value)) for key, value in update.config.items()]
        with self.runs.restored(run_id):
            self.runs.client.log_batch(run_id, metrics[:-MAX_METRICS])
            self.runs.client.log_batch(run_id, metrics[-MAX_METRICS:], params, run_tags(update.tags))

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
        """End a trial.

        Args:
            update: what is not written yet.
            message: one line on why it did not finish.
            failure: class of its failure.
            artifacts: folder whose files are kept with the run.
        """
        if artifacts is not None and artifacts.is_dir():
            self.artifacts.upload(run_id, artifacts)
        update = update or TrialUpdate()
        end = {STATE_TAG: state, MESSAGE_TAG: message[:MAX_MESSAGE_CHARS], FAILURE_TAG: failure}
        self.log(run_id, replace(update, tags={**update.tags, **end}))
        self.runs.close(run_id, state)

    def tag_study(self, record: TrialRecord, tags: Mapping[str, str]) -> None:
        """Let a trial that another study ran be found from a study, by its `study_tags`."""
        if not tags.items() <= record.tags.items():
            self.runs.tag(record.run_id, tags)

    def ui_path(self, view: tuple[str, str] | None = None) -> str:
        """Return the path, below the UI's address, of the page that lists the runs.

        Args:
            view: key and content of a view (`study.ledger.ui_view`), which is shared in the experiment.
        """
        path = f"/#/experiments/{self.runs.experiment_id}/runs?workflowType=machine_learning"
        if view is None:
            return path
        key, content = view
        self.runs.client.set_experiment_tag(self.runs.experiment_id, f"{SHARED_VIEW_PREFIX}{key}", content)
        return f"{path}&viewStateShareKey={key}"

    def run_path(self, run_id: str) -> str:
        """Return the path, below the UI's address, of the page of a run."""
        return f"/#/experiments/{self.runs.experiment_id}/runs/{run_id}"

    def curves_path(self, run_ids: Sequence[str], metric: str) -> str:
        """Return the path, below the UI's address, of the curves of runs (`study.ledger.ui_view.curves_query`)."""
        return f"{self.ui_path()}&{curves_query(run_ids, metric)}"


def configure_mlflow(server: str) -> None:
    """Keep MLflow from logging, and from retries of its own where a server is used."""
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # else it logs every table it creates
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # else it logs errors it raises, too
    os.environ.update(SERVER_SETTINGS if server else {})
