"""study.ledger.ledger."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from revit.errors import InputError
from study.ledger.ledger import Ledger
from study.ledger.records import TrialUpdate, study_tags
from study.ledger.schema import EXPERIMENT
from study.ledger.states import TrialState
from study.plan import Folders
from tests.study.ledger.trial_runs import opened, rows


def test_what_is_written_is_read_back(ledger: Ledger, tmp_path: Path, empty_store: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "config.json").write_text("{}")
    run_id = opened(ledger)
    ledger.log(
        run_id, TrialUpdate(config={"optimizer.lr": 0.1}, rows=rows({"step": 1, "lr": 0.5}), tags={"device": "cpu"})
    )
    last = TrialUpdate(rows=rows({"step": 2, "lr": 0.25, "val_accuracy": 0.75}))
    ledger.close_trial(run_id, TrialState.FINISHED, update=last, artifacts=files)
    record = ledger.trials()["a"]
    assert (record.state, record.last_step) == (TrialState.FINISHED, 2)
    assert record.metrics["val_accuracy"] == 0.75
    assert record.environment == {"device": "cpu", "workers": "1"}
    client = MlflowClient(ledger.uri)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"optimizer.lr": "0.1"}
    assert [(m.step, m.value) for m in client.get_metric_history(run_id, "lr")] == [(1, 0.5), (2, 0.25)]
    assert ledger.artifacts.path(run_id, "config.json").read_text() == "{}"
    assert client.get_experiment_by_name(EXPERIMENT).artifact_location == (empty_store / "artifacts").as_uri()


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (TrialState.FINISHED, "FINISHED"),
        (TrialState.PRUNED, "KILLED"),
        (TrialState.DIVERGED, "FAILED"),
        (TrialState.FAILED, "FAILED"),
        (TrialState.INTERRUPTED, "KILLED"),
    ],
)
def test_a_closed_trial_has_its_state_and_the_status_that_mlflow_has_for_it(
    ledger: Ledger, state: TrialState, status: str
) -> None:
    run_id = opened(ledger)
    ledger.close_trial(run_id, state, message="why")
    run = MlflowClient(ledger.uri).get_run(run_id)
    assert (run.info.status, run.data.tags["state"], run.data.tags["message"]) == (status, state, "why")
    assert ledger.trials()["a"].state is state


def test_a_trial_that_goes_on_keeps_its_run(ledger: Ledger) -> None:
    first = opened(ledger)
    ledger.log(first, TrialUpdate(rows=rows({"step": 4, "lr": 0.5})))
    ledger.close_trial(first, TrialState.INTERRUPTED)
    assert opened(ledger) == first
    assert MlflowClient(ledger.uri).get_run(first).info.status == "RUNNING"
    assert ledger.trials()["a"].state is TrialState.RUNNING
    assert ledger.trials()["a"].last_step == 4
    ledger.close_trial(first, TrialState.FINISHED)
    assert len(ledger.trials()) == 1


def test_a_launch_has_the_trials_that_it_was_the_last_to_train(ledger: Ledger) -> None:
    for identity in ("a", "b", "a"):  # each in a launch of its own
        opened(ledger, identity)
    launches = {identity: record.launch for identity, record in ledger.trials().items()}
    assert [record.identity for record in ledger.trials_of(launches["a"])] == ["a"]
    assert [record.identity for record in ledger.trials_of(launches["b"])] == ["b"]
    assert ledger.trials_of("none") == []


def test_a_trial_of_another_study_is_found_from_this_one(ledger: Ledger) -> None:
    run_id = opened(ledger, study="first")
    ledger.tag_study(ledger.trials()["a"], study_tags("second", cell={"lr": 0.1}, point={}))
    assert ledger.trials()["a"].studies == {"first", "second"}
    found = MlflowClient(ledger.uri).search_runs(["1"], "tags.`study.second` = 'yes'")
    assert [run.info.run_id for run in found] == [run_id]
    assert found[0].data.tags["cell.second"] == "lr=0.1"


def test_a_trial_has_one_cell_in_each_study_and_none_in_all(ledger: Ledger) -> None:
    """A study's cell tag has no cells of another study."""
    run_id = opened(ledger, study="first")
    ledger.tag_study(ledger.trials()["a"], study_tags("second", cell={"lr": 0.1}, point={}))
    ledger.tag_study(
        ledger.trials()["a"], study_tags("second", cell={"lr": 0.1, "schedule": "linear"}, point={})
    )  # its grid has grown
    tags = MlflowClient(ledger.uri).get_run(run_id).data.tags
    assert tags["cell.second"] == "lr=0.1 schedule=linear"
    assert "cell" not in tags


def test_more_rows_than_one_batch_takes_are_all_written(ledger: Ledger) -> None:
    run_id = opened(ledger)
    many = TrialUpdate(
        config={f"param{number}": number for number in range(250)},
        rows=rows(*({"step": step, "lr": 1 / step} for step in range(1, 701))),
        tags={f"tag{number}": "yes" for number in range(100)},
    )
    ledger.log(run_id, many)
    run = MlflowClient(ledger.uri).get_run(run_id)
    assert len(MlflowClient(ledger.uri).get_metric_history(run_id, "lr")) == 700
    assert run.data.params == {name: str(value) for name, value in many.config.items()}
    assert run.data.tags.items() >= many.tags.items()


def test_how_a_trial_ended_is_written_after_all_else(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies in between leaves no trial that looks finished and is not whole."""
    run_id = opened(ledger)
    batches = []
    monkeypatch.setattr(ledger.runs.client, "log_batch", lambda *arguments: batches.append(arguments))
    many = TrialUpdate(rows=rows(*({"step": step, "lr": 0.1} for step in range(1, 1001))))
    ledger.close_trial(run_id, TrialState.FINISHED, update=many)
    assert [len(batch) for batch in batches] == [2, 4]
    assert "state" in {tag.key for tag in batches[-1][3]}


def test_rows_written_twice_are_there_once(ledger: Ledger) -> None:
    """A write that failed half-way is written again."""
    run_id = opened(ledger)
    for _ in range(2):
        ledger.log(run_id, TrialUpdate(rows=rows({"step": 1, "lr": 0.5}, {"step": 2, "lr": 0.25})))
    assert ledger.curve(run_id, "lr") == [(1, 0.5), (2, 0.25)]


def test_a_store_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file cannot be written: "):
        Ledger(tmp_path / "file")


TELEMETRY = """
import os, sys
for name in ("CI", "PYTEST_CURRENT_TEST", "GITHUB_ACTIONS"):
    os.environ.pop(name, None)
import study
if sys.argv[1:]:
    sys.exit(os.environ["MLFLOW_DISABLE_TELEMETRY"] != sys.argv[1])
from mlflow.telemetry.utils import is_telemetry_disabled
assert is_telemetry_disabled()
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "false"
assert not is_telemetry_disabled()
"""


def test_mlflow_sends_no_telemetry_unless_the_user_says_so() -> None:
    """MLflow would report to its makers which of its functions are used, how often and on what system."""
    said = {name: value for name, value in os.environ.items() if name != "MLFLOW_DISABLE_TELEMETRY"}
    subprocess.run([sys.executable, "-c", TELEMETRY], env=said, check=True)
    said["MLFLOW_DISABLE_TELEMETRY"] = "false"
    subprocess.run([sys.executable, "-c", TELEMETRY, "false"], env=said, check=True)


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        folders = Folders(store=tmp_path / "here", data=tmp_path, cache=tmp_path, server=address)
        with pytest.raises(InputError, match=f"{address} is not a store that MLflow can open"):
            Ledger(folders.store, folders.server)
