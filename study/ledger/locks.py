"""Who trains what: of all processes that share a store's folder, one at a time."""

import re
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from revit.errors import InputError

PLAIN_NAME = re.compile(r"\w[\w.-]*")
"""A name that is a file's, and none of a folder elsewhere."""


class LocksLostError(RuntimeError):
    """This launch was taken for dead: its trials are another's."""

    def __init__(self) -> None:
        super().__init__("the server did not hear of this launch for a minute, and another took its trials over")


class Locks:
    """Locks of trials, by identity. The system takes a dead process's from it, however it died.

    A lease is a lock on a file of the store, so the store's disk has to know locks, as local disks and NFS from
    version 4 do.

    Args:
        folder: of the lock files; created where there is none.
    """

    lost = False
    """Whether these leases are another's now, as their launch was taken for dead."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._held: dict[str, FileLock] = {}

    def acquire_new(self) -> str:
        """Take the lease of a new name, and return that: it is held before anybody can know it."""
        name = uuid4().hex
        return name if Locks.acquire(self, name) else self.acquire_new()  # a sweep may have been quicker

    def begin(self, launch: str) -> None:
        """Take up what keeps the leases of a launch: a lock on a disk needs nothing.

        Args:
            launch: id of its run.
        """

    def confirm(self) -> None:
        """Raise LostError where the leases may be another's by now: a lock on a disk never is."""

    def acquire_if_free(self, name: str) -> bool:
        """Whether the lease was nobody's, not even this process's, and is this process's now."""
        return name not in self._held and self.acquire(name)

    def acquire_stale(self, name: str) -> bool:
        """Whether a process of this folder died with the lease, which is this process's now."""
        return self._path(name).exists() and Locks.acquire(self, name)

    def acquire(self, name: str) -> bool:
        """Whether the lease is this process's now; False where another has it. Does not wait."""
        if name in self._held:
            return True
        lock = FileLock(self._path(name), thread_local=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        self._held[name] = lock
        return True

    def _path(self, name: str) -> Path:
        """Return the file of a lock.

        Raises:
            InputError: it would lie elsewhere: the name is of a run that somebody has tampered with.
        """
        if not PLAIN_NAME.fullmatch(name):
            raise InputError(f"the store has a run of the identity {name!r}, which no trial has: delete it in MLflow")
        return self._folder / f"{name}.lock"

    def release(self, name: str) -> None:
        """Give a lease back, where it is held."""
        lock = self._held.pop(name, None)
        if lock is not None:
            Path(lock.lock_file).unlink(missing_ok=True)  # while it is held, so that no other holds the same file
            lock.release()

    def release_all(self) -> None:
        """Give every lease back."""
        for name in list(self._held):
            self.release(name)
