"""study.ledger.locks between real processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.orphans import clean_up
from study.ledger.server_locks import begin_launch

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


def test_a_lock_is_one_process_s_at_a_time_and_freed_however_that_dies(tmp_path: Path) -> None:
    ours = Locks(tmp_path)
    with start_holder(tmp_path) as holder:
        is_acquired = ours.acquire("trial")
        is_other_acquired = ours.acquire("another")
        os.kill(holder.pid, signal.SIGKILL)
    assert not is_acquired
    assert is_other_acquired
    assert ours.acquire("trial")


def test_a_released_lock_leaves_no_file_and_can_be_acquired_again(tmp_path: Path) -> None:
    one, other = Locks(tmp_path), Locks(tmp_path)
    for holder in (one, other, one):
        assert holder.acquire("trial")
        assert holder.acquire("trial"), "it is ours already"
        assert not (other if holder is one else one).acquire("trial")
        holder.release("trial")
    one.release("never is_acquired")
    one.acquire("a")
    one.acquire("b")
    one.release_all()
    assert list(tmp_path.iterdir()) == []


def test_a_launch_is_locked_before_anybody_can_see_it(
    tmp_path: Path, new_ledger: Callable[[Path], Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another launch that cleans up at the moment when its run appears leaves it, and its folder, alone."""
    ledger, other = new_ledger(tmp_path / "mlruns"), Ledger(tmp_path / "mlruns")
    create = ledger.runs.client.create_run

    def create_and_clean_up(*arguments: Any, **options: Any) -> Any:
        run = create(*arguments, **options)
        (ledger.root / "tune" / run.data.tags["lock"]).mkdir(parents=True)
        clean_up(other, Locks(ledger.root / "locks"))
        return run

    monkeypatch.setattr(ledger.runs.client, "create_run", create_and_clean_up)
    launches, lock, locks = begin_launch({"example": {}}, ledger, print)
    assert ledger.launches.running().keys() == set(launches.values())
    assert (ledger.root / "tune" / lock).is_dir()
    locks.release_all()
    clean_up(other, Locks(ledger.root / "locks"))
    assert not ledger.launches.running()
    assert not (ledger.root / "tune" / lock).exists()


def test_a_name_that_a_cleanup_was_faster_to_lock_is_not_a_launch_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [uuid4(), uuid4()]
    cleaning = Locks(tmp_path)
    cleaning.acquire(names[0].hex)
    left = iter(names)
    monkeypatch.setattr("study.ledger.locks.uuid4", lambda: next(left))
    assert Locks(tmp_path).acquire_new() == names[1].hex
