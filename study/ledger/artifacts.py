"""Files of runs, in the store's folder or on its server."""

import shutil
import tempfile
import weakref
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.file_utils import local_file_uri_to_path

from study.layout import PREDICTIONS
from study.ledger.database import relocate_artifacts
from study.ledger.runs import Runs


class Artifacts:
    """Files of the runs of a store.

    Args:
        folder_uri: URI of the folder that has them; with a server, unused.
        server: address of the tracking server that has them instead; empty for none.
    """

    def __init__(self, runs: Runs, folder_uri: str, tracking_uri: str, server: str) -> None:
        self._runs = runs
        self._folder_uri = folder_uri
        self._tracking_uri = tracking_uri
        self._server = server
        self._copies: Path | None = None

    @property
    def folder(self) -> Path:
        """Folder of all artifacts as MLflow has it: where the store was when it was created or last relocated."""
        return local_path(self._runs.client.get_experiment(self._runs.experiment_id).artifact_location)

    def path(self, run_id: str, name: str) -> Path:
        """Return the path of a file on this machine. From a server, a temporary copy that is deleted at exit."""
        if self._server:
            return self._download(run_id, name)
        return local_path(self.uri(run_id)) / name

    def address(self, run_id: str, name: str) -> str:
        """Return where a reader finds a file: its path, or its page in the server's UI."""
        if self._server:
            experiment = f"{self._server}/#/experiments/{self._runs.experiment_id}"
            return f"{experiment}/runs/{run_id}/artifacts/{name}"
        return str(self.path(run_id, name))

    def read_correct(self, run_id: str) -> npt.NDArray[np.bool_]:
        """Return which test images a finished trial classified correctly, (num_test,), in the order of its image store.

        Reads by pyarrow: pandas takes seven times as long for a file of this size, and there is one per trial.
        """
        with pq.ParquetFile(self.path(run_id, PREDICTIONS)) as file:
            columns = file.read(columns=["index", "label", "prediction"], use_threads=False)
        index, label, prediction = (column.to_numpy() for column in columns.itercolumns())
        is_correct: npt.NDArray[np.bool_] = (label == prediction)[np.argsort(index)]
        return is_correct

    def upload(self, run_id: str, files: Path) -> None:
        """Keep the files of a folder with a run.

        Reads the run's URI once, unlike the client's `log_artifacts`, which also keeps a repository for each run.
        """
        repository = self._repository(run_id)
        repository.log_artifacts(str(files))  # type: ignore[no-untyped-call]  # untyped in MLflow
        if self._server:
            _check_uploaded(files, repository)

    def upload_to(self, run_id: str, paths: Iterable[Path], folder: str) -> None:
        """Keep files with a run, in a folder there."""
        repository = self._repository(run_id)
        for path in paths:
            repository.log_artifact(str(path), folder)  # type: ignore[no-untyped-call]  # untyped in MLflow

    def delete(self, run_id: str, name: str) -> None:
        """Delete a file of a run."""
        self._repository(run_id).delete_artifacts(name)  # type: ignore[no-untyped-call]  # untyped in MLflow

    def uri(self, run_id: str) -> str:
        """Return the URI of the files of a run."""
        if run_id not in self._runs.artifact_uris:
            self._runs.artifact_uris[run_id] = self._runs.client.get_run(run_id).info.artifact_uri
        return self.current_uri(self._runs.artifact_uris[run_id])

    def current_uri(self, uri: str) -> str:
        """Return the URI where files are now: a copied or moved store still has the URIs it was created with."""
        return uri if self._server else uri.replace(f"{self._runs.artifact_location}/", f"{self._folder_uri}/", 1)

    def relocate(self) -> None:
        """Let MLflow look for artifacts in this folder, after the store was copied or moved."""
        engine = self._runs.client._tracking_client.store.engine
        relocate_artifacts(engine, self._runs.artifact_location, self._folder_uri)
        self._runs.artifact_location = self._folder_uri
        self._runs.artifact_uris.clear()

    def _repository(self, run_id: str) -> ArtifactRepository:
        return get_artifact_repository(self.uri(run_id), tracking_uri=self._tracking_uri)

    def _download(self, run_id: str, name: str) -> Path:
        if self._copies is None:
            self._copies = Path(tempfile.mkdtemp(prefix="artifacts-"))
            weakref.finalize(self, shutil.rmtree, self._copies, ignore_errors=True)
        folder = self._copies / run_id
        folder.mkdir(exist_ok=True)
        client = self._runs.client
        if not (folder / name).exists() and name in {file.path for file in client.list_artifacts(run_id)}:
            client.download_artifacts(run_id, name, str(folder))
        return folder / name


def local_path(uri: str) -> Path:
    """Return the path of a file URI."""
    return Path(local_file_uri_to_path(uri))  # type: ignore[no-untyped-call]  # untyped in MLflow


def _check_uploaded(files: Path, repository: ArtifactRepository) -> None:
    """Raise a transient MlflowException if a server lacks a file: a proxy may have answered in its place."""
    sizes = {file.path: file.file_size for file in repository.list_artifacts()}
    missing = [path.name for path in files.iterdir() if sizes.get(path.name) != path.stat().st_size]
    if missing:
        raise MlflowException(f"the server did not keep {', '.join(missing)}", TEMPORARILY_UNAVAILABLE)
