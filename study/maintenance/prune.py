"""What a store keeps and no table needs: checkpoints of settled trials, superseded models and reports, deleted runs.

Predictions, configs, what was built, and all that is in the database stay: results are read from them. So do models
that no newer one supersedes, unless their study is named: `run` does not make them again.
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
from study.ledger.records import CELL_TAG, RunInfo


@dataclass(frozen=True, kw_only=True)
class Prunable:
    """A folder or file that may go.

    Attributes:
        what: the kind of it.
        owner: the lease under which it is written.
        deleted_run: id of the run that goes with it; empty where none does.
    """

    what: str
    path: Path
    owner: str
    deleted_run: str = ""

    @property
    def size(self) -> int:
        """In bytes."""
        return tree_size(self.path)


def prunable(ledger: Ledger, locks: Locks, studies: Sequence[str], models: Sequence[str] = ()) -> list[Prunable]:
    """Return what may go, but for what a running process has.

    Args:
        studies: names of those whose things may go; none for all.
        models: names of the studies of which every model may go.

    Raises:
        InputError: the store has no trial of a study in `models`, or a path leads out of the store.
    """
    run_infos = [entry for entry in ledger.run_infos() if entry.is_ours]
    kept = [entry for entry in run_infos if not entry.deleted]
    _check_known(models, kept)
    for entry in run_infos:
        _check_own_folder(entry)
    asked = {entry.owner for entry in run_infos if not studies or entry.studies & set(studies)}
    found = [*_work(ledger), *_models(kept, set(models)), *_reports(kept), *_deleted(run_infos)]
    here = [each for each in found if _is_inside(each.path, ledger.root)]
    return [each for each in here if each.owner in asked and is_dead(each.owner, locks)]


def _check_known(models: Sequence[str], run_infos: Sequence[RunInfo]) -> None:
    known = sorted({study for entry in run_infos if entry.identity for study in entry.studies})
    for study in models:
        if study not in known:
            raise InputError(f"--models = {study}: the store has trials of these studies: {', '.join(known) or 'none'}")


def _check_own_folder(run: RunInfo) -> None:
    """Raise InputError unless the folder of a run's files has the run's own name."""
    own = Path(run.run_id, ARTIFACTS)
    if run.artifacts.parts[-2:] != own.parts:
        raise InputError(f"run {run.run_id} has its files in {run.artifacts}, not in its {own}: nothing is removed")


def _is_inside(path: Path, root: Path) -> bool:
    """Return whether a path is the store's; what lies elsewhere is left alone.

    Raises:
        InputError: the path begins in the store, and a link or `..` leads elsewhere.
    """
    if not path.is_relative_to(root):
        return False
    inside = path.relative_to(root)
    top = root / inside.parts[0]  # may itself be a link, to a larger disk
    if path.resolve() != top.resolve() / Path(*inside.parts[1:]):
        raise InputError(f"{path} leads out of its place in the store, to {path.resolve()}: nothing is removed")
    return True


def described(found: Sequence[Prunable]) -> Iterator[str]:
    """Return a line for each thing with its size, kind and path; then for each kind how many and how large; the sum."""
    sizes: dict[str, list[int]] = defaultdict(list)
    for each in found:
        size = each.size
        sizes[each.what].append(size)
        yield f"{decimal(size):>10}  {each.path}"
    for what, all_sizes in sizes.items():
        yield f"{decimal(sum(all_sizes)):>10}  {len(all_sizes)} {what}"
    yield f"{decimal(sum(map(sum, sizes.values()))):>10}  in all"


def remove(chosen: Sequence[Prunable], ledger: Ledger, locks: Locks) -> None:
    """Remove it for good; what a process has begun to use since it was found stays."""
    for each in chosen:
        if locks.acquire(each.owner):
            if each.deleted_run:
                ledger.purge(each.deleted_run)
            if each.path.is_dir():
                shutil.rmtree(each.path)
            else:
                each.path.unlink(missing_ok=True)
            locks.release(each.owner)


def _work(ledger: Ledger) -> Iterator[Prunable]:
    work = ledger.root / WORK
    for each in find_orphans(ledger):
        if each.path.parent == work:
            yield Prunable(what="checkpoints of settled trials", path=each.path, owner=each.owner)


def _models(run_infos: Sequence[RunInfo], named: set[str]) -> Iterator[Prunable]:
    """Yield the models that newer trials of the same places supersede, and those of the named studies alone."""
    trials = sorted(run_infos, key=lambda entry: entry.began_ms)
    with_model = [each for each in trials if each.is_finished and (each.artifacts / MODEL).is_file()]
    newest = {place: trial.run_id for trial in with_model for place in _places(trial)}
    for trial in with_model:
        path = trial.artifacts / MODEL
        if trial.run_id not in {newest[place] for place in _places(trial)}:
            yield Prunable(what="models that newer ones supersede", path=path, owner=trial.owner)
        elif trial.studies <= named:
            yield Prunable(what="models that --models names", path=path, owner=trial.owner)


def _places(trial: RunInfo) -> list[tuple[str | None, ...]]:
    """Return where a trial stands in each of its studies: a newer one there has taken its place."""
    names = ("recipe", "scale", "seed")
    return [(study, *map(trial.tags.get, (*names, f"{CELL_TAG}{study}"))) for study in trial.studies]


def _reports(run_infos: Sequence[RunInfo]) -> Iterator[Prunable]:
    """The reports of launches, but for the newest of each study, recipe and scale."""
    reported = defaultdict(list)
    for entry in sorted(run_infos, key=lambda entry: entry.began_ms):
        if entry.tags.get("kind") == "launch" and (entry.artifacts / REPORT_FOLDER).is_dir():
            reported[tuple(entry.tags.get(name) for name in ("study", "recipe", "scale"))].append(entry)
    for launches in reported.values():
        for launch in launches[:-1]:
            yield Prunable(
                what="reports that are superseded", path=launch.artifacts / REPORT_FOLDER, owner=launch.owner
            )


def _deleted(run_infos: Sequence[RunInfo]) -> Iterator[Prunable]:
    for entry in run_infos:
        if entry.deleted:
            what = "runs that were deleted in MLflow"
            yield Prunable(what=what, path=entry.artifacts.parent, owner=entry.owner, deleted_run=entry.run_id)
