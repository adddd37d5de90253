"""Removal of files that no table needs.

These are checkpoints of completed trials, models that no study keeps, superseded models, superseded reports, runs
deleted in MLflow. Everything that results are read from stays. So do models that a study keeps, unless they are
superseded or the study is named: `run` does not make them again.
"""

import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from rich.filesize import decimal

from revit.errors import InputError
from study.layout import ARTIFACTS, MODEL, REPORT_FOLDER
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.orphans import Removable, find_completed_work, is_dead, tree_size
from study.ledger.records import RunInfo, is_model_kept, request_key
from study.ledger.schema import RECIPE_TAG, SCALE_TAG, STUDY_TAG


def find_prunable(ledger: Ledger, locks: Locks, studies: Sequence[str], models: Sequence[str] = ()) -> list[Removable]:
    """Return what can be removed and is not locked by a running process.

    Args:
        studies: names of the studies to prune; none for all.
        models: names of the studies whose models can all be removed.

    Raises:
        InputError: the store has no trial of a study in `models`.
    """
    runs = ledger.run_infos()
    active = [run for run in runs if not run.deleted]
    _check_known(models, active)
    selected = {run.owner for run in runs if not studies or run.studies & set(studies)}
    found = [
        *find_completed_work(ledger),
        *_models(active, set(models), ledger),
        *_reports(active, ledger),
        *_deleted_runs(runs, ledger),
    ]
    return [each for each in found if each.owner in selected and is_dead(each.owner, locks)]


def _check_known(models: Sequence[str], runs: Sequence[RunInfo]) -> None:
    known = sorted({study for run in runs if run.identity for study in run.studies})
    for study in models:
        if study not in known:
            raise InputError(f"--models = {study}: the store has trials of these studies: {', '.join(known) or 'none'}")


def summarize(found: Sequence[Removable]) -> Iterator[str]:
    """Yield a line for each path with its size, for each kind with count and size, then the total."""
    sizes: dict[str, list[int]] = defaultdict(list)
    for each in found:
        size = tree_size(each.path) if isinstance(each.path, Path) else each.num_bytes or 0
        sizes[each.kind].append(size)
        yield f"{decimal(size):>10}  {each.path}"
    for kind, all_sizes in sizes.items():
        yield f"{decimal(sum(all_sizes)):>10}  {len(all_sizes)} x {kind}"
    yield f"{decimal(sum(map(sum, sizes.values()))):>10}  total"


def _models(runs: Sequence[RunInfo], named: set[str], ledger: Ledger) -> Iterator[Removable]:
    """Yield the models that no study keeps, that a newer trial of the same settings supersedes, or of named studies."""
    kept: set[tuple[str | None, ...]] = set()
    for trial in runs:
        path = ledger.artifacts.path(trial.run_id, MODEL)
        if trial.is_finished and path.is_file():
            settings = _settings(trial)
            kind = ""
            if settings <= kept:
                kind = "superseded model"
            elif not is_model_kept(trial.tags):
                kind = "model that no study keeps"
            elif trial.studies <= named:
                kind = "model of a study named by --models"
            if kind:
                yield Removable(trial.owner, kind, path, partial(path.unlink, missing_ok=True))
            kept |= settings


def _settings(trial: RunInfo) -> set[tuple[str | None, ...]]:
    """Return the settings of a trial in each of its studies; a newer trial of the same settings supersedes it."""
    return {(study, *request_key(trial.tags, study)) for study in trial.studies}


def _reports(runs: Sequence[RunInfo], ledger: Ledger) -> Iterator[Removable]:
    """Yield all reports but the newest of each study, recipe, scale."""
    kept = set()
    for launch in runs:
        path = ledger.artifacts.path(launch.run_id, REPORT_FOLDER)
        if launch.is_launch and path.is_dir():
            settings = tuple(launch.tags.get(name) for name in (STUDY_TAG, RECIPE_TAG, SCALE_TAG))
            if settings in kept:
                yield Removable(launch.owner, "superseded report", path, partial(shutil.rmtree, path))
            kept.add(settings)


def _deleted_runs(runs: Sequence[RunInfo], ledger: Ledger) -> Iterator[Removable]:
    for run in runs:
        if run.deleted:
            folder = ledger.root / ARTIFACTS / run.run_id
            yield Removable(run.owner, "run deleted in MLflow", folder, partial(_purge, run.run_id, folder, ledger))


def _purge(run_id: str, folder: Path, ledger: Ledger) -> None:
    """Remove a run with its files, these first: those of a run that is gone would not be found again."""
    if folder.exists():
        shutil.rmtree(folder)
    ledger.runs.purge(run_id)
