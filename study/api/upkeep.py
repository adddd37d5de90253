"""Upkeep of a store: health checks, removal of what is not needed, MLflow's UI."""

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from study.layout import LOCKS

if TYPE_CHECKING:
    from study.ledger.ledger import Ledger
    from study.ledger.orphans import Removable
    from study.maintenance.checks import CheckResult
    from study.plan import Folders


def diagnose(folders: "Folders", *, fix: bool = False) -> "Iterator[CheckResult]":
    """Check the store, the input files, this machine, a result each.

    Args:
        fix: repair what is fixable; else nothing is changed.
    """
    from study.maintenance import doctor

    return doctor.diagnose(folders, fix=fix)


def find_prunable(ledger: "Ledger", studies: Sequence[str] = (), models: Sequence[str] = ()) -> "list[Removable]":
    """Return what no table needs and no running process uses.

    Args:
        studies: names of the studies to prune; none for all.
        models: names of the studies whose models can all be removed.

    Raises:
        InputError: the store has no trial of a study in `models`.
    """
    from study.ledger.locks import Locks
    from study.maintenance import prune

    return prune.find_prunable(ledger, Locks(ledger.root / LOCKS), studies, models)


def summarize_prunable(found: "Sequence[Removable]") -> Iterator[str]:
    """Yield a line for each path with its size, for each kind with count and size, then the total."""
    from study.maintenance import prune

    return prune.summarize(found)


def remove(ledger: "Ledger", found: "Sequence[Removable]") -> None:
    """Remove what `find_prunable` found, except what a running process uses by now."""
    from study.ledger.locks import Locks

    locks = Locks(ledger.root / LOCKS)
    for each in found:
        each.remove_if_free(locks)


def ui_command(folders: "Folders", host: str, port: int) -> list[str]:
    """Return the command that serves MLflow's UI on a store folder."""
    from study.ledger import database

    return database.ui_command(folders.store, host, port)


def is_transient(error: BaseException) -> bool:
    """Return whether the store could not be reached or written, which may succeed later."""
    if "study.ledger.ledger" not in sys.modules:
        return False
    from study.ledger import transient

    return transient.is_transient(error)
