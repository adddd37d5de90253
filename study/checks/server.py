"""Whether a tracking server is there, and of what it says that somebody runs, whether somebody does."""

from collections.abc import Iterator
from importlib.metadata import version

from revit.errors import InputError
from study.checks import Finding, Verdict
from study.ledger import Ledger
from study.plan import Folders


def check_server(folders: Folders) -> Iterator[Finding]:
    """Look at the server; nothing is changed there. What a dead launch left, the next one ends."""
    try:
        ledger = Ledger(folders.store, folders.server)
    except InputError as error:
        yield Finding("look", f"store: {error}")
        return
    there, here = ledger.server_version(), version("mlflow")
    verdict: Verdict = "ok" if there == here else "look"
    yield Finding(verdict, f"store: {folders.server} answers; it runs MLflow {there}, and {here} is installed here")
    running = ledger.beats()
    yield Finding("ok", f"store: {len(running)} launches are running there: {', '.join(running) or '-'}")
    orphans = [trial for trial in ledger.trials().values() if trial.outcome is None and trial.launch not in running]
    if orphans:
        names = ", ".join(trial.run_id for trial in orphans)
        told = f"store: {len(orphans)} trials are called running, and no launch runs them: {names}"
        yield Finding("look", f"{told}; the next `run` ends them")
