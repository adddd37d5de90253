import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from sqlalchemy import event

from revit.config import FineTuneConfig
from search_spaces.framework.space import SearchSpace
from study.execution.recorder import Recorder
from study.labels import trial_label
from study.layout import ARTIFACTS, NEEDED_FILES, TRACEBACK, WORK
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.orphans import clean_up
from study.ledger.records import Measurement, TrialUpdate
from study.ledger.states import TrialState
from study.plan import Folders
from study.planning import make_plan
from study.system import retry
from study.trial import Trial

SPACE = SearchSpace(
    name="example",
    question="?",
    base=FineTuneConfig(dataset="digits", resolution=8, steps=5),
    scientific={"optimizer.name": ("sgd", "adam"), "model.pos_embed": ("none",)},
    nuisance={"optimizer.lr": (0.1,)},
    seeds=(0,),
)


class Store:
    """A real store, a launch in it, and a recorder of two trials."""

    def __init__(self, folder: Path, cache_dir: Path) -> None:
        self.ledger = Ledger(folder)
        self.client = MlflowClient(self.ledger.uri)
        plan = make_plan(SPACE, SPACE.seeds, Folders(store=folder, data=folder, cache=cache_dir), {})
        self.trials: list[Trial] = [plan.planner.ask(search, {}).trials[0] for search in plan.searches]
        self.launch = self.ledger.launches.open("example", {})
        self.lines: list[str] = []
        self.recorder = Recorder(
            self.ledger,
            launch=self.launch,
            study={"study": "example"},
            trials={trial.identity: trial for trial in self.trials},
            locks=Locks(folder / "locks"),
            log=self.lines.append,
        )
        self.files = {trial.identity: folder / WORK / trial.identity / ARTIFACTS for trial in self.trials}
        for files in self.files.values():
            files.mkdir(parents=True)
            for name in NEEDED_FILES:
                (files / name).touch()

    def finish(self, identity: str) -> None:
        """Record a trial from its start to its end."""
        self.recorder.start_trial(identity)
        self.recorder.add_rows(identity, [{"step": 5, "lr": 0.1}])
        self.recorder.add_rows(identity, [{"step": 5, "test_accuracy": 0.5, "train_time_s": 1.0}])
        self.recorder.end_trial(identity, TrialState.FINISHED)

    def kept(self) -> list[str]:
        """Return the trials whose work folders are there."""
        return [identity for identity, files in self.files.items() if files.exists()]

    def statuses(self) -> dict[str, str]:
        runs = self.client.search_runs(["1"])
        return {run.data.tags.get("identity", "launch"): run.info.status for run in runs}


@pytest.fixture
def store(tmp_path: Path, cache_dir: Path) -> Store:
    return Store(tmp_path, cache_dir)


def test_finished_trials_end_as_finished_runs_in_a_finished_launch(store: Store) -> None:
    for trial in store.trials:
        store.finish(trial.identity)
    store.recorder.close(interrupted=False, complete=True)
    assert set(store.statuses().values()) == {"FINISHED"}
    assert store.kept() == []


@pytest.mark.parametrize("broken", ["log", "close_trial", "runs.close"])
def test_a_trial_with_a_failed_write_is_not_finished(
    store: Store, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """The store refuses one write of the first trial; the second is not affected."""
    first, second = (trial.identity for trial in store.trials)
    *parents, name = broken.split(".")
    owner = getattr(store.ledger, *parents) if parents else store.ledger
    write, refusals = getattr(owner, name), ["once"]

    def refuse_once(*arguments: object, **options: object) -> None:
        if refusals:
            refusals.pop()
            raise ValueError("no such column")
        write(*arguments, **options)

    monkeypatch.setattr("study.execution.recorder.WRITE_INTERVAL_S", 0.0)
    monkeypatch.setattr(owner, name, refuse_once)
    store.finish(first)
    store.finish(second)
    store.recorder.close(interrupted=False, complete=True)
    assert store.recorder.states == {first: TrialState.FAILED, second: TrialState.FINISHED}
    assert "no such column" in store.recorder.messages[first]
    assert store.statuses() == {first: "FAILED", second: "FINISHED", "launch": "FAILED"}
    assert store.kept() == [first]


def test_a_trial_with_an_invalid_row_ends_as_failed(store: Store) -> None:
    identity = store.trials[0].identity
    store.recorder.start_trial(identity)
    store.recorder.add_rows(identity, [{"step": 1, "a|b": 1.0}])
    store.recorder.end_trial(identity, TrialState.FINISHED)
    store.recorder.close(interrupted=False, complete=True)
    assert store.statuses()[identity] == "FAILED"
    assert "a|b" in store.recorder.messages[identity]


def test_a_short_trial_is_written_in_one_batch(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write to a database takes as long as several steps of a small model."""
    monkeypatch.setattr("study.execution.recorder.WRITE_INTERVAL_S", 1e9)
    written: list[str] = []
    log_batch = store.ledger.runs.client.log_batch

    def noted(run_id: str, *things: object, **more: object) -> None:
        written.extend([run_id] if any(things) or more else [])
        log_batch(run_id, *things, **more)

    monkeypatch.setattr(store.ledger.runs.client, "log_batch", noted)
    identity = store.trials[0].identity
    store.recorder.start_trial(identity)
    store.recorder.add_tags(identity, {"device": "cpu"})
    for step in range(1, 6):
        store.recorder.add_rows(identity, [{"step": step, "lr": 0.1 / step}])
    store.recorder.add_rows(identity, [{"step": 5, "test_accuracy": 0.5, "train_time_s": 1.0}])
    store.recorder.end_trial(identity, TrialState.FINISHED)
    store.recorder.close(interrupted=False, complete=True)
    record = store.ledger.trials()[identity]
    assert written == [record.run_id, store.launch]
    assert store.ledger.curve(record.run_id, "lr") == [(step, 0.1 / step) for step in range(1, 6)]
    assert record.metrics["test_accuracy"] == 0.5
    assert record.environment == {"device": "cpu"}
    assert record.params == {name: str(value) for name, value in store.trials[0].candidate.config.flat().items()}


def test_a_longer_trial_is_written_while_it_runs(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.execution.recorder.WRITE_INTERVAL_S", 0.0)
    identity = store.trials[0].identity
    store.recorder.start_trial(identity)
    for step in (1, 2):
        store.recorder.add_rows(identity, [{"step": step, "lr": 0.1}])
        store.recorder._thread.submit(lambda: None).result()
        assert store.ledger.find(identity).last_step == step


def test_a_resuming_launch_writes_only_the_rows_that_a_dead_one_did_not(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows from before are reported again, but not written again."""
    identity = store.trials[0].identity
    first = store.ledger.open_trial(identity, launch=store.launch, name="cut short", tags={})
    store.ledger.log(first.run_id, TrialUpdate(rows=[Measurement({"step": step, "lr": 0.1}, 0) for step in (1, 2)]))
    store.recorder.start_trial(identity)
    store.recorder.add_rows(identity, [{"step": step, "lr": 0.2} for step in (1, 2, 3)])
    store.recorder.close(interrupted=True, complete=False)
    record = store.ledger.trials()[identity]
    assert record.run_id == first.run_id
    assert record.params["optimizer.lr"] == "0.1"
    assert store.ledger.curve(record.run_id, "lr") == [(1, 0.1), (2, 0.1), (3, 0.2)]


@pytest.mark.parametrize("result", ["test_accuracy", "selected_val_accuracy"])
def test_results_are_written_where_a_dead_launch_had_written_the_last_step(store: Store, result: str) -> None:
    """Of a search trial, too, which has no value on test images."""
    identity = store.trials[0].identity
    first = store.ledger.open_trial(identity, launch=store.launch, name="cut short", tags={})
    store.ledger.log(first.run_id, TrialUpdate(rows=[Measurement({"step": 5, "lr": 0.1}, 0)]))
    store.recorder.start_trial(identity)
    store.recorder.add_rows(identity, [{"step": 5, "lr": 0.2}, {"step": 5, result: 0.5, "train_time_s": 1.0}])
    store.recorder.end_trial(identity, TrialState.FINISHED)
    store.recorder.close(interrupted=False, complete=False)
    record = store.ledger.trials()[identity]
    assert (record.metrics[result], record.metrics["lr"]) == (0.5, 0.1)


def test_a_pruned_trial_keeps_the_time_that_it_took_and_loses_its_checkpoint(store: Store) -> None:
    """Also where its rows were written before a resume. It ran no test, and wrote no predictions."""
    identity = store.trials[0].identity
    first = store.ledger.open_trial(identity, launch=store.launch, name="cut short", tags={})
    store.ledger.log(first.run_id, TrialUpdate(rows=[Measurement({"step": 2, "val_accuracy": 0.4}, 0)]))
    (store.files[identity] / "predictions.parquet").unlink()
    store.recorder.start_trial(identity)
    rows = [{"step": 2, "val_accuracy": 0.4}, {"step": 2, "train_time_s": 1.5}]
    store.recorder.add_rows(identity, rows)
    store.recorder.end_trial(identity, TrialState.PRUNED, message="pruned after step 2: val accuracy 40.00 %")
    store.recorder.close(interrupted=False, complete=False)
    record = store.ledger.trials()[identity]
    assert (record.state, record.metrics["train_time_s"]) == (TrialState.PRUNED, 1.5)
    assert store.ledger.curve(record.run_id, "val_accuracy") == [(2, 0.4)]
    assert record.tags["message"] == "pruned after step 2: val accuracy 40.00 %"
    assert store.recorder.states == {identity: TrialState.PRUNED}
    assert store.recorder.messages == {}, "it did not fail"
    assert identity not in store.kept()
    assert {each.path for each in store.client.list_artifacts(record.run_id)} == {"config.json", "built.json"}


def test_a_trial_that_is_started_again_keeps_its_run(store: Store) -> None:
    """As after the loss of its worker."""
    identity = store.trials[0].identity
    store.recorder.start_trial(identity)
    store.finish(identity)
    store.recorder.close(interrupted=False, complete=True)
    assert sorted(store.statuses()) == sorted([identity, "launch"])
    assert len(store.client.search_runs(["1"])) == 2


def test_trials_that_started_and_did_not_end_are_interrupted(store: Store) -> None:
    first, second = (trial.identity for trial in store.trials)
    store.recorder.start_trial(first)
    store.recorder.start_trial(second)
    store.recorder.close(interrupted=True, complete=False)
    assert set(store.statuses().values()) == {"KILLED"}
    assert store.recorder.states == {first: TrialState.INTERRUPTED, second: TrialState.INTERRUPTED}


def test_runs_of_a_launch_that_died_are_closed_by_the_next(store: Store, tmp_path: Path) -> None:
    identity = store.trials[0].identity
    store.recorder.start_trial(identity)
    store.recorder._thread.shutdown(wait=True)  # then the process dies
    assert store.statuses() == {identity: "RUNNING", "launch": "RUNNING"}
    clean_up(store.ledger, Locks(tmp_path / "locks"))
    assert store.statuses() == {identity: "KILLED", "launch": "KILLED"}
    assert store.ledger.trials()[identity].state == TrialState.INTERRUPTED


def test_tags_name_the_cell_and_the_point_with_nuisance_values(store: Store) -> None:
    identity = store.trials[1].identity
    store.finish(identity)
    store.recorder.close(interrupted=False, complete=False)
    tags = store.ledger.trials()[identity].tags
    assert tags["cell.example"] == "optimizer.name=adam model.pos_embed=none"
    assert tags["point.example"] == "optimizer.name=adam model.pos_embed=none optimizer.lr=0.1"


def test_labels_name_every_axis_by_its_last_part(store: Store) -> None:
    trial = store.trials[1]
    assert trial_label(trial) == "optimizer=adam pos_embed=none lr=0.1 seed=0"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("no disk can be mounted here")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_rows_wait_for_a_full_disk_and_are_written_once(
    small_disk: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "MIN_WAIT_S", 0.05)
    store = Store(small_disk, cache_dir)
    identity = store.trials[0].identity
    store.recorder.start_trial(identity)
    store.recorder._thread.submit(lambda: None).result()
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
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
    store.recorder.close(interrupted=False, complete=True)
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
    store.recorder.close(interrupted=False, complete=True)
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
    store.recorder.close(interrupted=True, complete=False)
    record = store.ledger.trials()[identity]
    assert (record.state, record.last_step) == (TrialState.RUNNING, 0), "it is open, and its checkpoint has the rows"


def test_a_trial_that_ends_without_its_files_is_not_finished(store: Store) -> None:
    """As on a node that does not share the store's disk: it is trained again, instead of being damaged forever."""
    lacking, whole = (trial.identity for trial in store.trials)
    (store.files[lacking] / "predictions.parquet").unlink()
    store.finish(lacking)
    store.finish(whole)
    store.recorder.close(interrupted=False, complete=True)
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
    store.recorder.close(interrupted=False, complete=True)
    assert store.recorder.error == "its lock cannot be released"
    assert store.recorder.states == {identity: TrialState.FINISHED}, "its results are written"


def test_a_deleted_experiment_is_one_error(store: Store) -> None:
    first, second = (trial.identity for trial in store.trials)
    store.recorder.start_trial(first)
    store.recorder.start_trial(second)
    store.recorder._thread.submit(lambda: None).result()
    store.client.delete_experiment("1")
    store.recorder.end_trial(first, TrialState.FINISHED)
    store.recorder.close(interrupted=False, complete=True)
    assert "was deleted in MLflow: restore it there" in store.recorder.error
    assert len(store.recorder.error.splitlines()) == 1
    assert store.kept() == [first, second]
    assert store.recorder.messages == {}, "the error is not repeated for each trial"


def test_a_trial_that_no_worker_started_gets_a_run_with_its_traceback(store: Store) -> None:
    """Otherwise its end could not be written, and that would hide the error of the worker."""
    identity = store.trials[0].identity
    store.recorder.end_trial(identity, TrialState.FAILED, message="no worker", failure="code", traceback="at line 1")
    store.recorder.close(interrupted=False, complete=False)
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
    store.recorder.close(interrupted=False, complete=True)
    [line] = (store.recorder.messages[first] if whose == "trial" else store.recorder.error).splitlines()
    assert f"Run with id={run_id} not found" in line
    assert store.statuses()[second] == "FINISHED"
    assert "RUNNING" not in store.statuses().values()
