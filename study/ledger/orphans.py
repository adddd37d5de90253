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


@dataclass(frozen=True)
class Orphan:
    """What a process left that died before it ended or removed it.

    Attributes:
        owner: name of the lock under which it was made.
        why: what it is.
        path: folder or lock file; None for runs.
        remove: removes it, or ends the runs; called only with that lock.
    """

    owner: str
    why: str
    path: Path | None
    remove: Callable[[], None]


def find_orphans(ledger: Ledger) -> Iterator[Orphan]:
    """Yield what may be removed from a store unless its owner lives, each after those before it were removed."""
    for name in ledger.runs.duplicates():
        yield Orphan(name, "duplicate runs of a trial or launch", None, partial(ledger.runs.merge_duplicates, name))
    for run in map(run_info, ledger.runs.search("attributes.status = 'RUNNING'")):
        yield Orphan(run.owner, "RUNNING run of a dead process", None, partial(ledger.runs.interrupt, run.run_id))
    work = inside(ledger.root / WORK)
    records = ledger.trials() if work else {}
    for folder in work:
        if folder.name in records and records[folder.name].state.is_terminal:
            yield _path_orphan(folder, "work folder of a completed trial")
    for folder in inside(ledger.root / TUNE):
        yield _path_orphan(folder, "folder of a dead launch")
    for lock in inside(ledger.root / LOCKS):
        yield _path_orphan(lock, "lock of a dead process")


def _path_orphan(path: Path, why: str) -> Orphan:
    """Return a folder, or a lock: its file is removed when it is released."""
    return Orphan(path.name.removesuffix(".lock"), why, path, partial(shutil.rmtree, path, ignore_errors=True))


def clean_up(ledger: Ledger, locks: Locks) -> list[Orphan]:
    """Remove orphans, and return them. Nothing of a living process is touched."""
    return [each for each in find_orphans(ledger) if _remove(each, locks)]


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
    orphan.remove()
    locks.release(orphan.owner)
    return True


def inside(folder: Path) -> list[Path]:
    """Return the sorted paths in a folder; empty if it does not exist."""
    return sorted(folder.iterdir()) if folder.is_dir() else []


def tree_size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files)
