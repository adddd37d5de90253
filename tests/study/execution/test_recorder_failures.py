import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from study.layout import TRACEBACK
from study.ledger.states import TrialState
from study.system import retry
from tests.study.execution.recorded_trials import Store
from tests.study.full_disk import fill


@pytest.fixture
def store(tmp_path: Path, cache_dir: Path) -> Store:
    return Store(tmp_path, cache_dir)


def test_rows_wait_for_a_full_disk_and_are_written_once(
    small_disk: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "MIN_WAIT_S", 0.05)
    store = Store(small_disk, cache_dir)
    identity = store.trials[0].identity
    store.recorder.start_trial(identity)
    store.recorder._thread.submit(lambda: None).result()
    filler = fill(small_disk)
    rows = [{"step": step, **{f"metric_{number}": float(step) for number in range(40)}} for step in range(1, 201)]
    store.recorder.add_rows(identity, rows)
    store.recorder.add_rows(identity, [{"step": 200, "test_accuracy": 0.5, "train_time_s": 1.0}])
    store.recorder.end_trial(identity, TrialState.FINISHED)
    while not store.lines:
        time.sleep(0.02)
    assert "cannot be written for now" in store.lines[0]
    assert "full" in store.lines[0]
    assert identity in store.kept()
    filler.unlink()
    store.recorder.close(interrupted=False)
    assert identity not in store.kept()
    assert "nothing is lost" in store.lines[1]
    record = store.ledger.trials()[identity]
    assert (record.state, record.last_step) == (TrialState.FINISHED, 200)
    for metric in ("metric_0", "metric_39"):
        assert store.ledger.curve(record.run_id, metric) == [(step, float(step)) for step in range(1, 201)]


def test_rows_wait_for_a_read_only_store(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "MIN_WAIT_S", 0.05)
    identity = store.trials[0].identity
    store.recorder.start_trial(identity)
    store.recorder._thread.submit(lambda: None).result()
    engine = store.ledger.runs.client._tracking_client.store.engine
    read_only = [True]

    @event.listens_for(engine, "checkout")
    def forbid(connection: Any, *_: object) -> None:
        connection.execute(f"PRAGMA query_only = {read_only[0]}")

    store.finish(identity)
    while not store.lines:
        time.sleep(0.02)
    assert "readonly" in store.lines[0]
    assert identity in store.kept()
    read_only[0] = False
    store.recorder.close(interrupted=False)
    assert identity not in store.kept()
    assert store.statuses() == {identity: "FINISHED", "launch": "FINISHED"}


def test_an_interrupted_launch_leaves_failed_writes_to_the_next_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    identity = store.trials[0].identity
    store.recorder.start_trial(identity)
    store.recorder._thread.submit(lambda: None).result()
    for write in ("log", "close_trial"):
        monkeypatch.setattr(store.ledger, write, full)
    monkeypatch.setattr(store.ledger.launches, "close", full)
    store.recorder.add_rows(identity, [{"step": 5, "lr": 0.1}])
    store.recorder.close(interrupted=True)
    record = store.ledger.trials()[identity]
    assert (record.state, record.last_step) == (TrialState.RUNNING, 0), "it is open, and its checkpoint has the rows"


def test_a_trial_that_ends_without_its_files_is_not_finished(store: Store) -> None:
    """As on a node that does not share the store's disk: it is trained again, instead of being damaged forever."""
    lacking, whole = (trial.identity for trial in store.trials)
    (store.files[lacking] / "predictions.parquet").unlink()
    store.finish(lacking)
    store.finish(whole)
    store.recorder.close(interrupted=False)
    assert store.recorder.states == {lacking: TrialState.FAILED, whole: TrialState.FINISHED}
    assert store.recorder.messages[lacking].startswith(f"predictions.parquet missing in {store.files[lacking]}")
    record = store.ledger.trials()[lacking]
    assert (record.state.is_terminal, record.failure) == (False, ""), "no class of failure, as it has no traceback"


def test_an_error_after_a_trial_was_written_is_reported(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def release(identity: str) -> None:
        raise ValueError("its lock cannot be released\nas the server says")

    identity = store.trials[0].identity
    store.recorder.start_trial(identity)
    monkeypatch.setattr(store.recorder._locks, "release", release)
    store.recorder.end_trial(identity, TrialState.FINISHED)
    store.recorder.close(interrupted=False)
    assert store.recorder.error == "its lock cannot be released"
    assert store.recorder.states == {identity: TrialState.FINISHED}, "its results are written"


def test_a_deleted_experiment_is_one_error(store: Store) -> None:
    first, second = (trial.identity for trial in store.trials)
    store.recorder.start_trial(first)
    store.recorder.start_trial(second)
    store.recorder._thread.submit(lambda: None).result()
    store.client.delete_experiment("1")
    store.recorder.end_trial(first, TrialState.FINISHED)
    store.recorder.close(interrupted=False)
    assert "was deleted in MLflow: restore it there" in store.recorder.error
    assert len(store.recorder.error.splitlines()) == 1
    assert store.kept() == [first, second]
    assert store.recorder.messages == {}, "the error is not repeated for each trial"


def test_a_trial_that_no_worker_started_gets_a_run_with_its_traceback(store: Store) -> None:
    """Otherwise its end could not be written, and that would hide the error of the worker."""
    identity = store.trials[0].identity
    store.recorder.end_trial(identity, TrialState.FAILED, message="no worker", failure="code", traceback="at line 1")
    store.recorder.close(interrupted=False, incomplete=["example"])
    record = store.ledger.trials()[identity]
    assert (record.state, record.failure, record.tags["message"]) == (TrialState.FAILED, "code", "no worker")
    assert store.ledger.artifacts.path(record.run_id, TRACEBACK).read_text() == "at line 1"
    assert identity in store.kept()


@pytest.mark.parametrize("whose", ["trial", "launch"])
def test_a_run_that_is_purged_during_a_study_is_one_error(store: Store, whose: str) -> None:
    """Deleted, and then removed by `mlflow gc`: it cannot be restored."""
    first, second = (trial.identity for trial in store.trials)
    store.recorder.start_trial(first)
    store.recorder._thread.submit(lambda: None).result()
    run_id = store.ledger.find(first).run_id if whose == "trial" else store.launch
    store.ledger.runs.delete(run_id)
    store.ledger.runs.purge(run_id)
    store.recorder.end_trial(first, TrialState.FINISHED)
    store.finish(second)
    store.recorder.close(interrupted=False)
    [line] = (store.recorder.messages[first] if whose == "trial" else store.recorder.error).splitlines()
    assert f"Run with id={run_id} not found" in line
    assert store.statuses()[second] == "FINISHED"
    assert "RUNNING" not in store.statuses().values()
