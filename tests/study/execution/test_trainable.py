import contextlib
import gc
import itertools
import json
import os
import pickle
import platform
import shutil
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import torch
from filelock import FileLock
from ray import tune
from torch import nn

import revit.source
from revit.config import FineTuneConfig
from revit.datasets.image_store import ImageStore
from revit.errors import InputError
from revit.identity import TRAINING_VERSION, function_digests
from revit.source import SOURCE
from study.execution import trainable
from study.execution.environment import library_versions
from study.execution.failures import CodeChangedError, NodeUnfitError, WorkFolderLostError, classify
from study.layout import ARTIFACTS
from tests.study.execution.tasks import GRANT, task_of, train

WORKER = f"a worker on {platform.node()}"


@pytest.mark.parametrize(("compiled", "tag"), [(False, "no"), (True, "yes")])
def test_a_tag_says_whether_the_model_was_compiled(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: bool, tag: str
) -> None:
    models: list[nn.Module] = []
    reports: list[dict[str, Any]] = []
    monkeypatch.setattr(torch, "compile", lambda model, **_: models.append(model) or model)
    monkeypatch.setattr(tune, "report", reports.append)
    train(task_of(small, digits, tmp_path, grant=replace(GRANT, compiled=compiled)))
    assert [result["tags"]["compiled"] for result in reports if "tags" in result] == [tag]
    assert len(models) == compiled


def test_cached_gpu_memory_is_freed_after_a_trial(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker stays for the next trial, and others may share the GPU. Here, without one, the trial fails before."""
    freed: list[bool] = []
    monkeypatch.setattr(tune, "report", lambda reports: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: freed.append(True))
    task = task_of(small, digits, tmp_path)
    train(task)
    assert not freed, "a CPU caches nothing"
    task = replace(task, grant=replace(GRANT, num_gpus=1), work=f"{tmp_path.name}/cuda")
    with contextlib.nullcontext() if torch.cuda.is_available() else pytest.raises((RuntimeError, AssertionError)):
        train(task)
    assert freed


def test_a_fraction_of_a_gpu_is_fenced_and_a_whole_one_is_not(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker trains both, one after the other. Here, without a GPU, each fails after its fence is set."""
    fences: list[float] = []
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(trainable, "set_memory_fence", fences.append)
    for number, num_gpus in enumerate((0.5, 1)):
        task = task_of(small, digits, tmp_path / str(number), grant=replace(GRANT, num_gpus=num_gpus))
        monkeypatch.setattr(tune, "report", lambda reports: None)
        with contextlib.nullcontext() if torch.cuda.is_available() else pytest.raises((RuntimeError, AssertionError)):
            train(task)
    assert fences == [0.5, 1]


def num_tensors() -> int:
    gc.collect()
    return sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())


@pytest.mark.parametrize("end", ["finished", "pruned", "failed", "diverged"])
def test_no_tensor_outlives_its_trial(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """In a worker that trained before. Ray ends a pruned trial by SystemExit, and reports any error."""

    def report(result: dict[str, Any]) -> None:
        if "rows" in result and end in ("pruned", "failed"):
            raise SystemExit if end == "pruned" else RuntimeError

    task = task_of(small, digits, tmp_path / "first")
    monkeypatch.setattr(tune, "report", lambda result: None)
    train(task)
    before = num_tensors()
    monkeypatch.setattr(tune, "report", report)
    values = {"optimizer.lr": 1e9, "optimizer.max_grad_norm": None} if end == "diverged" else {}
    task = task_of(small.with_values(values), digits, tmp_path / "second", is_prunable=True)
    with contextlib.suppress(SystemExit, RuntimeError):
        train(task)
    assert num_tensors() == before


@pytest.mark.parametrize("error", [SystemExit, RuntimeError])
def test_memory_is_given_back_while_an_error_is_on_its_way(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """It holds the frames that it came through, and these the tensors of a trial."""
    alive: list[bool] = []
    kept: list[weakref.ref[torch.Tensor]] = []

    def step() -> None:
        tensor = torch.ones(3)
        kept.append(weakref.ref(tensor))
        raise error

    def step_that_fails_otherwise() -> None:
        try:
            step()
        except error:
            raise error from None

    monkeypatch.setattr(trainable, "_free_memory", lambda: alive.append(kept[0]() is not None))
    with pytest.raises(error), trainable._memory_given_back("cuda"):
        step_that_fails_otherwise()
    assert alive == [False]


LITTLE_MEMORY = """
import json, pickle, resource, sys
from ray import tune
import torch, timm
from study.execution.trainable import train_trial
spare_mb, tasks = int(sys.argv[1]), pickle.load(sys.stdin.buffer)
mapped = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (mapped + spare_mb * 2**20,) * 2)
tune.report = lambda reports: print(json.dumps(reports), flush=True)
for task in tasks:
    train_trial({"task": task})
"""


def test_out_of_memory_halves_the_micro_batch_once_with_the_same_result(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real process with 500 MB more than it starts with, and a batch that needs several GB.

    Its next trial starts with the micro-batch that fitted.
    One arena of malloc's, as each that a thread makes would count as 64 MB of addresses.
    """
    config = small.with_values({"batch_size": 256, "resolution": 64, "steps": 1, "val_fraction": 0.0})
    tasks = [task_of(config, digits, tmp_path / str(number)) for number in range(2)]
    done = subprocess.run(
        [sys.executable, "-c", LITTLE_MEMORY, "500"],
        input=pickle.dumps(tasks), capture_output=True, check=False, env={**os.environ, "MALLOC_ARENA_MAX": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    *halved, again = [int(each["tags"]["micro_batch"]) for each in reports if "tags" in each]
    assert halved[0] == 256
    assert halved[-1] < 256
    assert again == halved[-1]
    assert all(half * 2 == whole for whole, half in itertools.pairwise(halved))
    monkeypatch.setattr(tune, "report", reports.append)
    train(task_of(config.with_values({"micro_batch": 64}), digits, tmp_path / "here"))
    *little, enough = [each["rows"][-1]["test_loss"] for each in reports if "state" in each]
    assert little == pytest.approx([enough] * 2, rel=1e-4), "the same gradient"


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package's source files, as copies that may be changed; and a process that has imported nothing yet."""
    folder = tmp_path / "revit"
    shutil.copytree(revit.source.FOLDER, folder, ignore=lambda where, names: [n for n in names if n == "pretrained"])
    monkeypatch.setattr(revit.source, "FOLDER", folder)
    trainable._import_all.cache_clear()
    yield folder
    trainable._import_all.cache_clear()


def test_code_that_changes_during_a_study_is_refused_by_new_workers_only(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources: Path
) -> None:
    reports: list[dict[str, Any]] = []
    monkeypatch.setattr(tune, "report", reports.append)
    tasks = [task_of(small, digits, tmp_path / str(number)) for number in range(3)]
    train(tasks[0])
    (sources / "training" / "fine_tune.py").write_text("raise RuntimeError")
    train(tasks[1])
    before, after = [each["rows"][-1]["test_loss"] for each in reports if "state" in each]
    assert before == after
    trainable._import_all.cache_clear()  # as a worker that is started now
    with pytest.raises(CodeChangedError, match=f"^{WORKER} found other code .* began with .source {SOURCE}") as refused:
        train(tasks[2])
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value), "it can be pickled for the driver"
    assert len(str(refused.value).splitlines()) == 1
    assert not (tmp_path / "2").exists(), "nothing was started"


def test_a_function_of_the_user_is_found_by_its_folder_and_refused_with_another_source(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune, "report", lambda reported: None)
    monkeypatch.setattr(sys, "path", [*sys.path])
    module = tmp_path / "worker_loss.py"
    module.write_text("from torch.nn.functional import cross_entropy as focal")
    config = small.with_values({"loss": "worker_loss:focal"})
    with pytest.raises(InputError, match="worker_loss:focal cannot be imported"):
        function_digests(config)
    with monkeypatch.context() as driver:
        driver.syspath_prepend(str(tmp_path))
        [digest] = function_digests(config).values()
    more: dict[str, Any] = {"import_folders": (str(tmp_path),)}
    calls: list[FineTuneConfig] = []
    monkeypatch.setattr(trainable, "_train", lambda task, config, *_: calls.append(config))
    train(task_of(config, digits, tmp_path / "1", functions={"worker_loss:focal": digest}, **more))
    module.write_text("raise RuntimeError")
    train(task_of(config, digits, tmp_path / "2", functions={"worker_loss:focal": digest}, **more))
    assert calls == [config, config], "a worker keeps what it has imported"
    with pytest.raises(
        CodeChangedError,
        match=f"{WORKER} found another source of worker_loss:focal .* began with .{digest[::-1]}",
    ):
        train(task_of(config, digits, tmp_path / "3", functions={"worker_loss:focal": digest[::-1]}, **more))
    assert not (tmp_path / "3").exists(), "nothing was started"
    sys.modules.pop("worker_loss")
    trainable._import_function.cache_clear()


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_node_without_a_library_is_unfit(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_workers: int
) -> None:
    """Nobody has asked a node that joined late. The line names the versions that differ."""

    def import_all() -> str:
        raise ImportError("libcudart.so.12: cannot open shared object file")

    monkeypatch.setattr(trainable, "_import_all", import_all)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "node 1"))
    driver = {**library_versions(), "torch": "99.1"}
    task = task_of(small, digits, tmp_path / "i", versions=driver, grant=replace(GRANT, num_workers=num_workers))
    with pytest.raises(NodeUnfitError, match="cannot import what trials need: ImportError: libcudart") as error:
        train(task)
    assert error.value.node_id == "node 1"
    own = library_versions()["torch"]
    assert str(error.value).endswith(f"object file; it has torch {own}, and the driver torch 99.1")
    assert not (tmp_path / "i").exists(), "nothing was started"


def test_another_training_version_is_refused(small: FineTuneConfig, digits: ImageStore, tmp_path: Path) -> None:
    task = task_of(small, digits, tmp_path, training_version=TRAINING_VERSION + 1)
    with pytest.raises(CodeChangedError, match=f"training version {TRAINING_VERSION + 1}"):
        train(task)


def test_a_trial_whose_work_folder_is_removed_starts_over_with_the_same_numbers(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.execution.reporter.REPORT_INTERVAL_S", -1.0)
    task = task_of(small, digits, tmp_path / "work")
    reports: list[dict[str, Any]] = []

    def report(result: dict[str, Any]) -> None:
        reports.append(deepcopy(result))
        if removing and result.get("rows", [{"step": 0}])[-1]["step"] == 6:
            shutil.rmtree(tmp_path / "work")

    monkeypatch.setattr(tune, "report", report)
    removing = True
    with pytest.raises(WorkFolderLostError, match="was removed while its trial ran") as lost:
        train(task)
    assert classify(lost.value) == "lost worker", "it runs again"
    removing = False
    first = [row for result in reports for row in result.get("rows", [])]
    reports.clear()
    train(task)
    again = [row for result in reports for row in result.get("rows", [])][: len(first)]
    assert [row["train_loss"] for row in again] == [row["train_loss"] for row in first]
    assert (tmp_path / "work" / ARTIFACTS / "predictions.parquet").exists()


def test_a_pruned_trial_ends_its_thread_with_its_lock_released_and_nothing_more_reported(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ray does it: the report in which the thread waits raises SystemExit."""
    reports: list[dict[str, Any]] = []

    def report(result: dict[str, Any]) -> None:
        reports.append(deepcopy(result))
        if "train_time_s" in result:
            sys.exit(0)

    monkeypatch.setattr(tune, "report", report)
    num_threads = threading.active_count()
    with pytest.raises(SystemExit):
        train(task_of(small, digits, tmp_path, is_prunable=True))
    assert [result["rows"][-1]["step"] for result in reports if "rows" in result] == [4]
    with FileLock(tmp_path / "lock", timeout=0):
        assert sorted(path.name for path in (tmp_path / ARTIFACTS).iterdir()) == ["built.json", "config.json"]
    assert threading.active_count() == num_threads, "those that prepare batches have ended, too"
    assert float(os.environ[trainable.THREAD_EXIT_TIMEOUT]) >= 60, (
        "after two seconds the next trial would be lost, and the study wait forever"
    )
