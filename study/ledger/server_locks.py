"""Locks among the launches that share a tracking server, on any machines.

A lock is a tag, `held_lock.NAME`, on the run of the launch that holds it. A launch writes its tag first, then looks for
others: what a request wrote is there for all once it is answered, so of two launches at least one sees the other and
lets go.
Each launch sends heartbeats. A launch without one for GRACE_PERIOD_S is evicted, and learns it at its next heartbeat.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from study.layout import LOCKS
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks, LocksLostError
from study.ledger.records import RunInfo
from study.ledger.schema import HEARTBEAT_TAG

HEARTBEAT_INTERVAL_S = 5.0
"""Seconds between heartbeats; each also reads those of other launches."""
GRACE_PERIOD_S = 60.0
"""Seconds without a new heartbeat after which another launch counts as dead."""
MAX_HEARTBEAT_GAP_S = 3 * HEARTBEAT_INTERVAL_S
"""Gap between our own heartbeats after which we may have missed others', and others ours."""


class ServerLocks(Locks):
    """Locks on a server. Each is also a file lock, by which dead processes of this machine are noticed at once."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        super().__init__(folder)
        self._ledger = ledger
        self._num_heartbeats = 0
        self._seen_s: dict[tuple[str, str], float] = {}
        self._heartbeat_lock = threading.Lock()
        self._closed = threading.Event()

    def acquire_new(self) -> str:
        """Acquire a new lock on this machine for a launch whose run is not created yet, and return its name."""
        name = super().acquire_new()
        return name if Locks.acquire(self, _machine_lock(name)) else self.acquire_new()

    def begin(self, launches: Sequence[str]) -> None:
        """Start the heartbeats of a launch with these runs. The first has the tags of its locks."""
        self._launches = launches
        self._launch = launches[0]
        self._last_heartbeat_s = time.monotonic()
        self._heartbeat_thread = threading.Thread(target=self._send_heartbeats, name="heartbeat", daemon=True)
        self._heartbeat_thread.start()

    def acquire(self, name: str) -> bool:
        """Acquire a lock without waiting, and return whether this launch holds it.

        Raises:
            MlflowException: the server does not answer; the lock is not held.
        """
        if name in self._held:
            return True
        if not super().acquire(name):
            return False
        is_locked = False
        try:
            is_locked = self._lock_on_server(name)
        finally:
            if not is_locked:
                super().release(name)
        return is_locked

    def _lock_on_server(self, name: str) -> bool:
        if self._other_holders(name):
            return False
        self._ledger.launches.lock(self._launch, name)
        if self._other_holders(name):
            self._ledger.launches.unlock(self._launch, name)
            return False
        return True

    def _other_holders(self, name: str) -> list[RunInfo]:
        """Return the other launches that hold a lock, and end those among them that died on this machine."""
        others = [each for each in self._ledger.launches.lock_holders(name) if each.run_id != self._launch]
        return [each for each in others if not end_if_dead_here(each, self, self._ledger)]

    def release(self, name: str) -> None:
        """Release a lock if it is held.

        Raises:
            MlflowException: the server does not answer; the lock is still held.
        """
        if name in self._held:
            self._ledger.launches.unlock(self._launch, name)
        super().release(name)

    def release_all(self) -> None:
        """Release all locks on this machine. Those on the server end with the launch, which has ended."""
        self._closed.set()
        self._heartbeat_thread.join()
        for name in list(self._held):
            super().release(name)

    def confirm(self) -> None:
        """Make sure that this launch still holds its locks, if its last heartbeat is long ago.

        Raises:
            LocksLostError: it was evicted.
            MlflowException: the server does not answer.
        """
        if self.is_fenced or time.monotonic() - self._last_heartbeat_s > MAX_HEARTBEAT_GAP_S:
            self._heartbeat()
        if self.is_fenced:
            raise LocksLostError

    def _send_heartbeats(self) -> None:
        while not self._closed.wait(HEARTBEAT_INTERVAL_S):
            try:
                self._heartbeat()
            except Exception:  # the server is unavailable: `confirm` raises it to whoever writes
                continue

    def _heartbeat(self) -> None:
        """Send a heartbeat, read those of other launches, and evict launches that sent none for GRACE_PERIOD_S."""
        with self._heartbeat_lock:  # the heartbeat thread and a writing thread may come at once
            self._num_heartbeats += 1
            for launch in self._launches:
                self.is_fenced |= not self._ledger.launches.heartbeat(launch, self._num_heartbeats)
            running = self._ledger.launches.running()
            now_s = time.monotonic()
            if now_s - self._last_heartbeat_s > MAX_HEARTBEAT_GAP_S:
                self._seen_s.clear()
            self._last_heartbeat_s = now_s
            last_heartbeats = [(run_id, launch.tags.get(HEARTBEAT_TAG, "")) for run_id, launch in running.items()]
            self._seen_s = {last: self._seen_s.get(last, now_s) for last in last_heartbeats}
            for (run_id, _), since_s in self._seen_s.items():
                if run_id not in self._launches and now_s - since_s > GRACE_PERIOD_S:
                    self._ledger.launches.evict(run_id)


def begin_launch(
    studies: Mapping[str, Mapping[str, str]], ledger: Ledger, log: Callable[[str], None]
) -> tuple[dict[str, str], str, Locks]:
    """Begin a launch. It holds its locks before others can see it: a cleanup ends launches without a lock.

    Args:
        studies: tags of each study, by its name.

    Returns:
        The id of its run of each study, the name of its first lock, and its locks: on its server, or on its store's
        disk.
    """
    folder = ledger.root / LOCKS
    locks = ServerLocks(folder, ledger) if ledger.server else Locks(folder)
    names = [locks.acquire_new() for _ in studies]
    launches = {
        study: ledger.retry(partial(ledger.launches.open, study, tags, name), log=log)
        for (study, tags), name in zip(studies.items(), names, strict=True)
    }
    locks.begin(list(launches.values()))
    return launches, names[0], locks


def end_if_dead_here(launch: RunInfo, locks: Locks, ledger: Ledger) -> bool:
    """End a launch whose process died on this machine, and return whether it did."""
    lock = _machine_lock(launch.owner)
    if not locks.acquire_stale(lock):
        return False
    ledger.launches.evict(launch.run_id)
    Locks.release(locks, lock)
    return True


def _machine_lock(name: str) -> str:
    """Return the name of the lock that a launch holds on its own machine alone, beside its lock of this name."""
    return f"launch-{name}"
