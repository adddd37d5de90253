"""Reports of a trial to Tune, with its checkpoints."""

import resource
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray import tune

from revit.config import FineTuneConfig
from revit.datasets.image_store import ImageStore
from study.execution.reporter import TrialReporter
from study.layout import CHECKPOINT
from study.ledger.states import TrialState
from tests.study.execution.tasks import WorkerDiedError, task_of, train


@pytest.fixture
def report_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.execution.reporter.REPORT_INTERVAL_S", -1.0)


def test_rows_in_quick_succession_are_reported_together(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report waits for the driver; 12 rows within two seconds need few reports."""
    now = [0.0]
    reports: list[dict[str, Any]] = []
    monkeypatch.setattr("study.execution.reporter.time.monotonic", lambda: now.__setitem__(0, now[0] + 0.1) or now[0])
    monkeypatch.setattr(tune, "report", reports.append)
    train(task_of(small, digits, tmp_path))
    began, *rows, end = reports
    assert set(began) == {"tags", "peak_bytes", "identity", "artifacts"}
    assert 50e6 < began["peak_bytes"] <= end["peak_bytes"] <= 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert 1 <= len(rows) < 6
    assert end["state"] == TrialState.FINISHED
    assert [row["step"] for result in (*rows, end) for row in result.get("rows", [])] == [*range(1, 13), 12]
    assert "test_accuracy" in end["rows"][-1]


@pytest.mark.parametrize(("num_concurrent", "seconds_between"), [(8, 1), (25, 1), (100, 4), (800, 32)])
def test_the_more_trials_run_at_a_time_the_less_often_each_reports(
    monkeypatch: pytest.MonkeyPatch, num_concurrent: int, seconds_between: int
) -> None:
    """The driver has time for 25 reports a second. Rows in between are not lost."""
    now = 0.0
    monkeypatch.setattr("study.execution.reporter.time", SimpleNamespace(monotonic=lambda: now))
    reports: list[tuple[float, dict[str, Any]]] = []
    work: Any = SimpleNamespace(artifact_sizes={}, should_stop=lambda: False)
    reporter = TrialReporter(
        "a",
        work,
        {2000},
        is_prunable=False,
        is_replay=False,
        num_concurrent=num_concurrent,
        send=lambda update: reports.append((now, update)),
    )
    state: Any = SimpleNamespace(step=0)
    for step in range(1, 1000):
        now = step / 8
        state.step = step
        reporter.add_rows([{"step": step}], state)
    times = [at for at, _ in reports]
    assert [later - before for before, later in pairwise(times)] == [seconds_between + 1 / 8] * (len(times) - 1)
    assert len(times) == 124.875 // (seconds_between + 1 / 8)
    rows = [row["step"] for _, update in reports for row in update["rows"]]
    assert rows == list(range(1, len(rows) + 1))


def test_rows_from_before_a_failure_are_reported(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise WorkerDiedError

    reports: list[dict[str, Any]] = []
    monkeypatch.setattr(tune, "report", reports.append)
    monkeypatch.setattr("revit.training.fine_tune._evaluate_tested_weights", fail)
    with pytest.raises(WorkerDiedError):
        train(task_of(small, digits, tmp_path))
    assert [row["step"] for result in reports[1:] for row in result.get("rows", [])] == list(range(1, 13))


@pytest.mark.usefixtures("report_at_once")
@pytest.mark.parametrize("val_fraction", [0.0, 0.1])
def test_a_trial_whose_worker_dies_resumes_from_its_last_validation(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, val_fraction: float
) -> None:
    """With and without validation images; rows from before are reported again, marked as a replay."""
    monkeypatch.setattr("study.execution.reporter.CHECKPOINT_INTERVAL_S", 0.0)
    config = small.with_values({"val_fraction": val_fraction})
    task = task_of(config, digits, tmp_path)
    reports: list[dict[str, Any]] = []

    def report(result: dict[str, Any]) -> None:
        reports.append(deepcopy(result))
        if "rows" in result and result["rows"][-1]["step"] == dies_at:
            raise WorkerDiedError

    monkeypatch.setattr(tune, "report", report)
    dies_at: int | None = 9
    with pytest.raises(WorkerDiedError):
        train(task)
    assert (tmp_path / CHECKPOINT).exists(), "validations are after steps 4, 8 and 12"
    dies_at = None
    reports.clear()
    train(task)
    replay, *rest = [result for result in reports if "rows" in result]
    assert replay["is_replay"]
    assert replay["rows"][-1]["step"] == 8
    assert not any(result["is_replay"] for result in rest)
    steps = [row["step"] for result in (replay, *rest) for row in result["rows"]]
    assert steps == [*range(1, 13), 12]
    assert reports[-1]["state"] == TrialState.FINISHED


@pytest.mark.usefixtures("report_at_once")
def test_no_checkpoint_is_saved_soon_after_the_last(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saving takes longer than recomputing."""
    now = [0.0]
    monkeypatch.setattr("study.execution.reporter.time.monotonic", lambda: now[0])
    saved: list[int] = []

    def report(reports: dict[str, Any]) -> None:
        if reports.get("saved"):
            saved.append(reports["rows"][-1]["step"])
        now[0] += 0.3

    monkeypatch.setattr(tune, "report", report)
    train(task_of(small, digits, tmp_path))
    assert saved == [8], "validations are after steps 4, 8 and 12: at 1.2, 2.4 and 3.6 s"


@pytest.mark.usefixtures("report_at_once")
def test_a_stopping_study_saves_a_checkpoint_at_the_next_point_of_the_curve(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two validations, and between two reports: the 12 steps have a point each, and 5 reports are due."""
    monkeypatch.setattr("revit.training.fine_tune.NUM_REPORTS", 3)
    reports: list[dict[str, Any]] = []
    work = tmp_path / "work"  # the signal to stop is beside it: other tests must not see it
    task = task_of(small, digits, work)

    def report(result: dict[str, Any]) -> None:
        reports.append(deepcopy(result))
        if "tags" in result:
            (tmp_path / task.stop_file).touch()
        elif result.get("saved"):
            raise WorkerDiedError

    monkeypatch.setattr(tune, "report", report)
    with pytest.raises(WorkerDiedError):
        train(task)
    assert [row["step"] for result in reports for row in result.get("rows", [])] == [1]
    assert (work / CHECKPOINT).exists()


@pytest.mark.usefixtures("report_at_once")
def test_checkpoints_are_saved_between_distant_validations(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    for interval in ("MAX_CHECKPOINT_INTERVAL_S", "CHECKPOINT_INTERVAL_S"):
        monkeypatch.setattr(f"study.execution.reporter.{interval}", 0.0)
    monkeypatch.setattr(
        tune, "report", lambda reports: saved.append(reports["rows"][-1]["step"]) if reports.get("saved") else None
    )
    train(task_of(small, digits, tmp_path))
    assert saved == list(range(1, 13)), "validations are after steps 4, 8 and 12 only"


def test_a_trial_that_can_be_pruned_reports_each_validation_at_once_but_the_last(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Validations are after steps 4, 8 and 12; 12 rows within a second."""
    reports: list[dict[str, Any]] = []
    monkeypatch.setattr("study.execution.reporter.REPORT_INTERVAL_S", 600.0)
    monkeypatch.setattr(tune, "report", lambda result: reports.append(deepcopy(result)))
    train(task_of(small, digits, tmp_path, is_prunable=True))
    first, second, end = [result for result in reports if "rows" in result]
    assert [[row["step"] for row in result["rows"]] for result in (first, second, end)] == [
        [1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12, 12],
    ]  # fmt: skip
    assert 0 < first["train_time_s"] < second["train_time_s"] < end["rows"][-1]["train_time_s"]
    assert "train_time_s" not in end, "it is past its last step"
    assert {result["identity"] for result in reports} == {"i"}


@pytest.mark.usefixtures("report_at_once")
def test_the_last_validation_of_a_trial_can_no_longer_prune_it(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is reported before the end, or again from a checkpoint that was saved there."""
    monkeypatch.setattr("study.execution.reporter.CHECKPOINT_INTERVAL_S", -1.0)
    task = task_of(small, digits, tmp_path, is_prunable=True)
    for num_reports in (12, 1):
        reports: list[dict[str, Any]] = []
        monkeypatch.setattr(tune, "report", lambda result, reports=reports: reports.append(deepcopy(result)))
        train(task)
        rows = [result for result in reports if "rows" in result and "state" not in result]
        assert len(rows) == num_reports
        assert ["train_time_s" in result for result in rows] == [*[True] * (num_reports - 1), False]


def test_a_trial_that_resumes_reports_its_validations_again(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its launch was killed before it decided on the second one."""
    monkeypatch.setattr("study.execution.reporter.CHECKPOINT_INTERVAL_S", -1.0)
    reports: list[dict[str, Any]] = []

    def report(result: dict[str, Any]) -> None:
        reports.append(deepcopy(result))
        if result.get("rows", [{"step": 0}])[-1]["step"] == 8:
            raise WorkerDiedError

    monkeypatch.setattr(tune, "report", report)
    for _ in range(2):
        with pytest.raises(WorkerDiedError):
            train(task_of(small, digits, tmp_path, is_prunable=True))
    first, second, replay = [result for result in reports if "train_time_s" in result]
    assert replay["is_replay"]
    assert [row["step"] for row in replay["rows"]] == list(range(1, 9))
    assert replay["rows"][-1] == second["rows"][-1]
    assert first["train_time_s"] < replay["train_time_s"] == second["train_time_s"]
