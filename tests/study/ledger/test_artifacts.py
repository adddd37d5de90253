"""study.ledger.artifacts, of a folder or of a server."""

import shutil
from collections.abc import Callable
from pathlib import Path

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
    np.testing.assert_array_equal(ledger.artifacts.read_correct(run_id), expected)


def test_logits_are_in_the_order_of_the_image_store(ledger: Ledger) -> None:
    labels, logits = np.array([2, 0, 1]), np.arange(9, dtype=np.float16).reshape(3, 3)
    index = np.array([7, 3, 5])
    predictions = Predictions(index, labels, labels, *np.zeros((2, 3), np.float32), labels)
    path = ledger.artifacts.path("run", PREDICTIONS)
    path.parent.mkdir(parents=True)
    write_predictions(path, {"mnist_5k/test": Evaluation(predictions, logits, None)})
    found_labels, found = ledger.artifacts.read_logits("run", "mnist_5k/test")
    assert found_labels.tolist() == [0, 1, 2]
    assert found.tolist() == logits[[1, 2, 0]].tolist()
    with pytest.raises(KeyError, match="val"):
        ledger.artifacts.read_logits("run", "val")
    largest = Evaluation(predictions, logits, np.zeros((3, 3), np.int32))
    write_predictions(path, {"test": largest})
    with pytest.raises(InputError, match="trial run keeps the 100 largest logits of more classes: all are needed"):
        ledger.artifacts.read_logits("run")
