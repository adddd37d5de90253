"""Fixtures of tests of many trials: stores that cost little to make, a tracking server that can be killed."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from study.ledger.ledger import Ledger
from study.ledger.server_locks import ServerLocks
from study.ledger.states import TrialState
from study.plan import Folders
from tests.ports import unused_port
from tests.study.object_store import ObjectStore
from tests.study.servers import POSTGRES_BIN, Postgres, Proxy, Server

if TYPE_CHECKING:
    from tests.study.trained_study import TrainedKinds


@pytest.fixture
def folders(tmp_path: Path, cache_dir: Path) -> Folders:
    """Folders of a store that does not exist yet, and of the decoded images of all tests."""
    return Folders(store=tmp_path, data=tmp_path, cache=cache_dir)


@pytest.fixture(scope="session")
def trained_kinds(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> "Iterator[TrainedKinds]":
    """A trained trial of every way in which a model is built: their files are not to be changed."""
    from tests.study.trained_study import MODULE, train_kinds

    root = tmp_path_factory.mktemp("kinds")
    (root / "models_of_a_user.py").write_text(MODULE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root))
        yield train_kinds(Folders(store=root / "mlruns", data=root, cache=cache_dir))


@pytest.fixture(scope="session")
def new_ledger() -> Callable[[Path], Ledger]:
    """Makes the ledger of a new store in a folder."""
    return Ledger


@pytest.fixture(scope="session")
def sqlite_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that need it: starting one takes seconds."""
    server = Server(tmp_path_factory.mktemp("server"), unused_port())
    yield server
    server.kill()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A database that others share, too: not to be left killed."""
    if not POSTGRES_BIN.is_dir():
        pytest.skip(f"no PostgreSQL in {POSTGRES_BIN}: apt-get install postgresql")
    database = Postgres()
    yield database
    database.kill()
    shutil.rmtree(database.folder)


@pytest.fixture(scope="session")
def postgres_server(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on PostgreSQL, for tests that ask for it with `ON_POSTGRES`, or for both with `ON_BOTH`."""
    server = Server(tmp_path_factory.mktemp("server"), unused_port(), postgres.address)
    yield server
    server.kill()


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Server:
    """The server on SQLite, or the one that a test names by a mark of tests.study.servers."""
    found: Server = request.getfixturevalue(getattr(request, "param", "sqlite_server"))
    return found


@pytest.fixture
def machine(server: Server, tmp_path: Path) -> Callable[[str], Ledger]:
    """The ledger as another machine opens it: the same server, a folder of its own."""
    return lambda name: Ledger(tmp_path / name, server.address)


@pytest.fixture
def launched() -> Iterator[Callable[[Ledger], ServerLocks]]:
    """Begins a launch there and returns its locks; all are ended with the test."""
    from study.ledger.server_locks import begin_launch

    begun: list[tuple[Ledger, str, ServerLocks]] = []

    def begin(ledger: Ledger) -> ServerLocks:
        launches, _, locks = begin_launch({"example": {}}, ledger, print)
        assert isinstance(locks, ServerLocks)
        begun.append((ledger, launches["example"], locks))
        return locks

    yield begin
    for ledger, launch, locks in begun:
        ledger.launches.close(launch, TrialState.FINISHED, {})
        locks.release_all()


@pytest.fixture
def proxied(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Proxy]]:
    """Puts a proxy before the server that has these faults."""
    monkeypatch.setattr("study.system.retry.MIN_WAIT_S", 0.02)
    monkeypatch.setattr("study.system.retry.MAX_WAIT_S", 0.1)
    monkeypatch.setattr("study.execution.searcher.LOCK_POLL_S", 0.1)
    proxies: list[Proxy] = []

    def start(**faults: Iterator[str]) -> Proxy:
        paths = {name.replace("runs_", "runs/").replace("_", "-"): each for name, each in faults.items()}
        proxies.append(Proxy(server, paths))
        return proxies[-1]

    yield start
    for proxy in proxies:
        proxy.close()


@pytest.fixture(scope="module")
def object_store() -> Iterator[ObjectStore]:
    with pytest.MonkeyPatch.context() as patch, ObjectStore(patch) as store:
        yield store


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
