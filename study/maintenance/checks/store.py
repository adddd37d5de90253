"""Checks of a store: the database, trials, files of a folder, or the runs of a server."""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from revit.errors import InputError
from study.layout import ARTIFACTS, BUILT, CONFIG, DATABASE, LOCKS, MODEL, NEEDED_FILES, PREDICTIONS
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.orphans import clean_up, find_orphans, is_dead, merge_idle_duplicates
from study.ledger.records import TrialRecord, is_model_kept, keeping_studies
from study.ledger.states import TrialState
from study.maintenance.checks import CheckResult, fixable
from study.maintenance.checks.identities import check_identities
from study.plan import Folders
from study.system.storage import Storage


def check_storage(folders: Folders) -> Iterator[CheckResult]:
    """Check that the storage can be used, where it is not the store's folder."""
    if not folders.storage:
        return
    try:
        Storage(folders.storage).check()
        yield CheckResult("ok", f"storage: {folders.storage} can be read and written")
    except InputError as error:
        yield CheckResult("error", f"storage: {error}")


def check_server(folders: Folders, *, fix: bool) -> Iterator[CheckResult]:
    """Check that a tracking server answers, and has one run per trial.

    The next launch ends the runs of a dead one.
    """
    try:
        ledger = Ledger(folders.store, folders.server, folders.storage)
    except InputError as error:
        yield CheckResult("error", f"store: {error}")
        return
    yield CheckResult("ok", f"store: {folders.server} answers")
    duplicates = merge_idle_duplicates(ledger) if fix else ledger.runs.duplicates()
    if duplicates:
        text = f"store: {len(duplicates)} trials or launches have duplicate runs: {', '.join(duplicates)}"
        yield fixable(text, fixed=fix)
    yield from check_identities(ledger, folders, fix=fix)


def check_store(folders: Folders, *, fix: bool) -> Iterator[CheckResult]:
    """Run CHECKS on a store in a folder, then check its identities; no store yet is healthy."""
    root = folders.store
    database = root / DATABASE
    if not database.exists():
        yield CheckResult("ok", f"store: no store yet at {root}")
        return
    try:
        _check_integrity(database)
        ledger, locks = Ledger(root, storage=folders.storage), Locks(root / LOCKS)
        yield CheckResult("ok", f"store: {database} is intact; schema version matches")
        for healthy, check in CHECKS.items():
            yield from list(check(ledger, locks, fix)) or [CheckResult("ok", f"store: {healthy}")]
        yield from check_identities(ledger, folders, fix=fix)
    except InputError as error:
        yield CheckResult("error", f"store: {error}")


def _check_integrity(database: Path) -> None:
    """Raise InputError if SQLite finds the database damaged, or without MLflow's tables."""
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            [result, *_] = [text for (text,) in connection.execute("PRAGMA integrity_check")]
            connection.execute("SELECT version_num FROM alembic_version")  # else MLflow would create its tables
    except sqlite3.Error as error:
        raise InputError(f"{database} cannot be read: {error}; restore a backup") from error
    if result != "ok":
        advice = "restore a backup, or save what can be read with sqlite3's .recover"
        raise InputError(f"{database} is damaged: {result.splitlines()[-1]}; {advice}")


def _check_location(ledger: Ledger, _: Locks, fix: bool) -> Iterator[CheckResult]:
    if ledger.artifacts.was_moved:
        if fix:
            ledger.artifacts.relocate()
        yield fixable("store: it was copied or moved: MLflow looks for its files elsewhere", fixed=fix)


def _check_orphans(ledger: Ledger, locks: Locks, fix: bool) -> Iterator[CheckResult]:
    orphans = clean_up(ledger, locks) if fix else [each for each in find_orphans(ledger) if is_dead(each.owner, locks)]
    for kind, count in Counter(each.kind for each in orphans).items():
        yield fixable(f"store: {count} x {kind}", fixed=fix)


def _check_finished_trials(ledger: Ledger, locks: Locks, fix: bool) -> Iterator[CheckResult]:
    """Find finished trials that lack what a table or report reads.

    The fix deletes their runs as MLflow's UI does, so that the next `run` trains them again. They can be restored.
    """
    if not (ledger.root / ARTIFACTS).is_dir():
        return  # an empty store, or one whose disk is unavailable
    for trial in ledger.trials().values():
        fault = _fault_of_trial(trial, ledger) if trial.state is TrialState.FINISHED else ""
        if fault:
            is_fixed = fix and locks.acquire(trial.identity)
            if is_fixed:
                ledger.runs.delete(trial.run_id)
                locks.release(trial.identity)
            advice = "its run is deleted" if is_fixed else "delete its run in the UI, or with --fix"
            text = f"store: finished trial {trial.identity} (run {trial.run_id}): {fault}"
            yield fixable(f"{text}; {advice}, and `run` trains it again", fixed=is_fixed)


def _check_models(ledger: Ledger, _: Locks, __: bool) -> Iterator[CheckResult]:
    """Find models that studies keep and the store lacks, and those that no study keeps.

    A trial of an earlier version does not say whether it has a model.
    """
    if not (ledger.root / ARTIFACTS).is_dir():
        return  # an empty store, or one whose disk is unavailable
    finished = [trial for trial in ledger.trials().values() if trial.state is TrialState.FINISHED]
    has_model = {trial.identity: ledger.artifacts.has(trial.run_id, MODEL) for trial in finished}
    missing = [each for each in finished if keeping_studies(each.tags) and not has_model[each.identity]]
    unkept = [each for each in finished if has_model[each.identity] and not is_model_kept(each.tags)]
    if missing:
        studies = ", ".join(sorted({study for each in missing for study in keeping_studies(each.tags)}))
        advice = "`run STUDY --missing-models` trains them again"
        yield CheckResult("warn", f"store: {len(missing)} models that studies keep are missing ({studies}): {advice}")
    if unkept:
        yield CheckResult("warn", f"store: {len(unkept)} models that no study keeps: `prune` removes them")


def _fault_of_trial(trial: TrialRecord, ledger: Ledger) -> str:
    folder = ledger.artifacts.path(trial.run_id, "")
    missing = [name for name in NEEDED_FILES if not (folder / name).is_file()]
    if missing:
        return f"{' and '.join(missing)} missing"
    try:
        json.loads((folder / CONFIG).read_text())
        num_steps = json.loads((folder / BUILT).read_text()).get("num_steps", 0)
        pq.read_table(folder / PREDICTIONS)
    except (OSError, ValueError, pa.ArrowException) as error:
        return f"a file in {folder} cannot be read: {str(error).splitlines()[0]}"
    return f"only {trial.last_step} of its {num_steps} steps are in the ledger" if trial.last_step < num_steps else ""


CHECKS: dict[str, Callable[[Ledger, Locks, bool], Iterator[CheckResult]]] = {
    "artifact paths point into this folder": _check_location,
    "no orphaned runs or files": _check_orphans,
    "finished trials are complete": _check_finished_trials,
    "models are those that studies keep": _check_models,
}
"""Checks in their order, by the text that is shown if one finds nothing."""
