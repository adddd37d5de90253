"""Work folder of a trial on the node that trains it: checkpoints, artifacts."""

import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import ray
from filelock import FileLock

from study.execution.failures import NodeUnfitError
from study.execution.node_inputs import STORAGE_TIMEOUT_S, node_cache
from study.execution.trial_task import TrialTask
from study.layout import ARTIFACTS, CHECKPOINT, WORK
from study.ledger.locks import Locks
from study.system.retry import or_timeout, retry_transient
from study.system.storage import Storage

if TYPE_CHECKING:
    from revit.training.train_state import TrainState
    from revit.training.worker_group import WorkerGroup

T = TypeVar("T")

WORKER_EXIT_TIMEOUT_S = 60.0
"""Maximum time to wait for a killed study's worker to exit."""
STOP_POLL_S = 1.0
"""Time between two looks for the stop file in an object store."""
OTHER_FOLDER = (
    "this node has another folder there than the driver; "
    "it must be one that all nodes share, or an address such as s3://BUCKET"
)
"""Reason that a node cannot use a storage that is a folder."""
NUM_CHECKPOINTS = 2
"""Checkpoints that are kept: the newest may be damaged."""


class WorkFolder:
    """Work folder in the storage itself: every node reaches it by its path, and the driver does, too.

    Args:
        name: of the folder for the artifacts, in the storage.
        should_stop: returns whether the study stops.
        is_writer: this worker writes files; of a group of workers, one does.

    Attributes:
        artifact_sizes: bytes of the artifacts that the driver can find, by their names in the storage.
    """

    def __init__(self, path: Path, name: str, should_stop: Callable[[], bool], *, is_writer: bool) -> None:
        self.path = path
        self.artifacts = path / ARTIFACTS
        self.checkpoint = path / CHECKPOINT
        self.should_stop = should_stop
        self.artifact_sizes: dict[str, int] = {}
        self._name = name
        self._is_writer = is_writer

    def remove_artifacts(self) -> None:
        """Begin with no artifacts: an earlier attempt may have failed."""
        if self._is_writer:
            shutil.rmtree(self.artifacts, ignore_errors=True)
            self.artifacts.mkdir(parents=True)
            self.artifact_sizes = {}

    def find_checkpoint(self, group: "WorkerGroup") -> Path | None:  # noqa: ARG002  # all see the same files
        """Return the newest checkpoint that is intact, the same for all workers of the trial; None if there is none."""
        return self._newest_here()

    def _newest_here(self) -> Path | None:
        from revit.training.train_state import latest_valid_checkpoint

        return latest_valid_checkpoint(self.checkpoint)

    def save_checkpoint(self, state: "TrainState") -> bool:
        """Save a checkpoint, and return whether another node could resume from it by now."""
        self._write(lambda: state.save(self.checkpoint))
        return True

    def write_artifact(self, name: str, writer: Callable[[Path, Any], None], content: Any) -> None:
        """Write a file of the trial, so that the driver finds it."""
        if not self._is_writer:
            return
        path = self.artifacts / name
        self._write(lambda: writer(path, content))
        self.artifact_sizes[f"{self._name}/{name}"] = path.stat().st_size

    def _write(self, call: Callable[[], None]) -> None:
        """Write a file, again and again where the disk is full."""
        retry_transient(call, should_stop=self.should_stop)


class ScratchFolder(WorkFolder):
    """Work folder on a disk of this node, of one attempt at the trial. What others need of it is uploaded.

    Another worker may train the same trial, where this node was taken for dead: no file of one replaces a file of the
    other. Checkpoints have their step in their name, artifacts lie in a folder of their attempt.

    Args:
        work: name of the trial's folder in the storage.
    """

    def __init__(
        self, path: Path, storage: Storage, work: str, should_stop: Callable[[], bool], *, is_writer: bool
    ) -> None:
        super().__init__(path, f"{work}/{ARTIFACTS}-{path.name}", should_stop, is_writer=is_writer)
        self._storage = storage
        self._work = work
        self._is_closing = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoints")
        self._upload: Future[None] | None = None

    def find_checkpoint(self, group: "WorkerGroup") -> Path | None:
        """Return the newest checkpoint that is intact, of this attempt or else of the storage; None if none is.

        Several workers take it from the storage, once worker 0, which alone writes checkpoints, has chosen it.
        """
        if group.size == 1 and (newest := self._newest_here()):
            return newest
        with group.sharing_errors():
            self._wait()
            name = group.ask_first(self._download_newest)
            if name and not group.is_first:
                self._download(name)
            group.exchange(None)
        return self.checkpoint if name else None

    def _download_newest(self) -> str:
        """Download the newest checkpoint that is intact; return its name, empty if there is none."""
        for name in reversed(self._call(self._list_checkpoints)):
            with suppress(FileNotFoundError):  # another worker is further by now
                self._download(name)
                if self._newest_here() == self.checkpoint:
                    return name
        return ""

    def _download(self, name: str) -> None:
        self._call(lambda: self._storage.download(f"{self._work}/{name}", self.checkpoint))

    def save_checkpoint(self, state: "TrainState") -> bool:
        """Save a checkpoint, and begin its upload; wait for it where the study stops.

        Training waits only where the upload of the last one is not over.
        """
        self._wait()
        super().save_checkpoint(state)
        self._upload = self._thread.submit(self._call, lambda step=state.step: self._upload_checkpoint(step))
        if self.should_stop():
            self._wait()
            return True
        return False

    def write_artifact(self, name: str, writer: Callable[[Path, Any], None], content: Any) -> None:
        """Write a file of the trial, and upload it."""
        self._wait()
        super().write_artifact(name, writer, content)
        if self._is_writer:
            self._call(lambda: self._storage.upload(self.artifacts / name, f"{self._name}/{name}"))

    def close(self) -> None:
        """Wait for the upload in progress, which is not repeated where it fails."""
        self._is_closing = True
        self._thread.shutdown()

    def _upload_checkpoint(self, step: int) -> None:
        name = f"{CHECKPOINT}-{step:012d}"
        self._storage.upload(self.checkpoint, f"{self._work}/{name}")
        older = [each for each in self._list_checkpoints() if each < name]
        for each in older[: 1 - NUM_CHECKPOINTS]:
            self._storage.delete(f"{self._work}/{each}")

    def _list_checkpoints(self) -> list[str]:
        return sorted(name for name in self._storage.list(self._work) if name.startswith(CHECKPOINT))

    def _wait(self) -> None:
        if self._upload is not None:
            self._upload.result()
            self._upload = None

    def _write(self, call: Callable[[], None]) -> None:
        """Write a file to this node's disk; see `_write_here`."""
        _write_here(call, self.path, self.should_stop)

    def _call(self, call: Callable[[], T]) -> T:
        """Return what a call on the storage returns, repeated for some minutes.

        Raises:
            NodeUnfitError: the storage cannot be reached from this node.
        """
        gives_up = or_timeout(lambda: self._is_closing or self.should_stop(), STORAGE_TIMEOUT_S)
        try:
            return self._storage.retry(call, should_stop=gives_up)
        except FileNotFoundError:
            raise
        except OSError as error:
            reason = f"it cannot use --storage = {self._storage.address}: {self._storage.reason(error)}"
            raise NodeUnfitError(ray.get_runtime_context().get_node_id(), reason) from error


@contextmanager
def open_work_folder(task: TrialTask, *, is_writer: bool) -> Iterator[WorkFolder]:
    """Provide the work folder of a task, until its trial ends here.

    Args:
        is_writer: see `WorkFolder`.

    Raises:
        NodeUnfitError: this node cannot use the storage, or the disk of its cache folder.
    """
    with watch_stop(task.storage, task.stop_file) as should_stop:
        if task.storage.folder is None:
            with _scratch(node_cache(task.images.path.parent) / WORK, should_stop) as path:
                folder = ScratchFolder(path, task.storage, task.work, should_stop, is_writer=is_writer)
                try:
                    yield folder
                finally:
                    folder.close()
            return
        _check_is_shared(task)
        path = task.storage.folder / task.work
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path / "lock", timeout=WORKER_EXIT_TIMEOUT_S)  # a killed study's worker may be alive
        with lock if is_writer else nullcontext():
            yield WorkFolder(path, f"{task.work}/{ARTIFACTS}", should_stop, is_writer=is_writer)


def _check_is_shared(task: TrialTask) -> None:
    """Check that the storage is the folder that the driver has: nobody has asked a node that joined late.

    Raises:
        NodeUnfitError: it is another one.
    """
    folder = task.storage.folder
    if folder is not None and not (folder / task.stop_file).parent.is_dir():
        reason = f"--storage = {task.storage.address}: {OTHER_FOLDER}"
        raise NodeUnfitError(ray.get_runtime_context().get_node_id(), reason)


def _write_here(call: Callable[[], T], folder: Path, should_stop: Callable[[], bool]) -> T:
    """Return what a call returns that writes to this node's disk, repeated for some minutes where it is full.

    Raises:
        NodeUnfitError: it cannot be written.
    """
    try:
        return retry_transient(call, should_stop=or_timeout(should_stop, STORAGE_TIMEOUT_S))
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = f"it cannot write to its cache folder {folder}: {error.strerror}"
        raise NodeUnfitError(ray.get_runtime_context().get_node_id(), reason) from error


@contextmanager
def _scratch(folder: Path, should_stop: Callable[[], bool]) -> Iterator[Path]:
    """Provide a new folder in a folder, and remove it, with those that killed workers of this node left."""
    locks, name = _write_here(lambda: _make_scratch(folder), folder, should_stop)
    try:
        yield folder / name
    finally:
        shutil.rmtree(folder / name, ignore_errors=True)
        locks.release(name)


def _make_scratch(folder: Path) -> tuple[Locks, str]:
    """Make a folder in a folder, with the lock of its name. What killed workers left may fill the disk."""
    locks = Locks(folder)
    for left in folder.glob("*.lock"):
        if locks.acquire_if_free(left.stem):
            shutil.rmtree(folder / left.stem, ignore_errors=True)
            locks.release(left.stem)
    name = locks.acquire_new()
    try:
        (folder / name).mkdir()
    except OSError:
        locks.release(name)
        raise
    return locks, name


@contextmanager
def watch_stop(storage: Storage, stop_file: str) -> Iterator[Callable[[], bool]]:
    """Provide a function that returns whether the stop file exists. It is fast enough to be called at each step.

    In an object store, a thread looks for the file.
    """
    if storage.folder is not None:
        yield (storage.folder / stop_file).exists
        return
    is_seen, is_over = threading.Event(), threading.Event()

    def poll() -> None:
        while not is_over.wait(STOP_POLL_S):
            with suppress(OSError):  # Ray ends workers of a study whose driver ends
                if storage.exists(stop_file):
                    is_seen.set()
                    return

    threading.Thread(target=poll, daemon=True).start()
    try:
        yield is_seen.is_set
    finally:
        is_over.set()
