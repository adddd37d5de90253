"""Removal of files that no table needs.

These are checkpoints of completed trials, superseded models, superseded reports, runs deleted in MLflow. Everything
that results are read from stays. So do models that are not superseded, unless their study is named: `run` does not
make them again.
"""

import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.filesize import decimal

from revit.errors import InputError
from study.layout import ARTIFACTS, MODEL, REPORT_FOLDER, WORK
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.orphans import find_orphans, is_dead, tree_size
from study.ledger.records import RunInfo, request_key
from study.ledger.schema import RECIPE_TAG, SCALE_TAG, STUDY_TAG


@dataclass(frozen=True, kw_only=True)
class Prunable:
    """A folder or file that can be removed.

    Attributes:
        owner: name of the lock under which it is written.
        deleted_run: id of the run to remove with it; empty for none.
    """

    kind: str
    path: Path
    owner: str
    deleted_run: str = ""


def find_prunable(ledger: Ledger, locks: Locks, studies: Sequence[str], models: Sequence[str] = ()) -> list[Prunable]:
    """Return what can be removed and is not locked by a running process.

    Args:
        studies: names of the studies to prune; none for all.
        models: names of the studies whose models can all be removed.

    Raises:
        InputError: the store has no trial of a study in `models`, or a path leads out of the store.
    """
    run_infos = [run for run in ledger.run_infos() if run.is_ours]
    active = [run for run in run_infos if not run.deleted]
    _check_known(models, active)
    for run in run_infos:
        _check_own_folder(run)
    selected = {run.owner for run in run_infos if not studies or run.studies & set(studies)}
    found = [*_checkpoints(ledger), *_models(active, set(models)), *_reports(active), *_deleted_runs(run_infos)]
    inside = [each for each in found if _is_inside(each.path, ledger.root)]
    return [each for each in inside if each.owner in selected and is_dead(each.owner, locks)]


def _check_known(models: Sequence[str], run_infos: Sequence[RunInfo]) -> None:
    known = sorted({study for run in run_infos if run.identity for study in run.studies})
    for study in models:
        if study not in known:
            raise InputError(f"--models = {study}: the store has trials of these studies: {', '.join(known) or 'none'}")


def _check_own_folder(run: RunInfo) -> None:
    """Raise InputError unless the artifact folder of a run has its id."""
    own = Path(run.run_id, ARTIFACTS)
    if run.artifacts.parts[-2:] != own.parts:
        raise InputError(f"run {run.run_id} has its artifacts in {run.artifacts}, not {own}: nothing is removed")


def _is_inside(path: Path, root: Path) -> bool:
    """Return whether a path lies in the store; others are left alone.

    Raises:
        InputError: the path begins in the store, but a link or `..` leads out of it.
    """
    if not path.is_relative_to(root):
        return False
    relative = path.relative_to(root)
    top = root / relative.parts[0]  # may itself be a link, to a larger disk
    if path.resolve() != top.resolve() / Path(*relative.parts[1:]):
        raise InputError(f"{path} leads out of the store, to {path.resolve()}: nothing is removed")
    return True


def summarize(found: Sequence[Prunable]) -> Iterator[str]:
    """Yield a line for each path with its size, for each kind with count and size, then the total."""
    sizes: dict[str, list[int]] = defaultdict(list)
    for each in found:
        size = tree_size(each.path)
        sizes[each.kind].append(size)
        yield f"{decimal(size):>10}  {each.path}"
    for kind, all_sizes in sizes.items():
        yield f"{decimal(sum(all_sizes)):>10}  {len(all_sizes)} {kind}"
    yield f"{decimal(sum(map(sum, sizes.values()))):>10}  total"


def remove(found: Sequence[Prunable], ledger: Ledger, locks: Locks) -> None:
    """Remove it; skip anything locked since it was found."""
    for each in found:
        if locks.acquire(each.owner):
            if each.deleted_run:
                ledger.runs.purge(each.deleted_run)
            if each.path.is_dir():
                shutil.rmtree(each.path)
            else:
                each.path.unlink(missing_ok=True)
            locks.release(each.owner)


def _checkpoints(ledger: Ledger) -> Iterator[Prunable]:
    work = ledger.root / WORK
    for each in find_orphans(ledger):
        if each.path.parent == work:
            yield Prunable(kind="checkpoints of completed trials", path=each.path, owner=each.owner)


def _models(run_infos: Sequence[RunInfo], named: set[str]) -> Iterator[Prunable]:
    """Yield the models superseded by a newer trial of the same settings, then those that only named studies use."""
    trials = sorted(run_infos, key=lambda run: run.began_ms)
    with_model = [each for each in trials if each.is_finished and (each.artifacts / MODEL).is_file()]
    newest = {settings: trial.run_id for trial in with_model for settings in _settings(trial)}
    for trial in with_model:
        path = trial.artifacts / MODEL
        if trial.run_id not in {newest[settings] for settings in _settings(trial)}:
            yield Prunable(kind="superseded models", path=path, owner=trial.owner)
        elif trial.studies <= named:
            yield Prunable(kind="models of studies named by --models", path=path, owner=trial.owner)


def _settings(trial: RunInfo) -> list[tuple[str | None, ...]]:
    """Return the settings of a trial in each of its studies; a newer trial of the same settings supersedes it."""
    return [(study, *request_key(trial.tags, study)) for study in trial.studies]


def _reports(run_infos: Sequence[RunInfo]) -> Iterator[Prunable]:
    """Yield all reports but the newest of each study, recipe, scale."""
    reported = defaultdict(list)
    for run in sorted(run_infos, key=lambda run: run.began_ms):
        if run.is_launch and (run.artifacts / REPORT_FOLDER).is_dir():
            reported[tuple(run.tags.get(name) for name in (STUDY_TAG, RECIPE_TAG, SCALE_TAG))].append(run)
    for launches in reported.values():
        for launch in launches[:-1]:
            yield Prunable(kind="superseded reports", path=launch.artifacts / REPORT_FOLDER, owner=launch.owner)


def _deleted_runs(run_infos: Sequence[RunInfo]) -> Iterator[Prunable]:
    for run in run_infos:
        if run.deleted:
            kind = "runs deleted in MLflow"
            yield Prunable(kind=kind, path=run.artifacts.parent, owner=run.owner, deleted_run=run.run_id)
