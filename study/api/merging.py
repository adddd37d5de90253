"""Merge of another store into this one."""

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from revit.errors import InputError

if TYPE_CHECKING:
    from study.ledger.ledger import Ledger
    from study.ledger.other_store import OtherStore
    from study.maintenance.merge import Merge
    from study.plan import Folders


def open_other_store(other: "Folders", folders: "Folders") -> "AbstractContextManager[OtherStore]":
    """Open another store, which is only read.

    Args:
        folders: of the store into which it is to be merged.

    Raises:
        InputError: there is none, MLflow cannot read it, or it is the same store.
    """
    if not other.has_store:
        raise InputError(f"there is no store at {other.store}: name the folder that has its mlflow.db, or a server")
    if other.results == folders.results or (not (other.server or folders.server) and _is_same(other, folders)):
        raise InputError(f"{other.results} is the store itself: name another one")
    from study.ledger.other_store import open_other_store as open_store

    return open_store(other.store, other.server)


def _is_same(other: "Folders", folders: "Folders") -> bool:
    return other.store.resolve() == folders.store.resolve()


def find_mergeable(other: "OtherStore", ledger: "Ledger | None") -> "Merge":
    """Compare another store with this one, trial by trial.

    Args:
        ledger: None for a store that is still to be created.
    """
    from study.maintenance.merge import find_mergeable

    return find_mergeable(other, ledger)


def summarize_mergeable(merge: "Merge") -> Iterator[str]:
    """Yield a line for each group of trials, with its number, then for what is left out."""
    from study.maintenance.merge import summarize

    return summarize(merge)


def take_mergeable(
    merge: "Merge", other: "OtherStore", ledger: "Ledger", *, command: str = "", log: Callable[[str], None]
) -> "Generator[bool]":
    """Take what `find_mergeable` found; yield for each trial whether it is here: it is not while a launch trains it.

    Args:
        command: kept with the merge in MLflow; must hold no password.
        log: called with a line while the store is unavailable.

    Raises:
        InputError: another store is merged into this one at the moment.
    """
    from study.ledger.provenance import launch_tags
    from study.maintenance.merge import take

    return take(merge, other, ledger, launch_tags(command), log)
