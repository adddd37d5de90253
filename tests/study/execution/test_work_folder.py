"""Work folders on the node of a worker, with an object store between the nodes."""

import contextlib
import errno
import os
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ray import tune

from revit.config import FineTuneConfig
from revit.datasets.image_store import ImageStore
from revit.training.worker_group import WorkerGroup
from study.execution import work_folder
from study.execution.failures import NodeUnfitError
from study.execution.trial_task import TrialTask
from study.execution.work_folder import ScratchFolder, open_work_folder, watch_stop
from study.ledger.locks import Locks
from study.system import retry
from study.system.storage import Storage
from tests.revit.training.worker_pool import WorkerPool
from tests.study.execution.tasks import WorkerDiedError, task_of, train
from tests.study.object_store import ObjectStore


@pytest.fixture
def task(
    small: FineTuneConfig,
    digits: ImageStore,
    tmp_path: Path,
    object_store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
) -> TrialTask:
    """A trial whose storage is an object store."""
    monkeypatch.setenv("REVIT_CACHE_DIR", str(tmp_path / "node"))
    monkeypatch.setattr("study.execution.reporter.REPORT_INTERVAL_S", -1.0)
    monkeypatch.setattr("study.execution.reporter.CHECKPOINT_INTERVAL_S", -1.0)
    storage = Storage(object_store.new_address(), "key")
    return replace(task_of(small, digits, tmp_path), storage=storage, work="work/i", stop_file="tune/stop")


class SavedState:
    """State of a trial whose checkpoint is its step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def save(self, path: Path) -> None:
        torch.save({"step": self.step}, path)


@contextlib.contextmanager
def scratch_folders(task: TrialTask, num: int = 1) -> Iterator[list[Any]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(open_work_folder(task, is_writer=True)) for _ in range(num)]


def reports_of(task: TrialTask, monkeypatch: pytest.MonkeyPatch, dies_at: int | None = None) -> list[dict[str, Any]]:
    reports: list[dict[str, Any]] = []

    def report(update: dict[str, Any]) -> None:
        reports.append(update)
        if dies_at is not None and update.get("rows", [{"step": 0}])[-1]["step"] == dies_at:
            raise WorkerDiedError

    monkeypatch.setattr(tune, "report", report)
    with pytest.raises(WorkerDiedError) if dies_at else contextlib.nullcontext():
        train(task)
    return reports


def losses_of(reports: list[dict[str, Any]]) -> dict[int, float]:
    return {row["step"]: row["train_loss"] for each in reports for row in each.get("rows", []) if "train_loss" in row}


def test_a_trial_resumes_on_another_node_from_its_checkpoint_in_the_object_store(
    task: TrialTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = reports_of(replace(task, work="work/whole"), monkeypatch)
    reports_of(task, monkeypatch, dies_at=9)
    assert sorted(task.storage.list("work/i")) == sorted(
        [f"checkpoint.pt-{step:012d}" for step in (4, 8)]
        + [name for name in task.storage.list("work/i") if name.startswith("artifacts-")]
    )
    monkeypatch.setenv("REVIT_CACHE_DIR", str(tmp_path / "other"))
    resumed = reports_of(task, monkeypatch)
    assert [each["rows"][-1]["step"] for each in resumed if each.get("is_replay")] == [8]
    assert losses_of(resumed) == losses_of(whole)
    assert {name: resumed[-1]["rows"][-1][name] for name in ("test_loss", "test_accuracy")} == {
        name: whole[-1]["rows"][-1][name] for name in ("test_loss", "test_accuracy")
    }
    sizes = resumed[-1]["artifacts"]
    stored = {f"work/i/{name}": size for name, size in task.storage.list("work/i").items()}
    assert sizes.items() <= stored.items()
    assert {name.rpartition("/")[2] for name in sizes} == {"config.json", "built.json", "predictions.parquet"}
    for node in ("node", "other"):
        assert list((tmp_path / node / "work").iterdir()) == [], "nothing is left on the node"


def test_two_workers_of_one_trial_do_not_harm_each_other(task: TrialTask) -> None:
    """One was taken for dead, and is alive, behind the other."""
    with scratch_folders(task, 2) as (behind, ahead):
        for folder, step in ((ahead, 8), (ahead, 12), (behind, 4), (ahead, 16), (behind, 8)):
            folder.save_checkpoint(SavedState(step))
            folder._wait()
        for folder, text in ((ahead, "ahead"), (behind, "behind")):
            folder.remove_artifacts()
            folder.write_artifact("config.json", Path.write_text, text)
        assert "checkpoint.pt-000000000016" in task.storage.list("work/i")
        names = [*ahead.artifact_sizes, *behind.artifact_sizes]
        assert len(set(names)) == 2
        assert [task.storage.list("work/i")[name.removeprefix("work/i/")] for name in names] == [5, 6]


@dataclass(frozen=True)
class GroupOfThreads(WorkerGroup):
    """A worker of two that are threads."""

    answers: list[Any] = field(default_factory=lambda: [None] * 2)
    barrier: threading.Barrier = field(default_factory=lambda: threading.Barrier(2, timeout=60))

    def exchange(self, value: Any) -> list[Any]:
        self.answers[self.rank] = value
        self.barrier.wait()
        answers = list(self.answers)
        self.barrier.wait()
        return answers


def found_steps(group: WorkerGroup, task: TrialTask, variables: Mapping[str, str]) -> list[int]:
    """Return the steps from which a worker goes on where memory is short again and again."""
    os.environ.update(variables)
    steps = []
    with open_work_folder(task, is_writer=group.is_first) as work:
        assert work.find_checkpoint(group) is None
        for step in (4, 8, 12):
            if group.is_first:
                work.save_checkpoint(SavedState(step))
            path = work.find_checkpoint(group)
            assert path.parent == work.path
            steps.append(torch.load(path)["step"])
    return steps


def test_all_workers_of_a_trial_find_the_checkpoint_that_one_has_written(
    task: TrialTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time, the last one is still being uploaded."""
    upload = Storage.upload
    monkeypatch.setattr(Storage, "upload", lambda *arguments: (time.sleep(0.2), upload(*arguments)))
    first = GroupOfThreads(0, 2)
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda rank: found_steps(replace(first, rank=rank), task, {}), range(2)))
    assert found == [[4, 8, 12]] * 2


@pytest.mark.long
def test_worker_processes_find_the_checkpoint_that_one_has_written(task: TrialTask, tmp_path: Path) -> None:
    variables = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "REVIT_"))}
    with WorkerPool(2, tmp_path) as pool:
        assert pool(2, found_steps, task, variables) == [[4, 8, 12]] * 2


def test_few_checkpoints_are_kept(task: TrialTask) -> None:
    with scratch_folders(task) as [folder]:
        for step in range(1, 6):
            folder.save_checkpoint(SavedState(step))
    assert list(task.storage.list("work/i")) == ["checkpoint.pt-000000000004", "checkpoint.pt-000000000005"]


def test_training_does_not_wait_for_an_upload_unless_the_study_stops(
    task: TrialTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_free = threading.Event()
    upload = Storage.upload
    monkeypatch.setattr(Storage, "upload", lambda *arguments: (is_free.wait(), upload(*arguments)))
    stops: list[bool] = []
    with scratch_folders(task) as [folder]:
        folder.should_stop = lambda: bool(stops)
        assert not folder.save_checkpoint(SavedState(4)), "another node could not resume from it yet"
        assert task.storage.list("work/i") == {}
        is_free.set()
        stops.append(True)
        assert folder.save_checkpoint(SavedState(8))
        assert len(task.storage.list("work/i")) == 2


@pytest.fixture
def on_node_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker on a node of this name, which does not wait long for a disk or a storage."""
    monkeypatch.setattr(work_folder, "STORAGE_TIMEOUT_S", 0.1)
    monkeypatch.setattr(retry, "MIN_WAIT_S", 0.01)
    monkeypatch.setattr(work_folder.ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "node 1"))
    monkeypatch.setattr(tune, "report", lambda update: None)


def test_a_node_that_cannot_reach_the_storage_is_unfit(
    task: TrialTask, on_node_1: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("AWS Error NETWORK_CONNECTION (Request ID: 12)")

    monkeypatch.setattr(Storage, "upload", fail)
    with pytest.raises(NodeUnfitError, match=r"cannot use --storage = s3://.*: AWS Error NETWORK_CONNECTION$") as error:
        train(task)
    assert error.value.node_id == "node 1"


def test_a_node_whose_disk_stays_full_is_unfit(
    task: TrialTask, on_node_1: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("study.execution.trainable._write_json", fail)
    with pytest.raises(NodeUnfitError, match=r"cannot write to its cache folder /.*: No space left on device$"):
        train(task)


def test_a_node_whose_disk_is_full_before_a_trial_begins_is_unfit_unless_it_can_be_cleaned_up(
    task: TrialTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_folder, "STORAGE_TIMEOUT_S", 0.1)
    monkeypatch.setattr(retry, "MIN_WAIT_S", 0.01)
    monkeypatch.setattr(work_folder.ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "node 1"))
    folder, mkdir = tmp_path / "node" / "work", Path.mkdir
    left = killed_worker(folder)

    def mkdir_on_full_disk(path: Path, *arguments: Any, **options: Any) -> None:
        if path.parent == folder and left.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        mkdir(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir_on_full_disk)
    with scratch_folders(task):
        assert not left.exists()
    mkdir(left)
    with (
        pytest.raises(NodeUnfitError, match=f"cannot write to its cache folder {folder}: No space left on device$"),
        scratch_folders(task),
    ):
        pass
    assert [path.name for path in folder.iterdir()] == [left.name]


def killed_worker(folder: Path) -> Path:
    """Return a folder that a killed worker has left, with the file of its lock."""
    killed = Locks(folder)
    name = killed.acquire_new()
    (folder / name).mkdir()
    for lock in killed._held.values():
        lock.release()  # as the operating system does
    return folder / name


def test_what_killed_workers_left_on_a_node_is_removed(task: TrialTask, tmp_path: Path) -> None:
    folder = tmp_path / "node" / "work"
    killed, alive = Locks(folder), Locks(folder)
    for locks in (killed, alive):
        name = locks.acquire_new()
        (folder / name).mkdir()
        (folder / name / "checkpoint.pt").touch()
    for lock in killed._held.values():
        lock.release()  # as the operating system does
    with scratch_folders(task) as [own]:
        assert {path.name for path in folder.iterdir() if path.is_dir()} == {name, own.path.name}


def test_a_stop_file_in_an_object_store_is_seen_without_waiting_for_the_network(
    task: TrialTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_folder, "STOP_POLL_S", 0.05)
    num_threads = threading.active_count()
    with watch_stop(task.storage, task.stop_file) as should_stop:
        assert not should_stop()
        with monkeypatch.context() as patch:
            callers: list[threading.Thread] = []
            patch.setattr(Storage, "exists", lambda *_: callers.append(threading.current_thread()))
            while not callers:
                assert not should_stop()
            assert threading.current_thread() not in callers
        task.storage.touch(task.stop_file)
        deadline_s = time.monotonic() + 20
        while not should_stop():
            assert time.monotonic() < deadline_s
    while threading.active_count() > num_threads:
        assert time.monotonic() < deadline_s


def test_a_node_that_has_another_folder_for_the_storage_is_unfit(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can write there, but the driver would not find anything."""
    monkeypatch.setattr(work_folder.ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "node 1"))
    here = Storage(str(tmp_path / "other"))
    task = replace(task_of(small, digits, tmp_path / "i"), storage=here, stop_file="tune/launch/stop")
    with pytest.raises(NodeUnfitError, match=r"other: this node has another folder there than the driver; ") as error:
        train(task)
    assert error.value.node_id == "node 1"
    assert not (tmp_path / "other").exists()


def test_a_work_folder_in_a_shared_folder_is_locked_and_needs_no_upload(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_folder, "WORKER_EXIT_TIMEOUT_S", 0.1)
    task = task_of(small, digits, tmp_path / "i")
    with open_work_folder(task, is_writer=True) as folder:
        assert not isinstance(folder, ScratchFolder)
        assert folder.path == tmp_path / "i"
        assert folder.save_checkpoint(SavedState(1))
        with pytest.raises(TimeoutError), open_work_folder(task, is_writer=True):
            pass
        with open_work_folder(task, is_writer=False) as other:
            other.remove_artifacts()
            other.write_artifact("config.json", Path.write_text, "of another worker of the group")
    assert not (tmp_path / "i" / "artifacts").exists()
