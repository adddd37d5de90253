"""Launches that live, on a disk and on a server."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from study.ledger import liveness
from study.ledger.ledger import Ledger
from study.ledger.liveness import Liveness
from study.ledger.locks import Locks
from study.ledger.records import RunInfo
from study.ledger.server_locks import ServerLocks
from tests.study.ledger.test_locks import start_holder


def test_a_launch_on_a_disk_lives_while_its_process_holds_its_lock(
    tmp_path: Path, new_ledger: Callable[[Path], Ledger]
) -> None:
    ledger = new_ledger(tmp_path)
    launch = ledger.launches.open("example", {}, "trial")
    dead = ledger.launches.open("example", {}, "other")
    found = Liveness(ledger)
    with start_holder(tmp_path / "locks") as holder:
        living = found.living()
        confirmed = found.wait_for_heartbeat()
        os.kill(holder.pid, signal.SIGKILL)
    assert living.keys() == confirmed.keys() == {launch}
    assert living[launch].start_ms == pytest.approx(1000 * time.time(), abs=600_000)
    assert not found.living()
    assert ledger.launches.running().keys() == {launch, dead}, "nothing is changed"
    assert (tmp_path / "locks" / "trial.lock").exists(), "whose launch is to be ended by another"


def test_looking_takes_no_lock(tmp_path: Path) -> None:
    locks = Locks(tmp_path)
    assert not locks.is_held("trial")
    assert not list(tmp_path.iterdir())
    assert locks.acquire("trial")
    assert locks.is_held("trial")
    assert Locks(tmp_path).is_held("trial")
    locks.release("trial")
    assert Locks(tmp_path).acquire("trial")


class Server:
    """A ledger on a server whose launches send heartbeats, or do not."""

    server = "http://server"

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s, self.beats, self.launches = 0.0, {"one": 1, "two": 1}, self
        monkeypatch.setattr(liveness, "time", SimpleNamespace(monotonic=lambda: self.now_s, sleep=self.sleep))
        self.lives = {"one"}

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        for name in self.lives:
            self.beats[name] = int(self.now_s / 5)

    def running(self) -> dict[str, RunInfo]:
        return {
            name: RunInfo(run_id=name, status="RUNNING", deleted=False, metrics={}, tags={"heartbeat": str(count)})
            for name, count in self.beats.items()
        }


def test_a_launch_on_a_server_lives_until_it_sends_no_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch)
    found = Liveness(server)  # type: ignore[arg-type]
    assert found.living().keys() == {"one", "two"}
    for _ in range(70):
        living = found.living()
        server.sleep(1)
    assert living.keys() == {"one"}


def test_one_look_at_a_server_takes_a_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch)
    assert Liveness(server).wait_for_heartbeat().keys() == {"one"}  # type: ignore[arg-type]
    assert 10 < server.now_s < 20
    server.lives = {"one", "two"}
    before_s = server.now_s
    assert Liveness(server).wait_for_heartbeat().keys() == {"one", "two"}  # type: ignore[arg-type]
    assert server.now_s - before_s <= 6


@pytest.mark.slow
def test_a_real_launch_on_a_server_lives(
    machine: Callable[[str], Ledger], launched: Callable[[Ledger], ServerLocks], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.ledger.server_locks.HEARTBEAT_INTERVAL_S", 0.2)
    monkeypatch.setattr(liveness, "HEARTBEAT_INTERVAL_S", 0.2)
    locks = launched(machine("one"))
    assert locks._launches[0] in Liveness(machine("other")).wait_for_heartbeat()
