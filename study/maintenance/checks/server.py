"""Whether a tracking server is there, and of what it says that somebody runs, whether somebody does."""

from collections.abc import Iterator
from importlib.metadata import version

from revit.errors import InputError
from study.ledger.ledger import Ledger
from study.ledger.orphans import merge_idle_duplicates
from study.maintenance.checks import CheckResult, Verdict
from study.plan import Folders


def check_server(folders: Folders, *, fix: bool) -> Iterator[CheckResult]:
    """Look at the server. What a dead launch left, the next one ends; only runs that are there twice are merged."""
    try:
        ledger = Ledger(folders.store, folders.server)
    except InputError as error:
        yield CheckResult("look", f"store: {error}")
        return
    there, here = ledger.server_version(), version("mlflow")
    verdict: Verdict = "ok" if there == here else "look"
    yield CheckResult(verdict, f"store: {folders.server} answers; it runs MLflow {there}, and {here} is installed here")
    running = ledger.running()
    yield CheckResult("ok", f"store: {len(running)} launches are running there: {', '.join(running) or '-'}")
    duplicates = merge_idle_duplicates(ledger) if fix else ledger.duplicates()
    if duplicates:
        told = f"store: {len(duplicates)} trials or launches have several runs there, of which one is to stay"
        yield CheckResult("fixed" if fix else "to fix", f"{told}: {', '.join(duplicates)}")
    orphans = [trial for trial in ledger.trials().values() if trial.outcome is None and trial.launch not in running]
    if orphans:
        names = ", ".join(trial.run_id for trial in orphans)
        told = f"store: {len(orphans)} trials are called running, and no launch runs them: {names}"
        yield CheckResult("look", f"{told}; the next `run` ends them")
