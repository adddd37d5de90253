import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException

from revit.errors import InputError
from study.ledger.database import tracking_uri, ui_command
from study.ledger.ledger import Ledger
from study.ledger.records import Measurement, TrialUpdate, study_tags
from study.ledger.schema import EXPERIMENT
from study.ledger.states import TrialState
from study.ledger.transient import is_transient
from study.system import retry as patience

NOW = 1_700_000_000_000


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store just created; creating one costs seconds."""
    root = tmp_path_factory.mktemp("store")
    Ledger(root)
    return root


@pytest.fixture
def ledger(empty_store: Path, tmp_path: Path) -> Ledger:
    with sqlite3.connect(empty_store / "mlflow.db") as source, sqlite3.connect(tmp_path / "mlflow.db") as copy:
        source.backup(copy)
    return Ledger(tmp_path)


def opened(ledger: Ledger, identity: str = "a", study: str = "s") -> str:
    launch = ledger.launches.open(study, {})
    tags = {f"study.{study}": "yes"}
    return ledger.open_trial(identity, ledger.find(identity), launch=launch, name="a trial", tags=tags).run_id


def rows(*measured: dict[str, float]) -> list[Measurement]:
    return [Measurement(row, NOW) for row in measured]


def test_a_process_killed_while_it_creates_a_store_leaves_none(tmp_path: Path) -> None:
    dies_between_two_tables = """
import os, sys
from pathlib import Path
from alembic.ddl.sqlite import SQLiteImpl
from study.ledger.ledger import Ledger

create_table = SQLiteImpl.create_table

def create_table_and_die(self, table, **options):
    create_table(self, table, **options)
    os._exit(9)

SQLiteImpl.create_table = create_table_and_die
Ledger(Path(sys.argv[1]))
"""
    killed = subprocess.run([sys.executable, "-c", dies_between_two_tables, str(tmp_path)], check=False)
    assert killed.returncode == 9
    assert Ledger(tmp_path).trials() == {}
    assert {path.name for path in tmp_path.iterdir()} == {"mlflow.db", "open.lock"}


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
    assert record.environment == {"device": "cpu"}
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


def test_a_report_is_kept_with_the_newest_launch_of_its_own_recipe_and_scale(ledger: Ledger, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text("")
    own = {"study": "s", "recipe": "paper", "scale": "paper"}
    older, newest = ledger.launches.open("s", own), ledger.launches.open("s", own)
    others = [ledger.launches.open("s", {**own, name: "other"}) for name in ("recipe", "scale")]
    ledger.launches.attach(own, [report], "report")
    kept = [path.parent for path in (ledger.root / "artifacts").rglob("report.html")]
    assert kept == [ledger.root / "artifacts" / newest / "artifacts" / "report"]
    assert not {older, *others} & set(kept[0].parts)


def test_a_store_that_was_copied_has_its_own_files_and_can_be_mended(ledger: Ledger, tmp_path: Path) -> None:
    """It reads and writes no file of the store that it was copied from, and after `relocate` neither does MLflow."""
    files = tmp_path / "files"
    files.mkdir()
    (files / "config.json").write_text("{}")
    run_id = opened(ledger)
    ledger.close_trial(run_id, TrialState.FINISHED, artifacts=files)
    there = tmp_path / "copy"
    there.mkdir()
    shutil.copy(ledger.root / "mlflow.db", there)
    shutil.copytree(ledger.root / "artifacts", there / "artifacts")
    copy = Ledger(there)
    mine = there / "artifacts" / run_id / "artifacts"
    assert copy.artifacts.path(run_id, "config.json") == mine / "config.json"
    assert copy.artifacts.path(run_id, "config.json").read_text() == "{}"
    assert [entry.artifacts for entry in copy.run_infos() if entry.identity] == [mine]
    copy.artifacts.relocate()
    client = MlflowClient(copy.uri)
    assert client.get_run(run_id).info.artifact_uri == mine.as_uri()
    assert [file.path for file in client.list_artifacts(run_id)] == ["config.json"]
    assert Ledger(there).artifacts.folder == there / "artifacts"


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
    assert [len(batch) for batch in batches] == [2, 2, 4]
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


def test_the_ui_needs_a_store(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run a study first"):
        ui_command(tmp_path / "none", "127.0.0.1", 5000)
    command = ui_command(tmp_path, "127.0.0.1", 5001)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert tracking_uri(tmp_path) in command
    assert Path(tracking_uri(tmp_path).removeprefix("sqlite:///")).is_absolute()


TELLS = """
import os, sys
for name in ("CI", "PYTEST_CURRENT_TEST", "GITHUB_ACTIONS"):
    os.environ.pop(name, None)
import study.ledger.ledger
from mlflow.telemetry.utils import is_telemetry_disabled
sys.exit(not is_telemetry_disabled())
"""


def test_nobody_is_told_of_what_is_trained_here_unless_the_user_says_so() -> None:
    """MLflow would tell its makers which of its functions are used, how often and on what system."""
    said = {name: value for name, value in os.environ.items() if name != "MLFLOW_DISABLE_TELEMETRY"}
    assert subprocess.run([sys.executable, "-c", TELLS], env=said, check=False).returncode == 0
    said["MLFLOW_DISABLE_TELEMETRY"] = "false"
    assert subprocess.run([sys.executable, "-c", TELLS], env=said, check=False).returncode == 1


def test_a_run_that_is_deleted_while_it_is_written_is_restored_and_nothing_is_lost(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "MIN_WAIT_S", 0.01)
    run_id = opened(ledger)
    launch = ledger.trials()["a"].launch
    told: list[str] = []
    for each in (run_id, launch):
        ledger.runs.delete(each)
    ledger.retry(lambda: ledger.log(run_id, TrialUpdate(rows=rows({"step": 1, "lr": 0.5}))), log=told.append)
    ledger.runs.delete(run_id)
    ledger.retry(lambda: ledger.close_trial(run_id, TrialState.FINISHED), log=told.append)
    ledger.retry(lambda: ledger.launches.close(launch, TrialState.FINISHED, {"num_finished": 1.0}), log=told.append)
    assert [f"run {run_id} was deleted in MLflow" in line for line in told[::2]] == [True, True, False]
    assert f"run {launch} was deleted in MLflow" in told[-2]
    assert ledger.curve(run_id, "lr") == [(1, 0.5)]
    assert {entry.status for entry in ledger.run_infos()} == {"FINISHED"}
    assert not any(entry.deleted for entry in ledger.run_infos())


def test_of_a_deleted_experiment_nothing_is_written_and_that_is_one_line(ledger: Ledger) -> None:
    run_id = opened(ledger)
    ledger.runs.client.delete_experiment(ledger.runs.experiment_id)
    for write in (
        lambda: ledger.log(run_id, TrialUpdate(rows=rows({"step": 1, "lr": 0.5}))),
        lambda: ledger.close_trial(run_id, TrialState.FINISHED),
        lambda: ledger.launches.open("another", {}),
    ):
        with pytest.raises(InputError, match=f"experiment {EXPERIMENT} of .* was deleted in MLflow: restore it"):
            write()
    ledger.runs.end_deleted(run_id)
    [run] = [entry for entry in ledger.run_infos() if entry.run_id == run_id]
    assert (run.status, run.deleted) == ("KILLED", True)


def test_a_trial_that_is_taken_up_again_loses_its_old_traceback(ledger: Ledger, tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "traceback.txt").write_text("ValueError")
    (files / "config.json").write_text("{}")
    run_id = opened(ledger)
    ledger.close_trial(run_id, TrialState.FAILED, failure="code", artifacts=files)
    assert ledger.artifacts.path(run_id, "traceback.txt").exists()
    assert opened(ledger) == run_id
    ledger.close_trial(run_id, TrialState.FINISHED)
    assert not ledger.artifacts.path(run_id, "traceback.txt").exists()
    assert ledger.artifacts.path(run_id, "config.json").exists()


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (RestException({"error_code": "INVALID_PARAMETER_VALUE", "message": ""}), False),
        (RestException({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": ""}), False),
        (RestException({"error_code": "INTERNAL_ERROR", "message": ""}), True),
        (RestException({"error_code": "CUSTOMER_UNAUTHORIZED", "message": ""}), True),
        (RestException({"error_code": "REQUEST_LIMIT_EXCEEDED", "message": ""}), True),
        (MlflowException("API request to endpoint /x failed with error code 401 != 200. Response body: 'no'"), True),
        (MlflowException("API request to endpoint /x failed with error code 503 != 200. Response body: ''"), True),
        (MlflowException("API request to endpoint /x failed with error code 413 != 200. Response body: ''"), False),
        (
            MlflowException(
                "API request to endpoint was successful but the response body was not in a valid JSON format. "
                "Response body: '<html>\n</html>'"
            ),
            True,
        ),
        (MlflowException("Got an invalid metric"), False),
    ],
)
def test_what_a_server_refuses_is_not_repeated_and_what_comes_in_its_place_is(error: Exception, passes: bool) -> None:
    assert is_transient(error) is passes
