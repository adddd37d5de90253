"""What launches leave in a store when they die: runs nobody ended, folders nobody needs. Found, and removed."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from study.layout import LOCKS, TUNE, WORK
from study.ledger.ledger import Ledger
from study.ledger.locks import Leases
from study.ledger.server_locks import end_if_dead_here


@dataclass(frozen=True)
class Leftover:
    """A folder or file that whoever made it did not live to remove.

    Attributes:
        owner: the lease under which it was made.
        why: what it is, and why it is not needed.
    """

    path: Path
    owner: str
    why: str


def leftovers(ledger: Ledger) -> Iterator[Leftover]:
    """What may be removed from a store, unless its owner lives."""
    settled = {identity for identity, record in ledger.trials().items() if record.settled}
    for folder in inside(ledger.root / WORK):
        if folder.name in settled:
            yield Leftover(folder, folder.name, "work folder of a trial that is settled")
    for folder in inside(ledger.root / TUNE):
        yield Leftover(folder, folder.name, "folder of a launch that died")
    for lock in inside(ledger.root / LOCKS):
        yield Leftover(lock, lock.stem, "lease of a process that died")


def sweep(ledger: Ledger, leases: Leases) -> list[Leftover]:
    """End the runs that nobody ended, and remove what is left over; what belongs to the living stays."""
    merge_twins(ledger, leases)
    ledger.close_abandoned(leases)
    return [each for each in leftovers(ledger) if _remove(each, leases)]


def merge_twins(ledger: Ledger, leases: Leases) -> list[str]:
    """Merge the runs of each trial and launch that has several, and that nobody runs; returns their names."""
    free = [name for name in ledger.twins() if leases.take_over(name)]
    for name in free:
        ledger.merge_twins(name)
        leases.release(name)
    return free


def merge_idle_twins(ledger: Ledger) -> list[str]:
    """Do the same on a server, without a launch: what no launch there has claimed; returns their names."""
    free = [name for name in ledger.twins() if not ledger.claimants(name)]
    for name in free:
        ledger.merge_twins(name)
    return free


def sweep_idle(ledger: Ledger) -> None:
    """The same where there is nothing to train, and so no launch: on a server, only this machine's dead are ended."""
    leases = Leases(ledger.root / LOCKS)
    if not ledger.server:
        sweep(ledger, leases)
        return
    for launch in ledger.running().values():
        end_if_dead_here(launch, leases, ledger)
    merge_idle_twins(ledger)


def is_dead(owner: str, leases: Leases) -> bool:
    """Whether no process has this lease."""
    taken = leases.take_over(owner)
    if taken:
        leases.release(owner)
    return taken


def _remove(leftover: Leftover, leases: Leases) -> bool:
    if not leases.take_over(leftover.owner):
        return False
    if leftover.path.is_dir():
        shutil.rmtree(leftover.path, ignore_errors=True)
    leases.release(leftover.owner)  # which removes the lock file itself
    return True


def inside(folder: Path) -> list[Path]:
    """What lies in a folder; nothing where there is none."""
    return sorted(folder.iterdir()) if folder.is_dir() else []


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files)
