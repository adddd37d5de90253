from pathlib import Path

import pytest

from study.labels import trial_label
from study.ledger.locks import Locks
from study.ledger.orphans import clean_up
from study.ledger.records import Measurement, TrialUpdate
from study.ledger.states import TrialState
from tests.study.execution.recorded_trials import Store


@pytest.fixture
def store(tmp_path: Path, cache_dir: Path) -> Store:
    return Store(tmp_path, cache_dir)


def test_finished_trials_end_as_finished_runs_in_a_finished_launch(store: Store) -> None:
    for trial in store.trials:
        store.finish(trial.identity)
    store.recorder.close(interrupted=False)
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
    store.recorder.close(interrupted=False)
    assert store.recorder.states == {first: TrialState.FAILED, second: TrialState.FINISHED}
    assert "no such column" in store.recorder.messages[first]
    assert store.statuses() == {first: "FAILED", second: "FINISHED", "launch": "FAILED"}
    assert store.kept() == [first]


def test_a_trial_with_an_invalid_row_ends_as_failed(store: Store) -> None:
    identity = store.trials[0].identity
    store.recorder.start_trial(identity)
    store.recorder.add_rows(identity, [{"step": 1, "a|b": 1.0}])
    store.recorder.end_trial(identity, TrialState.FINISHED)
    store.recorder.close(interrupted=False)
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
    store.recorder.close(interrupted=False)
    record = store.ledger.trials()[identity]
    assert written == [record.run_id, store.launch]
    assert store.ledger.curve(record.run_id, "lr") == [(step, 0.1 / step) for step in range(1, 6)]
    assert record.metrics["test_accuracy"] == 0.5
    assert record.environment == {"device": "cpu", "workers": "1"}
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
    store.recorder.close(interrupted=True)
    record = store.ledger.trials()[identity]
    assert record.run_id == first.run_id
    assert record.params["optimizer.lr"] == "0.1"
    assert store.ledger.curve(record.run_id, "lr") == [(1, 0.1), (2, 0.1), (3, 0.2)]


@pytest.mark.parametrize("result", ["test_accuracy", "selected_val_accuracy"])
def test_results_are_written_where_a_dead_launch_had_written_the_last_step(store: Store, result: str) -> None:
    """A search trial, too, which has no value on test images."""
    identity = store.trials[0].identity
    first = store.ledger.open_trial(identity, launch=store.launch, name="cut short", tags={})
    store.ledger.log(first.run_id, TrialUpdate(rows=[Measurement({"step": 5, "lr": 0.1}, 0)]))
    store.recorder.start_trial(identity)
    store.recorder.add_rows(identity, [{"step": 5, "lr": 0.2}, {"step": 5, result: 0.5, "train_time_s": 1.0}])
    store.recorder.end_trial(identity, TrialState.FINISHED)
    store.recorder.close(interrupted=False, incomplete=["example"])
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
    store.recorder.close(interrupted=False, incomplete=["example"])
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
    store.recorder.close(interrupted=False)
    assert sorted(store.statuses()) == sorted([identity, "launch"])
    assert len(store.client.search_runs(["1"])) == 2


def test_a_trial_that_another_study_asks_for_with_values_without_effect_keeps_the_values_of_its_run(
    store: Store,
) -> None:
    """`subset_seed` has no effect on a trial of all images: both have one identity."""
    [trial, _] = store.trials
    config = trial.candidate.config
    first = store.ledger.open_trial(trial.identity, launch=store.launch, name="of another study", tags={})
    other = {**config.flat(), "subset_seed": config.subset_seed + 1}
    store.ledger.log(first.run_id, TrialUpdate(config=other))
    store.finish(trial.identity)
    store.recorder.close(interrupted=False)
    assert store.recorder.states == {trial.identity: TrialState.FINISHED}
    assert store.ledger.trials()[trial.identity].params["subset_seed"] == str(other["subset_seed"])


def test_a_trial_without_a_file_that_its_worker_wrote_has_failed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a file that not every trial has."""
    monkeypatch.setattr("study.execution.artifact_fetch.SHARED_FOLDER_LAG_S", 0.0)
    identity = store.trials[0].identity
    store.recorder.start_trial(identity)
    store.recorder.add_rows(identity, [{"step": 5, "test_accuracy": 0.5, "train_time_s": 1.0}])
    written = {f"work/{identity}/artifacts/model.safetensors": 10}
    store.recorder.end_trial(identity, TrialState.FINISHED, artifacts=written)
    store.recorder.close(interrupted=False, incomplete=["example"])
    assert store.recorder.states == {identity: TrialState.FAILED}
    assert store.recorder.messages[identity].startswith("model.safetensors missing in ")


def test_trials_that_started_and_did_not_end_are_interrupted(store: Store) -> None:
    first, second = (trial.identity for trial in store.trials)
    store.recorder.start_trial(first)
    store.recorder.start_trial(second)
    store.recorder.close(interrupted=True)
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
    store.recorder.close(interrupted=False, incomplete=["example"])
    tags = store.ledger.trials()[identity].tags
    assert tags["cell.example"] == "optimizer.name=adam model.pos_embed=none"
    assert tags["point.example"] == "optimizer.name=adam model.pos_embed=none optimizer.lr=0.1"


def test_labels_name_every_axis_by_its_last_part(store: Store) -> None:
    trial = store.trials[1]
    assert trial_label(trial) == "optimizer=adam pos_embed=none lr=0.1 seed=0 (search)"
