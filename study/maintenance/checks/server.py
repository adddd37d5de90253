"""Checks of an MLflow tracking server."""

from collections.abc import Iterator

from revit.errors import InputError
from study.ledger.ledger import Ledger
from study.ledger.orphans import merge_idle_duplicates
from study.ledger.states import TrialState
from study.maintenance.checks import CheckResult, fixable
from study.plan import Folders


def check_server(folders: Folders, *, fix: bool) -> Iterator[CheckResult]:
    """Check that the server answers, and its runs.

    `fix` only merges duplicate runs: the next launch ends the runs of a dead one.
    """
    try:
        ledger = Ledger(folders.store, folders.server)
    except InputError as error:
        yield CheckResult("error", f"store: {error}")
        return
    yield CheckResult("ok", f"store: {folders.server} answers")
    running = ledger.launches.running()
    yield CheckResult("ok", f"store: {len(running)} running launches: {', '.join(running) or '-'}")
    duplicates = merge_idle_duplicates(ledger) if fix else ledger.runs.duplicates()
    if duplicates:
        text = f"store: {len(duplicates)} trials or launches have duplicate runs: {', '.join(duplicates)}"
        yield fixable(text, fixed=fix)
    orphans = [
        trial.run_id
        for trial in ledger.trials().values()
        if trial.state is TrialState.RUNNING and trial.launch not in running
    ]
    if orphans:
        text = f"store: {len(orphans)} orphaned RUNNING trials, which the next `run` ends: {', '.join(orphans)}"
        yield CheckResult("warn", text)
