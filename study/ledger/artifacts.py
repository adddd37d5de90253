"""Files of runs, in the store's folder or on its server."""

import dataclasses
import shutil
import tempfile
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.uri import append_to_uri_path
from sqlalchemy import text

from revit.errors import InputError
from revit.training.metrics import Predictions
from revit.training.prediction_file import CLASSES, LOGITS, MAX_LOGITS, read_columns
from study.layout import ARTIFACTS, PREDICTIONS
from study.ledger.runs import Runs

MAX_DOWNLOADS = 8
"""Files that are copied from a server at a time: each is some milliseconds away."""


class Artifacts:
    """Files of the runs of a store.

    A copied or moved store still has the URIs that it was created with, so those of its files are made from its folder.

    Args:
        folder: folder that has them; with a server, unused.
        server: address of the tracking server that has them instead; empty for none.
    """

    def __init__(self, runs: Runs, folder: Path, server: str) -> None:
        self._runs = runs
        self._folder = folder
        self._server = server
        self._location = runs.artifact_location if server else folder.as_uri()
        self._copies: Path | None = None
        self._copying = Lock()
        self._correct: dict[tuple[str, str], npt.NDArray[np.bool_]] = {}

    @property
    def was_moved(self) -> bool:
        """True if MLflow looks for the files elsewhere."""
        return self._runs.artifact_location != self._location

    def path(self, run_id: str, name: str) -> Path:
        """Return the path of a file on this machine. From a server, a temporary copy that is deleted at exit."""
        if self._server:
            return self._download(run_id, name)
        return self._folder / run_id / ARTIFACTS / name

    def has(self, run_id: str, name: str) -> bool:
        """Return whether a run has a file."""
        if self._server:
            return name in _sizes(self.repository(run_id))
        return self.path(run_id, name).is_file()

    def remove(self, run_id: str, name: str) -> None:
        """Remove a file of a run, if it is there."""
        if self.has(run_id, name):
            self.repository(run_id).delete_artifacts(name)  # type: ignore[no-untyped-call]  # untyped in MLflow

    def address(self, run_id: str, name: str) -> str:
        """Return where a reader finds a file: its path, or its page in the server's UI."""
        if self._server:
            experiment = f"{self._server}/#/experiments/{self._runs.experiment_id}"
            return f"{experiment}/runs/{run_id}/artifacts/{name}"
        return str(self.path(run_id, name))

    def read_correct(self, run_ids: Collection[str], split: str = "test") -> dict[str, npt.NDArray[np.bool_]]:
        """Return which images of a split trials classified correctly, by run id: (n,), in the order of its image store.

        Trials without such predictions are left out. What was read is kept: claims and effects both ask for it, and the
        file of a finished trial does not change.
        """
        unread = {run_id for run_id in run_ids if (run_id, split) not in self._correct}  # two cells can share a run
        if self._server:
            with ThreadPoolExecutor(MAX_DOWNLOADS) as threads:
                list(threads.map(lambda run_id: self._download(run_id, PREDICTIONS), unread))
        for run_id in unread:
            with suppress(OSError, KeyError, ValueError):  # absent, without a column or the split, or no Parquet file
                self._correct[run_id, split] = self.read_predictions(run_id, ("prediction",), split).is_correct
        return {run_id: self._correct[run_id, split] for run_id in run_ids if (run_id, split) in self._correct}

    def read_predictions(self, run_id: str, names: Sequence[str], split: str = "test") -> Predictions:
        """Return the predictions of a finished trial on a split, in the order of its image store.

        Args:
            names: of the columns that are read beside index and label; the others are empty.

        Raises:
            OSError: there is no such file.
            KeyError: it lacks a column, or the split.
        """
        needed = ("index", "label", *names)
        columns = read_columns(self.path(run_id, PREDICTIONS), needed, split)
        for name in needed:
            if name not in columns:
                raise KeyError(name)
        if not len(columns["index"]):
            raise KeyError(split)
        order = np.argsort(columns["index"])
        empty = {field.name: np.array([]) for field in dataclasses.fields(Predictions)}
        return Predictions(**{**empty, **{name: column[order] for name, column in columns.items()}})

    def write_texts(self, run_id: str, folder: str, texts: Mapping[str, str]) -> None:
        """Keep texts as files in a folder of a run, by name."""
        with tempfile.TemporaryDirectory(prefix="artifacts-") as files:
            for name, text in texts.items():
                (Path(files) / name).write_bytes(text.encode())
            self.repository(run_id).log_artifacts(files, folder)  # type: ignore[no-untyped-call]  # untyped in MLflow
        if self._server and self.read_texts(run_id, folder) != texts:  # a proxy may have answered in its place
            raise MlflowException(f"the server did not keep {folder}", TEMPORARILY_UNAVAILABLE)

    def read_texts(self, run_id: str, folder: str) -> dict[str, str]:
        """Return the texts of the files in a folder of a run, by name; empty if there is none."""
        with tempfile.TemporaryDirectory(prefix="artifacts-") as copies:
            place = self._folder / run_id / ARTIFACTS / folder
            if self._server:
                repository, place = self.repository(run_id), Path(copies) / folder
                for path, num_bytes in _sizes(repository, folder).items():
                    _download(repository, path, num_bytes, Path(copies))
            return {path.name: path.read_bytes().decode(errors="replace") for path in sorted(place.glob("*"))}

    def read_logits(self, run_id: str, split: str = "test") -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the true classes (n,) and logits (n, K) of a trial on a split, in the order of its image store.

        Raises:
            OSError: there is no such file.
            KeyError: it lacks the logits, or the split.
            InputError: it has the largest logits only, of more classes.
        """
        columns = read_columns(self.path(run_id, PREDICTIONS), ("index", "label", LOGITS, CLASSES), split)
        if CLASSES in columns:
            raise InputError(f"trial {run_id} keeps the {MAX_LOGITS} largest logits of more classes: all are needed")
        if LOGITS not in columns or not len(columns["index"]):
            raise KeyError(split)
        order = np.argsort(columns["index"])
        return columns["label"][order], columns[LOGITS][order].astype(np.float64)

    def sizes(self, run_id: str) -> dict[str, int]:
        """Return the bytes of each file of a run, by name; those in folders are left out."""
        if self._server:
            return _sizes(self.repository(run_id))
        return {each.name: each.stat().st_size for each in self.path(run_id, "").glob("*") if each.is_file()}

    @contextmanager
    def copied(self, run_id: str) -> Iterator[Path]:
        """Open a folder with a copy of each file of a run, except those in folders; it is deleted afterwards."""
        with tempfile.TemporaryDirectory(prefix="artifacts-") as name:
            folder = Path(name)
            if self._server:
                repository = self.repository(run_id)
                for path, num_bytes in _sizes(repository).items():
                    _download(repository, path, num_bytes, folder)
            else:
                for each in self.sizes(run_id):
                    (folder / each).symlink_to(self.path(run_id, each))
            yield folder

    def upload(self, run_id: str, files: Path) -> None:
        """Keep the files of a folder with a run."""
        repository = self.repository(run_id)
        repository.log_artifacts(str(files))  # type: ignore[no-untyped-call]  # untyped in MLflow
        if self._server:
            _check_uploaded(files, repository)

    def relocate(self) -> None:
        """Let MLflow look for the files in this folder. It has no function for it."""
        moved = {
            "uri": self._location,
            "old": self._runs.artifact_location,
            "folder": ARTIFACTS,
            "id": self._runs.experiment_id,
        }
        of_run = "UPDATE runs SET artifact_uri = :uri || '/' || run_uuid || '/' || :folder WHERE experiment_id = :id"
        of_model = "UPDATE logged_models SET artifact_location = replace(artifact_location, :old, :uri)"
        of_version = "UPDATE model_versions SET source = replace(source, :old, :uri), storage_location = NULL"
        with self._runs.client._tracking_client.store.engine.begin() as connection:
            connection.execute(text("UPDATE experiments SET artifact_location = :uri WHERE experiment_id = :id"), moved)
            connection.execute(text(of_run), moved)
            connection.execute(text(f"{of_model} WHERE experiment_id = :id"), moved)
            connection.execute(text(of_version), moved)

    def repository(self, run_id: str) -> ArtifactRepository:
        """Return what reads and writes the files of a run."""
        uri = append_to_uri_path(self._location, run_id, ARTIFACTS)  # type: ignore[no-untyped-call]  # untyped in MLflow
        return get_artifact_repository(uri, tracking_uri=self._runs.client.tracking_uri)

    def _download(self, run_id: str, name: str) -> Path:
        with self._copying:  # several threads read a report's files
            if self._copies is None:
                self._copies = Path(tempfile.mkdtemp(prefix="artifacts-"))
                weakref.finalize(self, shutil.rmtree, self._copies, ignore_errors=True)
        folder = self._copies / run_id
        folder.mkdir(exist_ok=True)
        repository = self.repository(run_id)  # asks the server for the files alone, not for the run
        if not (folder / name).exists() and name in (sizes := _sizes(repository)):
            _download(repository, name, sizes[name], folder)
        return folder / name


def _sizes(repository: ArtifactRepository, folder: str | None = None) -> dict[str, int]:
    """Return the bytes of each file of a server's run, or in a folder of it, by path. Folders are left out."""
    found = repository.list_artifacts(folder)
    return {each.path: each.file_size or 0 for each in found if not each.is_dir}  # MLflow sends no size of 0


def _download(repository: ArtifactRepository, path: str, num_bytes: int, folder: Path) -> None:
    """Copy a file of a server to a folder. Raises MlflowException if something else came in its place."""
    copy = Path(repository.download_artifacts(path, str(folder)))  # type: ignore[no-untyped-call]  # untyped in MLflow
    if copy.stat().st_size != num_bytes:  # a proxy may have answered
        copy.unlink()
        raise MlflowException(f"the server did not send {path}", TEMPORARILY_UNAVAILABLE)


def _check_uploaded(files: Path, repository: ArtifactRepository) -> None:
    """Raise a transient MlflowException if a server lacks a file: a proxy may have answered in its place."""
    sizes = _sizes(repository)
    missing = [path.name for path in files.iterdir() if sizes.get(path.name) != path.stat().st_size]
    if missing:
        raise MlflowException(f"the server did not keep {', '.join(missing)}", TEMPORARILY_UNAVAILABLE)
