"""Orphans: runs, folders, locks of dead launches."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from study.layout import LOCKS, TUNE, WORK
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.runs import run_info
from study.ledger.server_locks import end_if_dead_here
from study.system.storage import Storage


@dataclass(frozen=True)
class Removable:
    """Runs to end, or a folder or file to remove, unless the owner lives.

    Attributes:
        owner: name of the lock under which it was made.
        kind: what it is.
        path: folder or file, or its name in an object store; None for runs.
        remove: removes it, or ends the runs; called only with that lock.
        num_bytes: its size in an object store; None elsewhere.
    """

    owner: str
    kind: str
    path: Path | str | None
    remove: Callable[[], None]
    num_bytes: int | None = None

    def remove_if_free(self, locks: Locks) -> bool:
        """Remove it unless a process holds its lock, and return whether it is removed."""
        if not locks.acquire_if_free(self.owner):
            return False
        try:
            self.remove()
        finally:
            locks.release(self.owner)
        return True


def find_orphans(ledger: Ledger) -> Iterator[Removable]:
    """Yield what may be removed from a store unless its owner lives, each after those before it were removed."""
    for name in ledger.runs.duplicates():
        yield Removable(name, "duplicate runs of a trial or launch", None, partial(ledger.runs.merge_duplicates, name))
    for run in map(run_info, ledger.runs.search("attributes.status = 'RUNNING'")):
        yield Removable(run.owner, "RUNNING run of a dead process", None, partial(ledger.runs.interrupt, run.run_id))
    yield from find_completed_work(ledger)
    for storage in _storages(ledger):
        for name in storage.folders(TUNE):
            yield _folder_of(storage, TUNE, name, "folder of a dead launch")


def find_completed_work(ledger: Ledger) -> Iterator[Removable]:
    """Yield the work folders of trials that are not trained again."""
    work = [(storage, name) for storage in _storages(ledger) for name in storage.folders(WORK)]
    records = ledger.trials() if work else {}
    for storage, name in work:
        if name in records and records[name].state.is_terminal:
            yield _folder_of(storage, WORK, name, "work folder of a completed trial")


def _storages(ledger: Ledger) -> set[Storage]:
    """Return the storage of a ledger, and the store's folder, where the driver keeps files that it fetches."""
    return {Storage(str(ledger.root)), ledger.storage}


def _folder_of(storage: Storage, parent: str, owner: str, kind: str) -> Removable:
    name = f"{parent}/{owner}"
    if storage.folder is not None:
        path = storage.folder / name
        return Removable(owner, kind, path, partial(shutil.rmtree, path, ignore_errors=True))
    place, num_bytes = f"{name} in {storage.address}", sum(storage.list(name).values())
    return Removable(owner, kind, place, partial(storage.delete, name), num_bytes)


def merge_duplicates(ledger: Ledger, locks: Locks) -> None:
    """Merge duplicate runs that no other process holds the lock of. May be repeated; the locks stay held."""
    for name in ledger.runs.duplicates():
        if locks.acquire(name):
            ledger.runs.merge_duplicates(name)


def clean_up(ledger: Ledger, locks: Locks) -> list[Removable]:
    """Remove orphans, and return them. Nothing of a living process is touched."""
    removed = [each for each in find_orphans(ledger) if each.remove_if_free(locks)]
    for lock in sorted((ledger.root / LOCKS).glob("*")):
        is_dead(lock.stem, locks)  # removes the file if so
    return removed


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
    """Return whether no process holds this lock; remove the file that a dead one left."""
    is_free = locks.acquire_if_free(owner)
    if is_free:
        locks.release(owner)
    return is_free


def tree_size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files)
