"""What a store keeps and no table needs: checkpoints of settled trials, models nobody draws, old reports, deleted runs.

Predictions, configs, what was built, and all that is in the database stay: results are read from them.
"""

import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.filesize import decimal

import search_spaces
from revit.errors import InputError
from study.figures import shows_models
from study.housekeeping import is_dead, leftovers, size_of
from study.leases import Leases
from study.ledger import Ledger
from study.records import Entry

MODEL = "model.safetensors"


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
        return size_of(self.path)


def prunable(ledger: Ledger, leases: Leases, studies: Sequence[str]) -> list[Prunable]:
    """What may go, but for what a running process has.

    Args:
        studies: names of those whose things may go; none for all.
    """
    entries = [entry for entry in ledger.entries() if entry.is_ours]
    kept = [entry for entry in entries if not entry.deleted]
    asked = {entry.owner for entry in entries if not studies or entry.studies & set(studies)}
    found = [*_work(ledger), *_models(kept), *_reports(kept), *_deleted(entries)]
    here = [each for each in found if each.path.is_relative_to(ledger.root)]  # not so where a store was copied
    return [each for each in here if each.owner in asked and is_dead(each.owner, leases)]


def sums(found: Sequence[Prunable]) -> Iterator[str]:
    """How many there are of each kind and how large they are, a line each, and in all."""
    kinds = dict.fromkeys(each.what for each in found)
    for what in kinds:
        sizes = [each.size for each in found if each.what == what]
        yield f"{decimal(sum(sizes)):>10}  {len(sizes)} {what}"
    yield f"{decimal(sum(each.size for each in found)):>10}  in all"


def remove(chosen: Sequence[Prunable], ledger: Ledger, leases: Leases) -> None:
    """Remove it for good; what a process has begun to use since it was found stays."""
    for each in chosen:
        if leases.take(each.owner):
            if each.deleted_run:
                ledger.purge(each.deleted_run)
            if each.path.is_dir():
                shutil.rmtree(each.path)
            else:
                each.path.unlink(missing_ok=True)
            leases.release(each.owner)


def _work(ledger: Ledger) -> Iterator[Prunable]:
    work = ledger.root / "work"
    for each in leftovers(ledger):
        if each.path.parent == work:
            yield Prunable(what="checkpoints of settled trials", path=each.path, owner=each.owner)


def _models(entries: Sequence[Entry]) -> Iterator[Prunable]:
    drawn = {study for study in {name for entry in entries for name in entry.studies} if _draws_models(study)}
    for trial in entries:
        path = trial.artifacts / MODEL
        if trial.outcome == "finished" and not trial.studies & drawn and path.is_file():
            yield Prunable(what="models that no report shows", path=path, owner=trial.owner)


def _draws_models(study: str) -> bool:
    """Whether a study's report may show its models; of one that cannot be read, nobody knows."""
    try:
        return shows_models(search_spaces.load(study))
    except InputError:
        return True


def _reports(entries: Sequence[Entry]) -> Iterator[Prunable]:
    """The reports of launches, but for the newest of each study, recipe and scale."""
    reported = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: entry.began_ms):
        if entry.tags.get("kind") == "launch" and (entry.artifacts / "report").is_dir():
            reported[tuple(entry.tags.get(name) for name in ("study", "recipe", "scale"))].append(entry)
    for launches in reported.values():
        for launch in launches[:-1]:
            yield Prunable(what="reports that are superseded", path=launch.artifacts / "report", owner=launch.owner)


def _deleted(entries: Sequence[Entry]) -> Iterator[Prunable]:
    for entry in entries:
        if entry.deleted:
            what = "runs that were deleted in MLflow"
            yield Prunable(what=what, path=entry.artifacts.parent, owner=entry.owner, deleted_run=entry.run_id)
