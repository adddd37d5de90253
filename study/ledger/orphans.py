"""Orphans: runs, folders, locks of dead launches."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from study.layout import LOCKS, TUNE, WORK
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.server_locks import end_if_dead_here


@dataclass(frozen=True)
class Orphan:
    """Folder or file of a process that died before it removed it.

    Attributes:
        owner: name of the lock under which it was made.
        why: what it is.
    """

    path: Path
    owner: str
    why: str


def find_orphans(ledger: Ledger) -> Iterator[Orphan]:
    """Yield what may be removed from a store unless its owner lives."""
    work = inside(ledger.root / WORK)
    records = ledger.trials() if work else {}
    for folder in work:
        if folder.name in records and records[folder.name].state.is_terminal:
            yield Orphan(folder, folder.name, "work folder of a completed trial")
    for folder in inside(ledger.root / TUNE):
        yield Orphan(folder, folder.name, "folder of a dead launch")
    for lock in inside(ledger.root / LOCKS):
        yield Orphan(lock, lock.stem, "lock of a dead process")


def clean_up(ledger: Ledger, locks: Locks) -> list[Orphan]:
    """End the runs of dead processes, remove orphans, and return these. Nothing of a living process is touched."""
    merge_duplicates(ledger, locks)
    ledger.close_stale_runs(locks)
    return [each for each in find_orphans(ledger) if _remove(each, locks)]


def merge_duplicates(ledger: Ledger, locks: Locks) -> list[str]:
    """Merge duplicate runs that no process holds the lock of, and return their names."""
    free = [name for name in ledger.runs.duplicates() if locks.acquire_if_free(name)]
    for name in free:
        ledger.runs.merge_duplicates(name)
        locks.release(name)
    return free


def merge_idle_duplicates(ledger: Ledger) -> list[str]:
    """Merge duplicate runs on a server that no launch there holds the lock of, and return their names."""
    free = [name for name in ledger.runs.duplicates() if not ledger.launches.lock_holders(name)]
    for name in free:
        ledger.runs.merge_duplicates(name)
    return free


def clean_up_idle(ledger: Ledger) -> None:
    """Clean up without a launch. On a server, end only the launches that died on this machine."""
    locks = Locks(ledger.root / LOCKS)
    if not ledger.server:
        clean_up(ledger, locks)
        return
    for launch in ledger.launches.running().values():
        end_if_dead_here(launch, locks, ledger)
    merge_idle_duplicates(ledger)


def is_dead(owner: str, locks: Locks) -> bool:
    """Return whether no process holds this lock."""
    is_free = locks.acquire_if_free(owner)
    if is_free:
        locks.release(owner)
    return is_free


def _remove(orphan: Orphan, locks: Locks) -> bool:
    if not locks.acquire_if_free(orphan.owner):
        return False
    if orphan.path.is_dir():
        shutil.rmtree(orphan.path, ignore_errors=True)
    locks.release(orphan.owner)  # which removes the lock file itself
    return True


def inside(folder: Path) -> list[Path]:
    """Return the sorted paths in a folder; empty if it does not exist."""
    return sorted(folder.iterdir()) if folder.is_dir() else []


def tree_size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files)
