"""Logged models and versions, as MLflow's own functions find and load them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from torch import nn

from revit.errors import InputError
from study.ledger.ledger import Ledger
from study.ledger.logged_models import Version
from study.ledger.records import TrialUpdate
from study.ledger.states import TrialState
from tests.study.ledger.trial_runs import opened, rows
from tests.study.servers import Server

TAGS = {"study": "s", "cell": "a=1"}


class Tiny(nn.Module):
    """Network from pixels (B, 3, 2, 2) uint8 to logits (B, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 3)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.linear(pixels.flatten(1).float())
        return logits


TINY = Tiny().eval().requires_grad_(False)


@pytest.fixture
def store(ledger: Ledger) -> Ledger:
    """A store where MLflow finds its files: that of `ledger` is a copy."""
    ledger.artifacts.relocate()
    return Ledger(ledger.root)


@pytest.fixture(autouse=True)
def own_address() -> Iterator[None]:
    """Name no store to MLflow after a test."""
    yield
    mlflow.set_tracking_uri(None)


def finished_trial(ledger: Ledger) -> str:
    run_id = opened(ledger)
    update = TrialUpdate(
        config={"optimizer.lr": 0.1}, rows=rows({"step": 2, "test_accuracy": 0.9}, {"step": 1, "lr": 0.5})
    )
    ledger.close_trial(run_id, TrialState.FINISHED, update=update)
    return run_id


def log(ledger: Ledger, run_id: str) -> str:
    return ledger.models.log(
        run_id,
        "a",
        name="s lr=0.1 seed=0",
        network=TINY,
        resolution=2,
        metadata={"class_names": list("xyz")},
        tags=TAGS,
    )


def register(ledger: Ledger, run_id: str, name: str = "my classifier") -> Version:
    return ledger.models.register(name, log(ledger, run_id), tags={**TAGS, "identity": "a"}, description="what it is")


def check_loaded(ledger: Ledger, version: int) -> "mlflow.models.Model":
    """Load a version as the docs say; compare it with the network in batches of any size; return its metadata."""
    mlflow.set_tracking_uri(ledger.uri)
    loaded = mlflow.pyfunc.load_model(f"models:/my classifier/{version}")
    for num_images in (1, 2, 5):
        pixels = np.random.default_rng(num_images).integers(256, size=(num_images, 3, 2, 2), dtype=np.uint8)
        np.testing.assert_array_equal(loaded.predict(pixels), TINY(torch.from_numpy(pixels)).numpy())
    with pytest.raises(MlflowException, match="Shape of input"):
        loaded.predict(np.zeros((1, 3, 4, 4), np.uint8))
    assert loaded.metadata.metadata == {"class_names": ["x", "y", "z"]}
    return loaded.metadata


def check_registered(ledger: Ledger, run_id: str) -> None:
    """Register a trial's model twice by one name, once by another."""
    assert register(ledger, run_id) == Version(1, is_new=True)
    assert register(ledger, run_id) == Version(1, is_new=False)
    assert register(ledger, run_id, "another") == Version(1, is_new=True)
    assert check_loaded(ledger, 1).load_input_example().shape == (2, 3, 2, 2)
    client = MlflowClient(ledger.uri)
    [model] = client.search_logged_models([ledger.runs.experiment_id])
    assert (model.name, model.source_run_id, model.status) == ("s lr=0_1 seed=0", run_id, "READY")
    assert [each.model_id for each in client.get_run(run_id).outputs.model_outputs] == [model.model_id]
    assert model.params == {"optimizer.lr": "0.1"}
    assert {metric.key: (metric.value, metric.step) for metric in model.metrics} == {
        "test_accuracy": (0.9, 2),
        "lr": (0.5, 1),
        "num_steps_done": (2.0, 2),
    }
    assert len(client.get_metric_history(run_id, "test_accuracy")) == 1, "the run has its metrics once"
    version = client.get_model_version("my classifier", "1")
    assert (version.run_id, version.description) == (run_id, "what it is")
    assert version.tags == {**TAGS, "identity": "a"}


def test_a_trial_is_logged_once_and_is_one_version_of_each_name(store: Ledger) -> None:
    """Also after the store was moved."""
    run_id = finished_trial(store)
    killed = store.runs.client.create_logged_model(store.runs.experiment_id, "killed", run_id, {"identity": "a"})
    check_registered(store, run_id)
    with pytest.raises(MlflowException, match="not found"):
        store.runs.client.get_logged_model(killed.model_id)
    moved = store.root.with_name("moved")
    shutil.move(store.root, moved)
    with pytest.raises(InputError, match=r"^--register = 'a': the store was moved: "):
        Ledger(moved).models.check_name("a")
    Ledger(moved).artifacts.relocate()
    there = Ledger(moved)
    check_loaded(there, 1)
    assert register(there, run_id) == Version(1, is_new=False)


@pytest.mark.long
def test_on_a_server(tmp_path: Path, free_port: int) -> None:
    server = Server(tmp_path, free_port)
    try:
        ledger = Ledger(tmp_path / "mlruns", server.address)
        check_registered(ledger, finished_trial(ledger))
    finally:
        server.kill()


@pytest.mark.parametrize("name", ["", " ", "a/b", "models:/a", "..", "it's"])
def test_a_name_that_mlflow_does_not_take_is_one_line(name: str, store: Ledger) -> None:
    with pytest.raises(InputError, match=r"^--register = .*: (MLflow does not take |must have no quotes)[^\n]*$"):
        store.models.check_name(name)
    store.models.check_name("a name.1")


def test_a_store_without_a_registry_is_one_line(store: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    message = "API request to endpoint /api/2.0/mlflow/registered-models/search failed with error code 404 != 200"
    monkeypatch.setattr(MlflowClient, "search_registered_models", lambda *_, **__: raise_(MlflowException(message)))
    with pytest.raises(InputError, match=r"^--register = 'a': the store has no model registry: [^\n]+404[^\n]+$"):
        store.models.check_name("a")


def raise_(error: Exception) -> None:
    raise error
