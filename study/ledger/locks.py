"""File locks among the processes that share a store's folder."""

import re
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from revit.errors import InputError

FILE_NAME = re.compile(r"\w[\w.-]*")
"""Names of locks: a file's, never a path to another folder."""


class LocksLostError(RuntimeError):
    """Another launch evicted this one and has its trials."""

    def __init__(self) -> None:
        super().__init__("the server got no heartbeat of this launch for a minute, and another took its trials over")


class Locks:
    """Locks by name: a trial's identity, or a launch's own. The operating system frees those of a dead process.

    A lock is a lock on a file, so the disk has to support file locks, as local disks and NFS from version 4 do.

    Args:
        folder: folder of the lock files; created if necessary.
    """

    is_fenced = False
    """True once this launch was evicted: another may hold its locks."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._held: dict[str, FileLock] = {}

    def acquire_new(self) -> str:
        """Acquire a lock with a new name, and return the name: it is held before others can know it."""
        name = uuid4().hex
        return name if Locks.acquire(self, name) else self.acquire_new()  # a cleanup may have been faster

    def begin(self, launches: Sequence[str]) -> None:
        """Start to hold locks for a launch with these runs. File locks need nothing."""

    def confirm(self) -> None:
        """Raise LocksLostError if another launch may hold these locks. File locks are never lost."""

    def acquire(self, name: str) -> bool:
        """Acquire a lock without waiting, and return whether this process holds it."""
        if name in self._held:
            return True
        lock = FileLock(self._path(name), thread_local=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        self._held[name] = lock
        return True

    def acquire_if_free(self, name: str) -> bool:
        """Acquire a lock that no process holds, not even this one, and return whether it was free."""
        return name not in self._held and self.acquire(name)

    def acquire_stale(self, name: str) -> bool:
        """Acquire a lock that a dead process of this folder held, and return whether there was one."""
        return self._path(name).exists() and Locks.acquire(self, name)

    def is_held(self, name: str) -> bool:
        """Return whether any process holds a lock. Unlike `acquire`, it leaves no trace."""
        if name in self._held:
            return True
        if not self._path(name).exists():
            return False
        try:
            with FileLock(self._path(name), blocking=False):
                return False
        except Timeout:
            return True

    def release(self, name: str) -> None:
        """Release a lock if it is held."""
        lock = self._held.pop(name, None)
        if lock is not None:
            Path(lock.lock_file).unlink(missing_ok=True)  # while it is held, so that no other holds the same file
            lock.release()

    def release_all(self) -> None:
        """Release all locks."""
        for name in list(self._held):
            self.release(name)

    def _path(self, name: str) -> Path:
        """Return the file of a lock.

        Raises:
            InputError: it would be in another folder: somebody has changed the tags of a run.
        """
        if not FILE_NAME.fullmatch(name):
            raise InputError(f"the store has a run of the identity {name!r}, which no trial has: delete it in MLflow")
        return self._folder / f"{name}.lock"
