"""Checks of a store folder: its database, trials, files."""

import json
import re
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from rich.filesize import decimal

from revit.errors import InputError
from study.layout import ARTIFACTS, CHECKPOINT, DATABASE, LOCKS, NEEDED_FILES, WORK
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.orphans import clean_up, find_orphans, inside, is_dead, merge_duplicates, tree_size
from study.ledger.records import RunInfo
from study.ledger.schema import NUM_STEPS_DONE, TORCH_TAG
from study.maintenance.checks import CheckResult, Level

RUN_ID = re.compile("[0-9a-f]{32}")
"""MLflow's id of a run, which is also the name of its folder in artifacts/."""


class OpenStore(NamedTuple):
    """A store that could be opened."""

    ledger: Ledger
    run_infos: list[RunInfo]
    locks: Locks
    fix: bool

    @property
    def fix_level(self) -> Level:
        """Level of a problem that `doctor --fix` repairs."""
        return "fixed" if self.fix else "fixable"

    def trials(self) -> list[RunInfo]:
        """Return the runs of trials that are not deleted."""
        return [each for each in self.run_infos if each.identity and each.is_ours and not each.deleted]


def check_store(root: Path, *, fix: bool) -> Iterator[CheckResult]:
    """Run CHECKS on a store; no store yet is healthy."""
    database = root / DATABASE
    if not database.exists():
        yield CheckResult("ok", f"store: no store yet at {root}")
        return
    try:
        _check_integrity(database)
        ledger = Ledger(root)
        yield CheckResult("ok", f"store: {database} is intact; schema version matches")
        store = OpenStore(ledger, ledger.run_infos(), Locks(root / LOCKS), fix)
        for healthy, check in CHECKS.items():
            yield from list(check(store)) or [CheckResult("ok", f"store: {healthy}")]
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


def _check_foreign_runs(store: OpenStore) -> Iterator[CheckResult]:
    foreign = [each.run_id for each in store.run_infos if not each.is_ours]
    if foreign:
        yield CheckResult("warn", f"store: runs of another experiment, which no table shows: {', '.join(foreign)}")


def _check_location(store: OpenStore) -> Iterator[CheckResult]:
    expected, stored = store.ledger.root / ARTIFACTS, store.ledger.artifacts.folder
    if stored != expected:
        if store.fix:
            store.ledger.artifacts.relocate()
        text = f"store: it was copied or moved: MLflow looks for its files in {stored}, not {expected}"
        yield CheckResult(store.fix_level, text)


def _check_stale_runs(store: OpenStore) -> Iterator[CheckResult]:
    running = [each for each in store.run_infos if each.status == "RUNNING" and each.is_ours]
    stale = [each.name for each in running if not each.deleted and is_dead(each.owner, store.locks)]
    if store.fix:
        store.ledger.close_stale_runs(store.locks)
    if stale:
        yield CheckResult(store.fix_level, f"store: {len(stale)} orphaned RUNNING runs: {', '.join(stale)}")


def _check_duplicate_runs(store: OpenStore) -> Iterator[CheckResult]:
    duplicates = [name for name in store.ledger.runs.duplicates() if is_dead(name, store.locks)]
    if store.fix:
        merge_duplicates(store.ledger, store.locks)
    if duplicates:
        text = f"store: {len(duplicates)} trials or launches have duplicate runs: {', '.join(duplicates)}"
        yield CheckResult(store.fix_level, text)


def _check_finished_trials(store: OpenStore) -> Iterator[CheckResult]:
    """Find finished trials that lack what a table or report reads.

    The fix deletes their runs as MLflow's UI does, so that the next `run` trains them again. They can be restored.
    """
    if not store.ledger.artifacts.folder.is_dir():
        return  # an empty store, or one whose disk is unavailable
    for trial in store.trials():
        fault = _fault_of_trial(trial) if trial.is_finished else ""
        if fault:
            fixed = store.fix and _soft_delete(trial, store)
            advice = "its run is deleted" if fixed else "delete its run in the UI, or with --fix"
            text = f"store: finished trial {trial.name} (run {trial.run_id}): {fault}"
            yield CheckResult("fixed" if fixed else "fixable", f"{text}; {advice}, and `run` trains it again")


def _fault_of_trial(trial: RunInfo) -> str:
    missing = [name for name in NEEDED_FILES if not (trial.artifacts / name).is_file()]
    if missing:
        return f"{' and '.join(missing)} missing"
    try:
        _, built = (json.loads((trial.artifacts / name).read_text()) for name in NEEDED_FILES[:2])
        pq.read_table(trial.artifacts / NEEDED_FILES[2])
    except (OSError, ValueError, pa.ArrowException) as error:
        return f"a file in {trial.artifacts} cannot be read: {str(error).splitlines()[0]}"
    logged, num_steps = int(trial.metrics.get(NUM_STEPS_DONE, 0)), built.get("num_steps", 0)
    return f"only {logged} of its {num_steps} steps are in the ledger" if logged < num_steps else ""


def _soft_delete(trial: RunInfo, store: OpenStore) -> bool:
    if not store.locks.acquire(trial.owner):
        return False
    store.ledger.runs.delete(trial.run_id)
    store.locks.release(trial.owner)
    return True


def _check_artifact_folders(store: OpenStore) -> Iterator[CheckResult]:
    folders = [path for path in inside(store.ledger.root / ARTIFACTS) if RUN_ID.fullmatch(path.name)]
    known = {each.run_id for each in store.ledger.run_infos()}  # read again: a run may have begun since
    unowned = [path for path in folders if path.name not in known]
    if unowned:
        size = decimal(sum(map(tree_size, unowned)))
        if store.fix:
            for path in unowned:
                shutil.rmtree(path)
        yield CheckResult(store.fix_level, f"store: {len(unowned)} folders in artifacts/ belong to no run ({size})")


def _check_orphans(store: OpenStore) -> Iterator[CheckResult]:
    if store.fix:
        orphans = clean_up(store.ledger, store.locks)
    else:
        dead = [each for each in find_orphans(store.ledger) if is_dead(each.owner, store.locks)]
        orphans = [each for each in dead if each.path.exists()]  # `is_dead` removes stale lock files
    for why, count in Counter(each.why for each in orphans).items():
        yield CheckResult(store.fix_level, f"store: {count} x {why}")


def _check_checkpoints(store: OpenStore) -> Iterator[CheckResult]:
    from revit.training.train_state import latest_valid_checkpoint

    for work in inside(store.ledger.root / WORK):
        saved = list(work.glob(f"{CHECKPOINT}*"))
        if saved and is_dead(work.name, store.locks) and latest_valid_checkpoint(work / CHECKPOINT) is None:
            text = f"store: no checkpoint in {work} is intact: the trial will start over; remove the folder"
            yield CheckResult("warn", text)


def _check_work_folders(store: OpenStore) -> Iterator[CheckResult]:
    known = {trial.identity for trial in store.trials()}
    for work in inside(store.ledger.root / WORK):
        if work.name not in known and is_dead(work.name, store.locks):
            size = decimal(tree_size(work))
            yield CheckResult("warn", f"store: {work} ({size}) belongs to no trial: remove it to free the space")


def _check_torch_versions(store: OpenStore) -> Iterator[CheckResult]:
    from torch import __version__ as installed

    used = Counter(trial.tags[TORCH_TAG] for trial in store.trials() if TORCH_TAG in trial.tags)
    for version, count in used.items():
        if version != str(installed):
            text = f"store: {count} trials ran with torch {version}, installed is {installed}"
            yield CheckResult("warn", f"{text}: compare only trials of one version")


CHECKS: dict[str, Callable[[OpenStore], Iterator[CheckResult]]] = {
    "all runs belong to its experiment": _check_foreign_runs,
    "artifact paths point into this folder": _check_location,
    "no orphaned RUNNING runs": _check_stale_runs,
    "one run per trial": _check_duplicate_runs,
    "finished trials are complete": _check_finished_trials,
    "every folder in artifacts/ belongs to a run": _check_artifact_folders,
    "no orphaned files": _check_orphans,
    "checkpoints are intact": _check_checkpoints,
    "every work folder belongs to a trial": _check_work_folders,
    "all trials ran with the installed torch": _check_torch_versions,
}
"""Checks in their order, by the text that is shown if one finds nothing."""
