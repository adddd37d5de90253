"""Whether a tracking server is there, and of what it says that somebody runs, whether somebody does."""

from collections.abc import Iterator
from importlib.metadata import version

from revit.errors import InputError
from study.ledger.ledger import Ledger
from study.ledger.orphans import merge_idle_twins
from study.maintenance.checks import Finding, Verdict
from study.plan import Folders


def check_server(folders: Folders, *, fix: bool) -> Iterator[Finding]:
    """Look at the server. What a dead launch left, the next one ends; only runs that are there twice are merged."""
    try:
        ledger = Ledger(folders.store, folders.server)
    except InputError as error:
        yield Finding("look", f"store: {error}")
        return
    there, here = ledger.server_version(), version("mlflow")
    verdict: Verdict = "ok" if there == here else "look"
    yield Finding(verdict, f"store: {folders.server} answers; it runs MLflow {there}, and {here} is installed here")
    running = ledger.running()
    yield Finding("ok", f"store: {len(running)} launches are running there: {', '.join(running) or '-'}")
    twins = merge_idle_twins(ledger) if fix else ledger.twins()
    if twins:
        told = f"store: {len(twins)} trials or launches have several runs there, of which one is to stay"
        yield Finding("fixed" if fix else "to fix", f"{told}: {', '.join(twins)}")
    orphans = [trial for trial in ledger.trials().values() if trial.outcome is None and trial.launch not in running]
    if orphans:
        names = ", ".join(trial.run_id for trial in orphans)
        told = f"store: {len(orphans)} trials are called running, and no launch runs them: {names}"
        yield Finding("look", f"{told}; the next `run` ends them")
