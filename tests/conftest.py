"""What tests share: small trials, decoded digits, one Ray for the whole run."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from revit.config import FineTuneConfig
from revit.datasets.store import ImageStore, open_store
from revit.fine_tune import FineTuneResult, Row, TrainState, TrialData, fine_tune
from revit.weights import find_weights


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Trials on a CPU run on one thread, and its number decides the last bits."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Decoded images of this test run."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def digits(cache_dir: Path) -> ImageStore:
    return open_store("digits", data_dir=cache_dir, cache_dir=cache_dir)


@pytest.fixture
def small() -> FineTuneConfig:
    """A trial of about a second: digits at 8 px, from the shipped weights."""
    return FineTuneConfig(
        dataset="digits", resolution=8, crop_scale=(0.6, 1.0), flip=False, batch_size=16, steps=12, num_evals=3
    )


class Listener:
    """Collects what a trial reports; saves a checkpoint at one step and can stop the trial there."""

    def __init__(self, save_at: int | None = None, path: Path | None = None, stop: bool = False) -> None:
        self.rows: list[Row] = []
        self.built: dict[str, Any] = {}
        self.save_at, self.path, self.stop = save_at, path, stop

    def __call__(self, rows: list[Row], state: TrainState) -> None:
        self.rows += rows
        if state.step == self.save_at:
            assert self.path is not None
            state.save(self.path)
            if self.stop:
                raise InterruptedError

    def on_built(self, built: dict[str, Any]) -> None:
        self.built = built

    def curve(self, name: str) -> list[tuple[int, float]]:
        return [(int(row["step"]), row[name]) for row in self.rows if name in row]


@pytest.fixture
def make_listener() -> type[Listener]:
    return Listener


@pytest.fixture
def train(digits: ImageStore) -> Callable[..., tuple[FineTuneResult, Listener]]:
    """Train a config on digits, or on another store, with a listener."""

    def run(
        config: FineTuneConfig,
        listener: Listener | None = None,
        *,
        store: ImageStore = digits,
        resume: Path | None = None,
    ) -> tuple[FineTuneResult, Listener]:
        listener = listener or Listener()
        data = TrialData.of(config, store, find_weights(config.model))
        device = torch.device("cpu")
        result = fine_tune(config, data, listener, device=device, resume=resume, on_built=listener.on_built)
        return result, listener

    return run


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One Ray for all tests that need it: starting one takes seven seconds."""
    import ray

    from study.runner import start_ray

    start_ray()
    yield
    ray.shutdown()


@pytest.fixture
def free_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
