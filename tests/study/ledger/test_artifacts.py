"""study.ledger.artifacts, of a folder or of a server."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from benchmarks.report import write_study
from revit.config import FineTuneConfig
from revit.errors import InputError
from revit.training.metrics import Predictions
from revit.training.prediction_file import Evaluation, write_predictions
from search_spaces.framework.space import SearchSpace
from study.layout import PREDICTIONS
from study.ledger import artifacts
from study.ledger.ledger import Ledger
from study.ledger.states import TrialState
from study.plan import Folders
from tests.study.ledger.trial_runs import opened
from tests.study.servers import Proxy, Server

SPACE = SearchSpace(
    name="example",
    question="?",
    base=FineTuneConfig(dataset="digits", resolution=8, crop_scale=(0.6, 1.0), hflip=False, batch_size=32, steps=5),
    scientific={"optimizer.lr": (0.1,)},
    seeds=(0,),
)
INDEX, LABELS, LOGITS = np.array([7, 3, 5]), np.array([2, 0, 1]), np.arange(9, dtype=np.float16).reshape(3, 3)


def test_a_store_that_was_copied_has_its_own_files_and_can_be_relocated(ledger: Ledger, tmp_path: Path) -> None:
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
    assert copy.artifacts.was_moved
    copy.artifacts.relocate()
    client = MlflowClient(copy.uri)
    assert client.get_run(run_id).info.artifact_uri == mine.as_uri()
    assert [file.path for file in client.list_artifacts(run_id)] == ["config.json"]
    assert not Ledger(there).artifacts.was_moved


def test_a_trial_that_is_reopened_loses_its_old_traceback(ledger: Ledger, tmp_path: Path) -> None:
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


@pytest.mark.slow
def test_artifacts_go_to_the_server_and_come_from_it_to_another_machine(server: Server, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "here", server.address)
    launch = ledger.launches.open("files", {})
    known = ledger.open_trial("filed", launch=launch, name="filed", tags={})
    texts = {"note.txt": "kept", "empty.txt": ""}
    (tmp_path / "files").mkdir()
    for name, text in texts.items():
        (tmp_path / "files" / name).write_text(text)
    ledger.close_trial(known.run_id, TrialState.FINISHED, artifacts=tmp_path / "files")
    ledger.launches.close(launch, TrialState.FINISHED, {})
    elsewhere = Ledger(tmp_path / "there", server.address)
    assert elsewhere.artifacts.sizes(known.run_id) == {"note.txt": 4, "empty.txt": 0}
    assert {name: elsewhere.artifacts.path(known.run_id, name).read_text() for name in texts} == texts
    assert not elsewhere.artifacts.path(known.run_id, "nothing.txt").exists()
    assert elsewhere.artifacts.address(known.run_id, "note.txt").startswith(f"{server.address}/#/experiments/")


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["refuse", "page", "lose"])
def test_a_file_that_a_proxy_answers_in_the_server_s_place_is_read_again(
    proxied: Callable[..., Proxy], server: Server, tmp_path: Path, fault: str
) -> None:
    ledger = Ledger(tmp_path / "here", server.address)
    launch = ledger.launches.open("files", {})
    run_id = ledger.open_trial(f"read {fault}", launch=launch, name="read", tags={}).run_id
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "note.txt").write_text("kept")
    ledger.close_trial(run_id, TrialState.FINISHED, artifacts=tmp_path / "files")
    ledger.launches.close(launch, TrialState.FINISHED, {})
    there = Ledger(tmp_path / "there", proxied(**{"note.txt": iter([fault])}).address)
    logged: list[str] = []
    copy = there.retry(lambda: there.artifacts.path(run_id, "note.txt"), log=logged.append)
    assert copy.read_text() == "kept"
    assert [line.split("cannot")[0] for line in logged[:1]] == [f"{there.label} "]


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["refuse", "page"])
def test_a_file_that_a_proxy_took_in_the_server_s_place_is_sent_again(
    proxied: Callable[..., Proxy], tmp_path: Path, fault: str
) -> None:
    proxy = proxied(**{"note.txt": iter([fault])})
    ledger = Ledger(tmp_path / "here", proxy.address)
    launch = ledger.launches.open("files", {})
    run_id = ledger.open_trial(f"filed {fault}", launch=launch, name="filed", tags={}).run_id
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "note.txt").write_text("kept")
    logged: list[str] = []
    ledger.retry(
        lambda: ledger.close_trial(run_id, TrialState.FINISHED, artifacts=tmp_path / "files"), log=logged.append
    )
    ledger.launches.close(launch, TrialState.FINISHED, {})
    assert ledger.artifacts.path(run_id, "note.txt").read_text() == "kept"
    assert len(logged) == 2


def test_correct_images_are_in_the_order_of_the_image_store(tmp_path: Path, cache_dir: Path) -> None:
    """Rows of the file in another order change nothing."""
    folders = Folders(store=tmp_path / "mlruns", data=tmp_path, cache=cache_dir)
    plan, ledger = write_study(SPACE, SPACE.seeds, folders)
    run_id = plan.trials[0].record.run_id
    path = ledger.artifacts.path(run_id, PREDICTIONS)
    predictions = pd.read_parquet(path).sort_values("index")
    expected = (predictions["label"] == predictions["prediction"]).to_numpy()
    assert 0 < expected.mean() < 1
    predictions.sample(frac=1, random_state=0).to_parquet(path, index=False)
    np.testing.assert_array_equal(ledger.artifacts.read_correct([run_id])[run_id], expected)


def write_evaluation(path: Path, split: str, classes: tuple[int, int, int]) -> None:
    """Write the predicted classes of the images 7, 3 and 5, which have the classes 2, 0 and 1."""
    predictions = Predictions(INDEX, LABELS, np.array(classes), *np.zeros((2, 3), np.float32), LABELS)
    write_predictions(path, {split: Evaluation(predictions, LOGITS, None)})


def test_trials_without_predictions_on_a_split_are_left_out(ledger: Ledger) -> None:
    for name in ("right", "half", "damaged", "older"):
        ledger.artifacts.path(name, PREDICTIONS).parent.mkdir(parents=True)
    write_evaluation(ledger.artifacts.path("right", PREDICTIONS), "test", (2, 0, 1))
    write_evaluation(ledger.artifacts.path("half", PREDICTIONS), "val", (2, 0, 1))
    ledger.artifacts.path("damaged", PREDICTIONS).write_text("no table")
    pd.DataFrame({"index": INDEX, "label": LABELS}).to_parquet(ledger.artifacts.path("older", PREDICTIONS))
    found = ledger.artifacts.read_correct(["half", "absent", "damaged", "right", "older"])
    assert {name: correct.tolist() for name, correct in found.items()} == {"right": [True] * 3}
    ledger.artifacts.path("right", PREDICTIONS).unlink()
    assert list(ledger.artifacts.read_correct(["half", "right"])) == ["right"], "a file is read once"


@pytest.mark.slow
def test_predictions_of_several_trials_are_copied_from_a_server_at_a_time(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are some milliseconds away, each."""
    ledger = Ledger(tmp_path / "here", server.address)
    launch = ledger.launches.open("copied", {})
    run_ids = [ledger.open_trial(f"copied {n}", launch=launch, name="copied", tags={}).run_id for n in range(3)]
    for number, run_id in enumerate(run_ids[:2]):
        files = tmp_path / str(number)
        files.mkdir()
        write_evaluation(files / PREDICTIONS, "test", (2, 0, number))
        ledger.close_trial(run_id, TrialState.FINISHED, artifacts=files)
    ledger.close_trial(run_ids[2], TrialState.FINISHED)
    ledger.launches.close(launch, TrialState.FINISHED, {})
    two_at_a_time, copy = threading.Barrier(2, timeout=60), artifacts._download

    def wait_and_copy(*arguments: Any) -> None:
        two_at_a_time.wait()
        copy(*arguments)

    monkeypatch.setattr(artifacts, "_download", wait_and_copy)
    found = Ledger(tmp_path / "there", server.address).artifacts.read_correct([*run_ids, *run_ids])
    assert [found[run_id].tolist() for run_id in run_ids[:2]] == [[True, False, True], [True, True, True]]
    assert len(found) == 2, "the third trial has no predictions"


def test_logits_are_in_the_order_of_the_image_store(ledger: Ledger) -> None:
    path = ledger.artifacts.path("run", PREDICTIONS)
    path.parent.mkdir(parents=True)
    write_evaluation(path, "mnist_5k/test", (2, 0, 1))
    found_labels, found = ledger.artifacts.read_logits("run", "mnist_5k/test")
    assert found_labels.tolist() == [0, 1, 2]
    assert found.tolist() == LOGITS[[1, 2, 0]].tolist()
    with pytest.raises(KeyError, match="val"):
        ledger.artifacts.read_logits("run", "val")
    predictions = Predictions(INDEX, LABELS, LABELS, *np.zeros((2, 3), np.float32), LABELS)
    largest = Evaluation(predictions, LOGITS, np.zeros((3, 3), np.int32))
    write_predictions(path, {"test": largest})
    with pytest.raises(InputError, match="trial run keeps the 100 largest logits of more classes: all are needed"):
        ledger.artifacts.read_logits("run")
