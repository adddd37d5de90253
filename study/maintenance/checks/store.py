"""Whether a store of results is sound: its database, the trials in it, and the files beside it."""

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
from study.ledger.ledger import Ledger, latest_schema, tracking_uri
from study.ledger.locks import Locks
from study.ledger.orphans import clean_up, find_orphans, inside, is_dead, merge_duplicates, tree_size
from study.ledger.records import STEPS_DONE, RunInfo
from study.maintenance.checks import CheckResult, Verdict

RUN_ID = re.compile("[0-9a-f]{32}")
"""How MLflow names a run, and the folder of its artifacts."""


class Store(NamedTuple):
    """A store that opens, and what may be done to it."""

    ledger: Ledger
    run_infos: list[RunInfo]
    locks: Locks
    fix: bool

    @property
    def verdict(self) -> Verdict:
        """Of what the doctor can fix."""
        return "fixed" if self.fix else "to fix"

    def trials(self) -> list[RunInfo]:
        """The runs of trials, but for deleted ones."""
        return [each for each in self.run_infos if each.identity and each.is_ours and not each.deleted]


def check_store(root: Path, *, fix: bool) -> Iterator[CheckResult]:
    """Look at a store; there need be none yet."""
    database = root / DATABASE
    if not database.exists():
        yield CheckResult("ok", f"store: no store yet at {root}")
        return
    fault = _fault(database)
    if fault:
        yield CheckResult("look", f"store: {database} {fault}")
        return
    try:
        ledger = Ledger(root)
    except InputError as error:
        yield CheckResult("look", f"store: {error}")
        return
    yield CheckResult("ok", f"store: {database} opens, is whole, and of this MLflow's version")
    store = Store(ledger, ledger.run_infos(), Locks(root / LOCKS), fix)
    try:
        for well, check in CHECKS.items():
            yield from list(check(store)) or [CheckResult("ok", f"store: {well}")]
    except InputError as error:
        yield CheckResult("look", f"store: {error}")


def _fault(database: Path) -> str:
    """What is wrong with the database, and what to do; empty where nothing is. Writes nothing."""
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            [told, *_] = [text for (text,) in connection.execute("PRAGMA integrity_check")]
            [version] = [text for (text,) in connection.execute("SELECT version_num FROM alembic_version")]
    except sqlite3.Error as error:
        return f"cannot be read: {error}; take it from a backup"
    if told != "ok":
        advice = "take it from a backup, or save what can be read with sqlite3's .recover"
        return f"is damaged: {told.splitlines()[-1]}; {advice}"
    if version != latest_schema():
        upgrade = f"python -m mlflow db upgrade {tracking_uri(database.parent)}"
        return f"is of another MLflow's version ({version}): keep a copy of it, then upgrade it with `{upgrade}`"
    return ""


def _strangers(store: Store) -> Iterator[CheckResult]:
    strange = [each.run_id for each in store.run_infos if not each.is_ours]
    if strange:
        yield CheckResult("look", f"store: runs of another experiment, which no table shows: {', '.join(strange)}")


def _moved(store: Store) -> Iterator[CheckResult]:
    expected, kept = store.ledger.root / ARTIFACTS, store.ledger.artifacts
    if kept != expected:
        if store.fix:
            store.ledger.relocate()
        yield CheckResult(
            store.verdict, f"store: it was copied or moved: MLflow looks for its files in {kept}, not {expected}"
        )


def _abandoned(store: Store) -> Iterator[CheckResult]:
    running = [each for each in store.run_infos if each.status == "RUNNING" and each.is_ours]
    dead = [each for each in running if not each.deleted and is_dead(each.owner, store.locks)]
    if store.fix:
        store.ledger.close_stale_runs(store.locks)
    if dead:
        names = ", ".join(each.name for each in dead)
        yield CheckResult(
            store.verdict, f"store: {len(dead)} runs whose process died are still called running: {names}"
        )


def _twins(store: Store) -> Iterator[CheckResult]:
    duplicates = [name for name in store.ledger.duplicates() if is_dead(name, store.locks)]
    if store.fix:
        merge_duplicates(store.ledger, store.locks)
    if duplicates:
        names = ", ".join(duplicates)
        told = f"store: {len(duplicates)} trials or launches have several runs, of which one stays: {names}"
        yield CheckResult(store.verdict, told)


def _damaged(store: Store) -> Iterator[CheckResult]:
    """Finished trials that lack what a table or report reads. Fixed by having them trained again, in a new run.

    The old run is only set aside, as by the UI's Delete: its numbers stay apart from those of the new one, and whoever
    finds its files can restore it.
    """
    if not store.ledger.artifacts.is_dir():
        return  # an empty store; or one whose disk is away, and then nothing is known
    for trial in store.trials():
        fault = _fault_of_trial(trial) if trial.outcome == "finished" else ""
        if fault:
            fixed = store.fix and _set_aside(trial, store)
            advice = "its run is deleted" if fixed else "delete its run in the UI, or with --fix"
            what = f"store: finished trial {trial.name} (run {trial.run_id}): {fault}"
            yield CheckResult("fixed" if fixed else "to fix", f"{what}; {advice}, and `run` trains it again")


def _fault_of_trial(trial: RunInfo) -> str:
    missing = [name for name in NEEDED_FILES if not (trial.artifacts / name).is_file()]
    if missing:
        return f"{' and '.join(missing)} missing"
    try:
        _, built = (json.loads((trial.artifacts / name).read_text()) for name in NEEDED_FILES[:2])
        pq.read_table(trial.artifacts / NEEDED_FILES[2])
    except (OSError, ValueError, pa.ArrowException) as error:
        return f"a file in {trial.artifacts} cannot be read: {str(error).splitlines()[0]}"
    done, last = int(trial.metrics.get(STEPS_DONE, 0)), built.get("num_steps", 0)
    return f"only {done} of its {last} steps are in the ledger" if done < last else ""


def _set_aside(trial: RunInfo, store: Store) -> bool:
    if not store.locks.acquire(trial.owner):
        return False
    store.ledger.delete(trial.run_id)
    store.locks.release(trial.owner)
    return True


def _unowned_artifacts(store: Store) -> Iterator[CheckResult]:
    folders = [path for path in inside(store.ledger.root / ARTIFACTS) if RUN_ID.fullmatch(path.name)]
    known = {each.run_id for each in store.ledger.run_infos()}  # asked anew, as a folder may be of a run begun since
    unowned = [path for path in folders if path.name not in known]
    if unowned:
        size = decimal(sum(map(tree_size, unowned)))
        if store.fix:
            for path in unowned:
                shutil.rmtree(path)
        yield CheckResult(store.verdict, f"store: {len(unowned)} folders in artifacts/ belong to no run ({size})")


def _left_over(store: Store) -> Iterator[CheckResult]:
    if store.fix:
        found = clean_up(store.ledger, store.locks)
    else:
        dead = [each for each in find_orphans(store.ledger) if is_dead(each.owner, store.locks)]
        found = [each for each in dead if each.path.exists()]  # not the lock files, which asking has removed
    for why, count in Counter(each.why for each in found).items():
        yield CheckResult(store.verdict, f"store: {count} x {why}")


def _torn_checkpoints(store: Store) -> Iterator[CheckResult]:
    from revit.training.train_state import latest_valid_checkpoint

    for work in inside(store.ledger.root / WORK):
        saved = list(work.glob(f"{CHECKPOINT}*"))
        if saved and is_dead(work.name, store.locks) and latest_valid_checkpoint(work / CHECKPOINT) is None:
            yield CheckResult(
                "look", f"store: no checkpoint in {work} is whole: the trial will begin anew; remove the folder"
            )


def _unknown_work(store: Store) -> Iterator[CheckResult]:
    known = {trial.identity for trial in store.trials()}
    for work in inside(store.ledger.root / WORK):
        if work.name not in known and is_dead(work.name, store.locks):
            size = decimal(tree_size(work))
            yield CheckResult(
                "look", f"store: {work} ({size}) is of no trial of this store: remove it to free the space"
            )


def _other_torch(store: Store) -> Iterator[CheckResult]:
    from torch import __version__ as installed

    ran_with = Counter(trial.tags["torch"] for trial in store.trials() if "torch" in trial.tags)
    for version, count in ran_with.items():
        if version != str(installed):
            yield CheckResult(
                "look",
                f"store: {count} trials ran with torch {version}, and {installed} is installed: "
                "train what is compared with one and the same",
            )


CHECKS: dict[str, Callable[[Store], Iterator[CheckResult]]] = {
    "every run is of its one experiment": _strangers,
    "it lies where it was made": _moved,
    "no run of a dead process is called running": _abandoned,
    "every trial has one run": _twins,
    "every finished trial has its files and all its steps": _damaged,
    "every folder in artifacts/ belongs to a run": _unowned_artifacts,
    "dead launches left nothing": _left_over,
    "checkpoints are whole": _torn_checkpoints,
    "every work folder is of a trial": _unknown_work,
    "its trials ran with the torch that is installed": _other_torch,
}
"""What is looked at, in this order, by what is said where nothing is found."""
