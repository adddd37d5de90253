import contextlib
import itertools
import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ray import tune
from torch import nn

import revit.source
from revit.config import FineTuneConfig
from revit.datasets.image_store import ImageStore
from revit.identity import TRAINING_VERSION
from revit.models.weights import find_weights
from revit.source import SOURCE
from study.execution import trainable
from study.execution.failures import CodeChangedError, WorkFolderLostError, classify
from study.execution.resources import ResourceGrant
from study.execution.trainable import train_trial
from study.execution.trial_task import TrialTask
from study.layout import ARTIFACTS, CHECKPOINT
from study.ledger.states import TrialState


class WorkerDiedError(Exception):
    pass


GRANT = ResourceGrant(num_cpus=1, num_gpus=0, max_cpus=1, max_concurrent_trials=1)


def task_of(config: FineTuneConfig, images: ImageStore, work: Path, **changes: Any) -> TrialTask:
    task = TrialTask(
        identity="i", config=asdict(config), images=images.folder, weights=find_weights(config.model), work=work,
        stop_file=work / "stop", grant=GRANT, keep_model=False, source=SOURCE, training_version=TRAINING_VERSION,
    )  # fmt: skip
    return replace(task, **changes)


def train(task: TrialTask) -> None:
    train_trial({"task": task})


@pytest.mark.parametrize(("compiled", "tag"), [(False, "no"), (True, "yes")])
def test_whether_its_model_was_compiled_is_told_of_a_trial(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: bool, tag: str
) -> None:
    models: list[nn.Module] = []
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(torch, "compile", lambda model, **_: models.append(model) or model)
    monkeypatch.setattr(tune, "report", told.append)
    train(task_of(small, digits, tmp_path, grant=replace(GRANT, compiled=compiled)))
    assert [result["tags"]["compiled"] for result in told if "tags" in result] == [tag]
    assert len(models) == compiled


@pytest.fixture
def tell_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.execution.trainable.REPORT_INTERVAL_S", -1.0)


def test_what_comes_in_quick_succession_is_told_at_once(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each telling waits for the driver; 12 rows that come within a second or two need few of them."""
    now = [0.0]
    told: list[dict[str, Any]] = []
    monkeypatch.setattr("study.execution.trainable.time.monotonic", lambda: now.__setitem__(0, now[0] + 0.1) or now[0])
    monkeypatch.setattr(tune, "report", told.append)
    train(task_of(small, digits, tmp_path))
    began, *rows, end = told
    assert set(began) == {"tags", "peak_bytes"}
    assert 50e6 < began["peak_bytes"] <= end["peak_bytes"] <= 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert 1 <= len(rows) < 6
    assert end["state"] == TrialState.FINISHED
    assert [row["step"] for result in (*rows, end) for row in result.get("rows", [])] == list(range(1, 13))


def test_what_a_trial_measured_before_it_failed_is_told(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise WorkerDiedError

    told: list[dict[str, Any]] = []
    monkeypatch.setattr(tune, "report", told.append)
    monkeypatch.setattr("revit.training.fine_tune._test", fail)
    with pytest.raises(WorkerDiedError):
        train(task_of(small, digits, tmp_path))
    assert [row["step"] for result in told[1:] for row in result.get("rows", [])] == list(range(1, 13))


@pytest.mark.usefixtures("tell_at_once")
@pytest.mark.parametrize("val_fraction", [0.0, 0.1])
def test_a_trial_whose_worker_dies_goes_on_from_its_last_look(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, val_fraction: float
) -> None:
    """With and without validation images; what was reported before is reported again, marked as such."""
    monkeypatch.setattr("study.execution.trainable.CHECKPOINT_INTERVAL_S", 0.0)
    config = small.with_values({"val_fraction": val_fraction})
    task = task_of(config, digits, tmp_path)
    told: list[dict[str, Any]] = []

    def report(result: dict[str, Any]) -> None:
        told.append(deepcopy(result))
        if "rows" in result and result["rows"][-1]["step"] == dies_at:
            raise WorkerDiedError

    monkeypatch.setattr(tune, "report", report)
    dies_at: int | None = 9
    with pytest.raises(WorkerDiedError):
        train(task)
    assert (tmp_path / CHECKPOINT).exists(), "looks are after steps 4, 8 and 12"
    dies_at = None
    told.clear()
    train(task)
    repeated, *rest = [result for result in told if "rows" in result]
    assert repeated["repeated"]
    assert repeated["rows"][-1]["step"] == 8
    assert not any(result["repeated"] for result in rest)
    steps = [row["step"] for result in (repeated, *rest) for row in result["rows"]]
    assert steps == list(range(1, 13))
    assert told[-1]["state"] == TrialState.FINISHED


@pytest.mark.usefixtures("tell_at_once")
def test_a_look_soon_after_the_last_is_not_saved(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saving takes longer than what it saves is worth."""
    now = [0.0]
    monkeypatch.setattr("study.execution.trainable.time.monotonic", lambda: now[0])
    saved: list[int] = []

    def report(told: dict[str, Any]) -> None:
        if told.get("saved"):
            saved.append(told["rows"][-1]["step"])
        now[0] += 0.3

    monkeypatch.setattr(tune, "report", report)
    train(task_of(small, digits, tmp_path))
    assert saved == [8], "looks are after steps 4, 8 and 12: at 1.2, 2.4 and 3.6 s"


@pytest.mark.usefixtures("tell_at_once")
def test_when_the_study_stops_the_state_is_saved_at_the_next_point_of_the_curve(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two looks, and between two reports: the 12 steps have a point each, and 5 reports are due."""
    monkeypatch.setattr("revit.training.fine_tune.NUM_REPORTS", 3)
    told: list[dict[str, Any]] = []
    task = task_of(small, digits, tmp_path)

    def report(result: dict[str, Any]) -> None:
        told.append(deepcopy(result))
        if "tags" in result:
            task.stop_file.touch()
        elif result["saved"]:
            raise WorkerDiedError

    monkeypatch.setattr(tune, "report", report)
    with pytest.raises(WorkerDiedError):
        train(task)
    assert [row["step"] for row in told[-1]["rows"]] == [1]
    assert (tmp_path / CHECKPOINT).exists()


@pytest.mark.usefixtures("tell_at_once")
def test_a_long_time_between_looks_is_bridged_by_saving(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    for patience in ("SAVE_AFTER_S", "CHECKPOINT_INTERVAL_S"):
        monkeypatch.setattr(f"study.execution.trainable.{patience}", 0.0)
    monkeypatch.setattr(
        tune, "report", lambda told: saved.append(told["rows"][-1]["step"]) if told.get("saved") else None
    )
    train(task_of(small, digits, tmp_path))
    assert saved == list(range(1, 13)), "looks are after steps 4, 8 and 12 only"


def test_what_a_gpu_has_cached_is_freed_after_a_trial(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker is kept for the next, and others may share the GPU. Here, without one, the trial fails before."""
    freed: list[bool] = []
    monkeypatch.setattr(tune, "report", lambda told: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: freed.append(True))
    task = task_of(small, digits, tmp_path)
    train(task)
    assert not freed, "a CPU caches nothing"
    task = replace(task, grant=replace(GRANT, num_gpus=1), work=tmp_path / "cuda")
    with contextlib.nullcontext() if torch.cuda.is_available() else pytest.raises((RuntimeError, AssertionError)):
        train(task)
    assert freed


LITTLE_MEMORY = """
import json, pickle, resource, sys
from ray import tune
import torch, timm
from study.execution.trainable import train_trial
spare_mb, tasks = int(sys.argv[1]), pickle.load(sys.stdin.buffer)
mapped = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (mapped + spare_mb * 2**20,) * 2)
tune.report = lambda told: print(json.dumps(told), flush=True)
for task in tasks:
    train_trial({"task": task})
"""


def test_with_too_little_memory_the_micro_batch_is_halved_once_and_the_trial_is_the_same(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path
) -> None:
    """Real memory: a process that may have 500 MB more than it starts with, and a batch that needs several GB.

    Its next trial begins with the micro-batch that was found.
    One arena of malloc's, as each that a thread makes would count as 64 MB of addresses.
    """
    config = small.with_values({"batch_size": 256, "resolution": 64, "steps": 1, "val_fraction": 0.0})
    told = {}
    for spare_mb, num_trials in ((64_000, 1), (500, 2)):
        tasks = [task_of(config, digits, tmp_path / f"{spare_mb}-{i}") for i in range(num_trials)]
        done = subprocess.run(
            [sys.executable, "-c", LITTLE_MEMORY, str(spare_mb)],
            input=pickle.dumps(tasks), capture_output=True, check=False, env={**os.environ, "MALLOC_ARENA_MAX": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        told[spare_mb] = [json.loads(line) for line in done.stdout.splitlines()]
    micro = {
        spare: [int(each["tags"]["micro_batch"]) for each in all_ if "tags" in each] for spare, all_ in told.items()
    }
    assert micro[64_000] == [256]
    *halved, again = micro[500]
    assert halved[0] == 256
    assert halved[-1] < 256
    assert again == halved[-1]
    assert all(half * 2 == whole for whole, half in itertools.pairwise(halved))
    plenty, little = (told[spare][-1]["metrics"] for spare in (64_000, 500))
    assert little["test_loss"] == pytest.approx(plenty["test_loss"], rel=1e-4), "the same gradient"


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package's source files, as copies that may be changed; and a process that has imported nothing yet."""
    folder = tmp_path / "revit"
    shutil.copytree(revit.source.FOLDER, folder, ignore=lambda where, names: [n for n in names if n == "pretrained"])
    monkeypatch.setattr(revit.source, "FOLDER", folder)
    trainable._import_all.cache_clear()
    yield folder
    trainable._import_all.cache_clear()


def test_code_that_changes_in_mid_study_is_refused_by_a_new_worker_and_not_seen_by_one_that_has_imported_it(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources: Path
) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(tune, "report", told.append)
    tasks = [task_of(small, digits, tmp_path / str(number)) for number in range(3)]
    train(tasks[0])
    (sources / "training" / "fine_tune.py").write_text("raise RuntimeError")
    train(tasks[1])
    before, after = [each["metrics"]["test_loss"] for each in told if "metrics" in each]
    assert before == after
    trainable._import_all.cache_clear()  # as a worker that is started now
    with pytest.raises(CodeChangedError, match=f"other code .* began with .source {SOURCE}") as refused:
        train(tasks[2])
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value), "it travels to the driver"
    assert len(str(refused.value).splitlines()) == 1
    assert not (tmp_path / "2").exists(), "nothing was begun"


def test_another_training_version_is_refused(small: FineTuneConfig, digits: ImageStore, tmp_path: Path) -> None:
    task = task_of(small, digits, tmp_path, training_version=TRAINING_VERSION + 1)
    with pytest.raises(CodeChangedError, match=f"training version {TRAINING_VERSION + 1}"):
        train(task)


@pytest.mark.usefixtures("tell_at_once")
def test_a_trial_whose_work_folder_is_removed_begins_anew_and_measures_the_same(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of(small, digits, tmp_path / "work")
    told: list[dict[str, Any]] = []

    def report(result: dict[str, Any]) -> None:
        told.append(deepcopy(result))
        if removing and result.get("rows", [{"step": 0}])[-1]["step"] == 6:
            shutil.rmtree(tmp_path / "work")

    monkeypatch.setattr(tune, "report", report)
    removing = True
    with pytest.raises(WorkFolderLostError, match="was removed while its trial ran") as lost:
        train(task)
    assert classify(lost.value) == "lost worker", "it runs again"
    removing = False
    first = [row["train_loss"] for result in told for row in result.get("rows", [])]
    told.clear()
    train(task)
    assert [row["train_loss"] for result in told for row in result.get("rows", [])][: len(first)] == first
    assert (tmp_path / "work" / ARTIFACTS / "predictions.parquet").exists()
