"""Who trains what: of all launches that share a tracking server, on whatever machines, one at a time.

A lease is a tag, `claim.NAME`, on the run of the launch that has it. Whoever wants one writes its own tag first and
then looks for others': of two that do so at once, at least one sees the other and lets go, as the server does one thing
after the other. A launch tells every few seconds that it lives; one that stays silent is given up, and learns it when
it comes back.
"""

import threading
import time
from pathlib import Path
from typing import NamedTuple

from study.ledger.ledger import Ledger
from study.ledger.locks import Locks, LocksLostError
from study.ledger.records import RunningLaunch

HEARTBEAT_INTERVAL_S = 5.0
"""How often a launch tells that it lives, and looks whether others do."""
GRACE_PERIOD_S = 60.0
"""After how long without a word another launch counts as dead."""
ABSENT_S = 3 * HEARTBEAT_INTERVAL_S
"""A launch that was away for longer may have missed others' words, and they its own."""


class _Heard(NamedTuple):
    """What a launch last told, and since when it tells nothing else."""

    beat: str
    since: float


class ServerLocks(Locks):
    """Leases on a server; each is one of this machine's folder as well, by which its dead are known at once.

    Args:
        folder: of this machine's lock files.
    """

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        super().__init__(folder)
        self._ledger = ledger
        self._num_beats = 0
        self._heard: dict[str, _Heard] = {}
        self._looking = threading.Lock()
        self._closed = threading.Event()

    def acquire_new(self) -> str:
        """Take a new lease on this machine, for a launch whose run is not created yet, and return its name."""
        name = super().acquire_new()
        return name if Locks.acquire(self, _lock_of(name)) else self.acquire_new()

    def begin(self, launch: str) -> None:
        """Begin to tell that a launch lives, and to take leases for it.

        Args:
            launch: id of its run.
        """
        self._launch = launch
        self._last_look = time.monotonic()
        self._heart = threading.Thread(target=self._beat_on, name="heart", daemon=True)
        self._heart.start()

    def acquire(self, name: str) -> bool:
        """Whether the lease is this launch's now; False where another has it.

        Raises:
            MlflowException: the server does not answer; the lease is then not ours.
        """
        if name in self._held:
            return True
        if not super().acquire(name):
            return False
        claimed = False
        try:
            claimed = self._claim(name)
        finally:
            if not claimed:
                super().release(name)
        return claimed

    def _claim(self, name: str) -> bool:
        if self._others(name):
            return False
        self._ledger.claim(self._launch, name)
        if self._others(name):
            self._ledger.unlock(self._launch, name)
            return False
        return True

    def _others(self, name: str) -> list[RunningLaunch]:
        """The other launches that claim a name, unless they died on this very machine: those are ended."""
        others = [each for each in self._ledger.lock_holders(name) if each.run_id != self._launch]
        return [each for each in others if not end_if_dead_here(each, self, self._ledger)]

    def release(self, name: str) -> None:
        """Give a lease back, where it is held.

        Raises:
            MlflowException: the server does not answer; the lease is then still ours.
        """
        if name in self._held:
            self._ledger.unlock(self._launch, name)
        super().release(name)

    def release_all(self) -> None:
        """Give every lease back: those on the server go with the launch, which has ended."""
        self._closed.set()
        self._heart.join()
        for name in list(self._held):
            super().release(name)

    def confirm(self) -> None:
        """Make sure that the leases are still ours, where we may have been silent for too long.

        Raises:
            LostError: they are not.
            MlflowException: the server does not answer.
        """
        if self.lost or time.monotonic() - self._last_look > ABSENT_S:
            self._look()
        if self.lost:
            raise LocksLostError

    def _beat_on(self) -> None:
        while not self._closed.wait(HEARTBEAT_INTERVAL_S):
            try:
                self._look()
            except Exception:  # the server is away: the next look tells, and so does who writes to it
                continue

    def _look(self) -> None:
        """Tell that we live; hear of the others, and give up who has been silent all the while that we listened."""
        with self._looking:  # the heart and who writes may come at once
            self._num_beats += 1
            self.lost |= not self._ledger.beat(self._launch, self._num_beats)
            running = self._ledger.running()
            now = time.monotonic()
            if now - self._last_look > ABSENT_S:
                self._heard.clear()
            self._last_look = now
            for launch, its in running.items():
                heard = self._heard.get(launch)
                if heard is None or heard.beat != its.beat:
                    self._heard[launch] = _Heard(its.beat, now)
                elif launch != self._launch and now - heard.since > GRACE_PERIOD_S:
                    self._ledger.evict(launch)


def end_if_dead_here(launch: RunningLaunch, locks: Locks, ledger: Ledger) -> bool:
    """Whether a launch was one of this machine's folder, and is dead; then it is ended."""
    lock = _lock_of(launch.lock)
    if not locks.acquire_stale(lock):
        return False
    ledger.evict(launch.run_id)
    Locks.release(locks, lock)
    return True


def _lock_of(name: str) -> str:
    """Name of the lock that a launch holds on its own machine alone, beside its lease of this name."""
    return f"launch-{name}"
