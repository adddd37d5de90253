"""Fixtures of all tests: small trials, decoded digits, one Ray for the whole run."""

import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from revit.config import FineTuneConfig
from revit.datasets.image_store import ImageStore, open_store
from revit.models.weights import find_weights
from revit.training.fine_tune import FineTuneResult, TrialData, fine_tune
from revit.training.train_state import Row, TrainState
from tests.ports import unused_port


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Trials on a CPU run on one thread, and its number decides the last bits."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """A shell lets what it runs in the background ignore Ctrl-C, and nohup SIGHUP: so would all that tests start."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def equal_priority() -> Iterator[None]:
    """Ray starts workers at niceness 15: beside a busy process, they would get 3 % of a core."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")
        yield


@pytest.fixture(scope="session", autouse=True)
def copied_tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A new store gets a copy of tables made once, which takes most of a second; test_database.py has none of it."""
    if "study.ledger.ledger" not in sys.modules:  # no test imports MLflow
        yield
        return
    from study.ledger import database, ledger

    made = tmp_path_factory.mktemp("tables") / "mlflow.db"

    def copy(path: Path) -> None:
        database.create_database(made)
        if not path.exists():
            shutil.copy(made, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "create_database", copy)
        yield


@pytest.fixture(params=[1, pytest.param(20, marks=pytest.mark.long)], ids=["short", "long"])
def fuzz(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Holds a check against so many drawn values, the same in every run; `-m long` against twenty times as many."""

    def run(examples: int, check: Callable[..., object], *drawn: st.SearchStrategy[Any]) -> None:
        @settings(
            max_examples=examples * request.param,
            derandomize=True,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.tuples(*drawn))
        def every(values: tuple[Any, ...]) -> None:
            check(*values)

        every()

    return run


@pytest.fixture
def damaged() -> Callable[[bytes], st.SearchStrategy[bytes]]:
    """Damage of a file: cut short, bytes changed, zeroed, put in or lost; nothing; something else."""

    @st.composite
    def changes(draw: st.DrawFn, whole: bytes) -> bytes:
        content = bytearray(whole)
        for _ in range(draw(st.integers(1, 4))):
            start = draw(st.integers(0, len(content)))
            length = draw(st.integers(1, 64))
            new = {
                "cut short": b"",
                "changed": draw(st.binary(min_size=1, max_size=8)),
                "zeroed": bytes(length),
                "put in": draw(st.binary(min_size=1, max_size=64)),
                "lost": b"",
            }
            kind = draw(st.sampled_from(list(new)))
            stop = {"cut short": len(content), "changed": start + len(new[kind]), "put in": start}
            content[start : stop.get(kind, start + length)] = new[kind]
        return bytes(content)

    return lambda whole: changes(whole) | st.binary(max_size=200)


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
        dataset="digits", resolution=8, crop_scale=(0.6, 1.0), hflip=False, batch_size=16, steps=12, num_evals=3
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
        device: str = "cpu",
        compile_model: bool = False,
    ) -> tuple[FineTuneResult, Listener]:
        listener = listener or Listener()
        data = TrialData.from_store(config, store, find_weights(config.model))
        result = fine_tune(
            config,
            data,
            listener,
            device=torch.device(device),
            resume=resume,
            compile_model=compile_model,
            on_built=listener.on_built,
        )
        return result, listener

    return run


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One Ray for all tests that need it: starting one takes seven seconds."""
    import ray

    from study.execution.cluster import start_ray

    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")  # workers of studies whose files are in an object store inherit it
        patch.setenv("REVIT_CACHE_DIR", os.devnull)  # they do not: they would find no folder there
        start_ray()
    yield
    ray.shutdown()


@contextmanager
def single_slot() -> Iterator[None]:
    """Trials run one after the other: each slot has a process that imports for seconds."""
    from study.execution.resources import Node

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("study.execution.admission.find_nodes", lambda: [Node(cpus=1, gpus=0)])
        yield


@pytest.fixture
def one_slot() -> Iterator[None]:
    with single_slot():
        yield


@pytest.fixture
def one_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each Ray that a process of this test starts has one CPU, and so one slot."""
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", '{"CPU": 1}')


@pytest.fixture(scope="module")
def free_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    return unused_port()


@pytest.fixture
def no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """All packages are as they should be. `pip check` takes seconds; test_machine.py calls it."""
    fine = CompletedProcess("pip check", 0, stdout="", stderr="")
    monkeypatch.setattr("study.maintenance.checks.machine.subprocess", SimpleNamespace(run=lambda *_, **__: fine))


class Site:
    """A web site on this machine: what it was asked, and how well it behaves.

    Attributes:
        headers: sent along with a path, beside Content-Length.
        ranges: whether it can send the rest of a file.
        break_off_after: bytes after which it hangs up.
        num_busy: first requests for each path that it answers with 503.
        requests: method, path and Range header of each request.
    """

    def __init__(self, files: Mapping[str, bytes], headers: Mapping[str, Mapping[str, str]]) -> None:
        self.files, self.headers = files, headers
        self.ranges = True
        self.break_off_after: int | None = None
        self.num_busy = 0
        self.requests: list[tuple[str, str, str | None]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                site.answer(self, send_body=False)

            def do_GET(self) -> None:
                site.answer(self, send_body=True)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, handler: BaseHTTPRequestHandler, send_body: bool) -> None:
        path, wanted = handler.path.split("?")[0], handler.headers.get("Range")
        self.requests.append((handler.command, path, wanted))
        content = self.files.get(path)
        if [asked for _, asked, _ in self.requests].count(path) <= self.num_busy:
            handler.send_error(503)
            return
        if content is None:
            handler.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted and self.ranges else 0
        if start and start >= len(content):
            handler.send_error(416)
            return
        handler.send_response(206 if start else 200)
        for name, value in {"Content-Length": str(len(content) - start), **self.headers.get(path, {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        if send_body:
            handler.wfile.write(content[start : self.break_off_after])


@pytest.fixture
def serve() -> Iterator[Callable[..., Site]]:
    """Serve some files over HTTP, from memory, as long as the test lasts."""
    sites: list[Site] = []

    def start(
        files: Mapping[str, bytes],
        headers: Mapping[str, Mapping[str, str]] | None = None,
        *,
        ranges: bool = True,
        break_off_after: int | None = None,
    ) -> Site:
        site = Site(files, headers or {})
        site.ranges, site.break_off_after = ranges, break_off_after
        sites.append(site)
        threading.Thread(target=site.server.serve_forever, daemon=True).start()
        return site

    yield start
    for site in sites:
        site.server.shutdown()
        site.server.server_close()
