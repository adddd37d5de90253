"""Locks between real processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from study.execution.runner import begin_launch
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.orphans import clean_up
from study.ledger.server_locks import ServerLocks

HOLDER = """
import sys, time
from pathlib import Path
from study.ledger.locks import Locks
locks = Locks(Path(sys.argv[1]))
print(locks.acquire("trial"), flush=True)
time.sleep(600)
"""


def start_holder(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "True"
    return process


def test_a_lease_is_one_process_at_a_time_and_freed_however_that_dies(tmp_path: Path) -> None:
    ours = Locks(tmp_path)
    with start_holder(tmp_path) as holder:
        taken = ours.acquire("trial")
        other_taken = ours.acquire("another")
        os.kill(holder.pid, signal.SIGKILL)
    assert not taken
    assert other_taken
    assert ours.acquire("trial")


def test_a_lease_given_back_leaves_nothing_and_can_be_taken_again(tmp_path: Path) -> None:
    one, other = Locks(tmp_path), Locks(tmp_path)
    for holder in (one, other, one):
        assert holder.acquire("trial")
        assert holder.acquire("trial"), "it is ours already"
        assert not (other if holder is one else one).acquire("trial")
        holder.release("trial")
    one.release("never taken")
    one.acquire("a")
    one.acquire("b")
    one.release_all()
    assert list(tmp_path.iterdir()) == []


def test_a_launch_is_locked_before_anybody_can_see_it(
    tmp_path: Path, new_ledger: Callable[[Path], Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another launch that sweeps at the moment when its run appears leaves it, and its folder, alone."""
    ledger, other = new_ledger(tmp_path / "mlruns"), Ledger(tmp_path / "mlruns")
    create = ledger.runs.client.create_run

    def create_and_be_swept(*arguments: Any, **options: Any) -> Any:
        run = create(*arguments, **options)
        (ledger.root / "tune" / run.data.tags["lock"]).mkdir(parents=True)
        clean_up(other, Locks(ledger.root / "locks"))
        return run

    monkeypatch.setattr(ledger.runs.client, "create_run", create_and_be_swept)
    launch, lock, locks = begin_launch("example", {}, ledger, print)
    assert ledger.launches.running().keys() == {launch}
    assert (ledger.root / "tune" / lock).is_dir()
    locks.release_all()
    clean_up(other, Locks(ledger.root / "locks"))
    assert not ledger.launches.running()
    assert not (ledger.root / "tune" / lock).exists()


def test_a_name_that_a_sweep_was_quicker_to_lock_is_not_a_launch_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [uuid4(), uuid4()]
    sweeping = Locks(tmp_path)
    sweeping.acquire(names[0].hex)
    left = iter(names)
    monkeypatch.setattr("study.ledger.locks.uuid4", lambda: next(left))
    assert Locks(tmp_path).acquire_new() == names[1].hex


def test_a_launch_on_a_server_tells_that_it_lives_in_one_thread_at_a_time(
    tmp_path: Path, new_ledger: Callable[[Path], Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The heart's own, and the recorder's where it may have been silent for too long."""
    ledger = new_ledger(tmp_path / "mlruns")
    locks = ServerLocks(ledger.root / "locks", ledger)
    locks.begin(ledger.launches.open("example", {}, locks.acquire_new()))
    monkeypatch.setattr("study.ledger.server_locks.MAX_HEARTBEAT_GAP_S", -1.0)
    inside, counts = [0], []

    def heartbeat(launch: str, count: int) -> bool:
        inside[0] += 1
        counts.append((count, inside[0]))
        time.sleep(0.02)
        inside[0] -= 1
        return True

    monkeypatch.setattr(ledger.launches, "heartbeat", heartbeat)
    with ThreadPoolExecutor(4) as pool:
        for confirmed in [pool.submit(locks.confirm) for _ in range(8)]:
            confirmed.result()
    locks.release_all()
    assert [count for count, _ in counts] == list(range(1, 9))
    assert {beside for _, beside in counts} == {1}
