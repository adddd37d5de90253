"""study.ledger.server_locks on MLflow's own server."""

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from study.ledger import server_locks
from study.ledger.ledger import Ledger
from study.ledger.locks import LocksLostError
from study.ledger.orphans import clean_up, clean_up_idle
from study.ledger.server_locks import ServerLocks
from tests.study.servers import ON_BOTH, Server


@pytest.mark.slow
@ON_BOTH
def test_a_lock_is_one_machine_s_at_a_time(
    machine: Callable[[str], Ledger], launched: Callable[[Ledger], ServerLocks]
) -> None:
    one, other = launched(machine("one")), launched(machine("other"))
    assert one.acquire("trial")
    assert one.acquire("trial"), "it is ours already"
    assert not other.acquire("trial")
    assert other.acquire("another")
    one.release("trial")
    assert other.acquire("trial")
    assert not one.acquire("trial")


@pytest.mark.slow
def test_the_launch_of_another_machine_is_alive(
    machine: Callable[[str], Ledger], launched: Callable[[Ledger], ServerLocks]
) -> None:
    ours, theirs = machine("one"), machine("other")
    locks = launched(ours)
    launched(theirs)
    clean_up(ours, locks)
    assert len(ours.launches.running()) == 2, "neither its own launch nor the other is ended"


@pytest.mark.slow
@ON_BOTH
def test_of_many_that_want_a_lock_at_once_never_two_have_it(
    machine: Callable[[str], Ledger], launched: Callable[[Ledger], ServerLocks]
) -> None:
    names = [f"trial{number}" for number in range(6)]
    have: Counter[str] = Counter()
    most: Counter[str] = Counter()
    counting = threading.Lock()

    def grab(locks: ServerLocks) -> None:
        for name in names * 3:
            if not locks.acquire(name):
                continue
            with counting:
                have[name] += 1
                most[name] = max(most[name], have[name])
            time.sleep(0.02)
            with counting:
                have[name] -= 1
            locks.release(name)

    launches = [launched(machine(str(number))) for number in range(3)]
    threads = [threading.Thread(target=grab, args=(locks,)) for locks in launches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most.values()) == {1}, "all may let go of one at once, but never do two have it"
    assert all(launches[0].acquire(name) for name in names), "nobody is left with a tag"


HOLDER = """
import sys, time
from pathlib import Path
from study.ledger.ledger import Ledger
from study.ledger.server_locks import begin_launch
ledger = Ledger(Path(sys.argv[1]), sys.argv[2])
launches, _, locks = begin_launch({"dying": {}}, ledger, print)
print(locks.acquire("of-the-dead"), launches["dying"], flush=True)
time.sleep(600)
"""


def start_holder(folder: Path, server: Server) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), server.address], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    is_acquired, launch = process.stdout.readline().split()
    assert is_acquired == "True"
    return process, launch


@pytest.mark.slow
def test_on_one_machine_the_lock_of_a_dead_launch_is_free_at_once(
    server: Server, tmp_path: Path, launched: Callable[[Ledger], ServerLocks]
) -> None:
    ledger = Ledger(tmp_path / "here", server.address)
    ours = launched(ledger)
    holder, launch = start_holder(tmp_path / "here", server)
    with holder:
        is_acquired = ours.acquire("of-the-dead")
        holder.kill()
    assert not is_acquired
    assert ours.acquire("of-the-dead")
    assert launch not in ledger.launches.running()


@pytest.mark.slow
def test_a_launch_that_died_is_ended_even_where_nothing_is_left_to_train(server: Server, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "here", server.address)
    holder, launch = start_holder(tmp_path / "here", server)
    with holder:
        clean_up_idle(ledger)
        clean_up_idle(Ledger(tmp_path / "elsewhere", server.address))
        assert launch in ledger.launches.running()
        holder.kill()
    clean_up_idle(ledger)
    assert launch not in ledger.launches.running()


@pytest.mark.slow
@ON_BOTH
def test_a_launch_of_another_machine_that_sends_no_heartbeats_is_evicted_and_learns_it_when_it_comes_back(
    server: Server,
    tmp_path: Path,
    launched: Callable[[Ledger], ServerLocks],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_locks, "HEARTBEAT_INTERVAL_S", 0.2)
    monkeypatch.setattr(server_locks, "GRACE_PERIOD_S", 4.0)
    here, there = Ledger(tmp_path / "here", server.address), Ledger(tmp_path / "there", server.address)
    silent, alive = launched(there), launched(there)
    assert silent.acquire("trial")
    assert alive.acquire("other-trial")
    silent._closed.set()  # its heartbeats stop, as those of a stopped process do
    silent._heartbeat_thread.join()
    ours = launched(here)
    assert not ours.acquire("trial")
    while not ours.acquire("trial"):
        time.sleep(0.1)
    assert not ours.acquire("other-trial"), "a launch with heartbeats is not evicted"
    monkeypatch.setattr(server_locks, "MAX_HEARTBEAT_GAP_S", 0.0)
    with pytest.raises(LocksLostError):
        silent.confirm()
    assert silent.is_fenced
    ours.confirm()


@pytest.mark.slow
def test_after_an_outage_nobody_is_evicted_for_heartbeats_that_nobody_could_send(
    machine: Callable[[str], Ledger],
    launched: Callable[[Ledger], ServerLocks],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a gap of its own, a launch reads old heartbeats and has to wait anew before it evicts."""
    ours, theirs = launched(machine("one")), launched(machine("other"))
    for locks in (ours, theirs):
        locks._closed.set()
        locks._heartbeat_thread.join()
    ours._heartbeat()
    ours._last_heartbeat_s -= 1000
    ours._seen_s = {last: since_s - 1000 for last, since_s in ours._seen_s.items()}
    ours._heartbeat()
    assert len(ours._ledger.launches.running()) == 2
    theirs.confirm()


def test_a_launch_on_a_server_sends_heartbeats_in_one_thread_at_a_time(
    tmp_path: Path, new_ledger: Callable[[Path], Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The heartbeat thread, and the recorder's after too long a gap."""
    ledger = new_ledger(tmp_path / "mlruns")
    locks = ServerLocks(ledger.root / "locks", ledger)
    locks.begin([ledger.launches.open("example", {}, locks.acquire_new())])
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
