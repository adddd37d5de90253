"""Upkeep of a store: health checks, removal of what is not needed, MLflow's UI, Optuna's dashboard."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from revit.errors import InputError
from study.layout import LOCKS, MIRRORS

if TYPE_CHECKING:
    from search_spaces.framework.space import SearchSpace
    from study.ledger.ledger import Ledger
    from study.ledger.orphans import Removable
    from study.maintenance.checks import CheckResult
    from study.plan import Folders, Plan
    from study.search.cell_search import CellSearch

REFRESH_S = 3.0
"""Seconds between two updates of a dashboard from the ledger."""


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


def ui_path(ledger: "Ledger", space: "SearchSpace | None" = None) -> str:
    """Return the path, below the address of MLflow's UI, of all runs, or of a study's cells, the best first."""
    if space is None:
        return ledger.ui_path()
    from revit.config import FineTuneConfig
    from revit.fields import fields_by_path
    from study.ledger.ui_view import study_view

    fields = fields_by_path(FineTuneConfig)
    axes = [axis for axis in (*space.scientific, *space.nuisance_axes) if axis in fields]
    tags = {name: value for name, value in space.tags.items() if name != "study"}
    return ledger.ui_path(study_view(space.name, space.metric, axes, tags))


def ui_command(folders: "Folders", host: str, port: int) -> list[str]:
    """Return the command that serves MLflow's UI on a store folder."""
    from study.ledger import database

    return database.ui_command(folders.store, host, port)


def serve_dashboard(planned: "Plan", ledger: "Ledger", log: Callable[[str], None], port: int = 0) -> None:
    """Serve optuna-dashboard of a study's searches on this machine, until KeyboardInterrupt.

    It shows a mirror in the store's folder, which follows the ledger. What is changed there changes no result.

    Args:
        log: called with the address.
        port: 0 for a free one.

    Raises:
        InputError: the study has nothing to search, the port is in use, or another process serves this study.
    """
    from study.search.mirror import open_mirror, serve

    space = planned.space
    if not _searches_by_name(planned):
        raise InputError(f"{space.name} has no nuisance axes: nothing is searched")
    with open_mirror(ledger.root / MIRRORS / f"{'-'.join(space.tags.values())}.journal") as mirror:
        mirror.update(_searches_by_name(planned))
        with serve(mirror, port) as address:
            log(f"{address}   (Ctrl-C ends it)")
            while True:
                time.sleep(REFRESH_S)
                planned = planned.with_records(ledger.retry(ledger.trials, log=log))
                mirror.update(_searches_by_name(planned))


def _searches_by_name(planned: "Plan") -> "dict[str, CellSearch]":
    """Return the searches that have something to tune, by study and cell."""
    from study.analysis.searched import searched_cells
    from study.labels import label

    cells = searched_cells(planned)
    return {f"{planned.space.name}: {label(cell)}": search for search, cell in cells if search.cell.axes}


def is_transient(error: BaseException) -> bool:
    """Return whether the store could not be reached or written, which may succeed later."""
    if "study.ledger.ledger" not in sys.modules:
        return False
    from study.ledger import transient

    return transient.is_transient(error)
