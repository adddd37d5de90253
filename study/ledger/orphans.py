"""What launches leave in a store when they die: runs nobody ended, folders nobody needs. Found, and removed."""

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
    """A folder or file that whoever made it did not live to remove.

    Attributes:
        owner: the lease under which it was made.
        why: what it is, and why it is not needed.
    """

    path: Path
    owner: str
    why: str


def find_orphans(ledger: Ledger) -> Iterator[Orphan]:
    """What may be removed from a store, unless its owner lives."""
    work = inside(ledger.root / WORK)
    records = ledger.trials() if work else {}
    for folder in work:
        if folder.name in records and records[folder.name].state.is_terminal:
            yield Orphan(folder, folder.name, "work folder of a trial that is settled")
    for folder in inside(ledger.root / TUNE):
        yield Orphan(folder, folder.name, "folder of a launch that died")
    for lock in inside(ledger.root / LOCKS):
        yield Orphan(lock, lock.stem, "lease of a process that died")


def clean_up(ledger: Ledger, locks: Locks) -> list[Orphan]:
    """End the runs that nobody ended, and remove what is left over; what belongs to the living stays."""
    merge_duplicates(ledger, locks)
    ledger.close_stale_runs(locks)
    return [each for each in find_orphans(ledger) if _remove(each, locks)]


def merge_duplicates(ledger: Ledger, locks: Locks) -> list[str]:
    """Merge the runs of each trial and launch that has several, and that nobody runs; returns their names."""
    free = [name for name in ledger.runs.duplicates() if locks.acquire_if_free(name)]
    for name in free:
        ledger.runs.merge_duplicates(name)
        locks.release(name)
    return free


def merge_idle_duplicates(ledger: Ledger) -> list[str]:
    """Do the same on a server, without a launch: what no launch there has claimed; returns their names."""
    free = [name for name in ledger.runs.duplicates() if not ledger.launches.lock_holders(name)]
    for name in free:
        ledger.runs.merge_duplicates(name)
    return free


def clean_up_idle(ledger: Ledger) -> None:
    """The same where there is nothing to train, and so no launch: on a server, only this machine's dead are ended."""
    locks = Locks(ledger.root / LOCKS)
    if not ledger.server:
        clean_up(ledger, locks)
        return
    for launch in ledger.launches.running().values():
        end_if_dead_here(launch, locks, ledger)
    merge_idle_duplicates(ledger)


def is_dead(owner: str, locks: Locks) -> bool:
    """Whether no process has this lease."""
    taken = locks.acquire_if_free(owner)
    if taken:
        locks.release(owner)
    return taken


def _remove(orphan: Orphan, locks: Locks) -> bool:
    if not locks.acquire_if_free(orphan.owner):
        return False
    if orphan.path.is_dir():
        shutil.rmtree(orphan.path, ignore_errors=True)
    locks.release(orphan.owner)  # which removes the lock file itself
    return True


def inside(folder: Path) -> list[Path]:
    """What lies in a folder; nothing where there is none."""
    return sorted(folder.iterdir()) if folder.is_dir() else []


def tree_size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files)
