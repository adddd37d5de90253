"""Stores with a few trials, to be merged."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from study.layout import NEEDED_FILES
from study.ledger.ledger import Ledger
from study.ledger.other_store import open_other_store
from study.ledger.records import Measurement, TrialRecord, TrialUpdate
from study.ledger.states import TrialState
from study.maintenance.merge import Merge, find_mergeable, take

NOW = 1_700_000_000_000


def write_trial(
    ledger: Ledger,
    identity: str,
    state: TrialState = TrialState.FINISHED,
    *,
    launch: str = "",
    files: tuple[str, ...] = NEEDED_FILES,
    steps: int = 3,
    config: Mapping[str, object] | None = None,
    metrics: Mapping[str, float] | None = None,
    tags: Mapping[str, str] | None = None,
) -> str:
    """Write a trial with a short curve, and return the id of its run."""
    launch = launch or ledger.launches.open("example", {})
    record = ledger.open_trial(
        identity, ledger.find(identity), launch=launch, name=f"trial {identity}", tags=tags or {}
    )
    curve = [Measurement({"step": step, "train_loss": 1 / step}, NOW + step) for step in range(1, steps + 1)]
    results = {"test_accuracy": 0.5, "selected_val_accuracy": 0.25, **(metrics or {})}
    update = TrialUpdate(config=config or {}, rows=[*curve, Measurement({"step": steps, **results}, NOW + steps)])
    folder = ledger.root / "files"
    folder.mkdir(exist_ok=True)
    for name in files:
        (folder / name).write_text(identity)  # a server does not tell the size of an empty file
    ledger.close_trial(record.run_id, state, update=update, artifacts=folder)
    for name in files:
        (folder / name).unlink()
    ledger.launches.close(launch, TrialState.FINISHED, {"num_finished": 1.0})
    return record.run_id


def write_record(ledger: Ledger, record: TrialRecord, launch: str) -> None:
    """Write the trial of a record."""
    write_trial(ledger, record.identity, record.state, launch=launch, metrics=record.metrics, tags=record.tags)


def merge(other: Ledger, ledger: Ledger, then: Callable[[], Any] = lambda: None) -> Merge:
    """Merge a store into another one, and return what was found before.

    Args:
        then: called after each trial.
    """
    with open_other_store(other.root, other.server) as opened:
        found = find_mergeable(opened, ledger)
        for _ in take(found, opened, ledger, {}, print):
            then()
    return found


def content(root: Path) -> dict[str, bytes]:
    """Return every file of a folder by its path."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
