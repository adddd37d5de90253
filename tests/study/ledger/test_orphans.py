"""study.ledger.orphans: those of dead processes are removed, those of living ones are not."""

from pathlib import Path

import pytest

from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.orphans import clean_up, find_orphans
from study.ledger.states import TrialState


class Store:
    """A store with a trial of each kind: finished, interrupted, and running in another process."""

    def __init__(self, root: Path) -> None:
        self.ledger = Ledger(root)
        self.launch = self.ledger.launches.open("example", {}, lock="launch")
        self.living = Locks(root / "locks")
        self.runs = {}
        for identity in ("finished", "stopped", "lives", "died"):
            record = self.ledger.open_trial(identity, launch=self.launch, name=identity, tags={})
            self.runs[identity] = record.run_id
            (root / "work" / identity).mkdir(parents=True)
            (root / "work" / identity / "checkpoint.pt").touch()
        self.ledger.close_trial(self.runs["finished"], TrialState.FINISHED)
        self.ledger.close_trial(self.runs["stopped"], TrialState.INTERRUPTED)
        self.living.acquire("lives")
        (root / "locks" / "died.lock").touch()
        for name in ("launch", "another"):
            (root / "tune" / name).mkdir(parents=True)

    def names(self, folder: str) -> set[str]:
        return {path.name for path in (self.ledger.root / folder).iterdir()}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "mlruns")


def test_only_what_nobody_needs_and_no_living_process_has_is_removed(store: Store) -> None:
    store.living.acquire("launch")
    clean_up(store.ledger, Locks(store.ledger.root / "locks"))
    assert store.names("work") == {"stopped", "lives", "died"}, "checkpoints to go on from stay"
    assert store.names("tune") == {"launch"}
    assert store.names("locks") == {"lives.lock", "launch.lock"}
    states = {identity: record.state for identity, record in store.ledger.trials().items()}
    assert states == {
        "finished": TrialState.FINISHED,
        "stopped": TrialState.INTERRUPTED,
        "lives": TrialState.RUNNING,
        "died": TrialState.INTERRUPTED,
    }


def test_once_all_are_dead_only_checkpoints_stay(store: Store) -> None:
    store.living.release_all()
    removed = clean_up(store.ledger, Locks(store.ledger.root / "locks"))
    assert [each.kind for each in removed] == [
        *["RUNNING run of a dead process"] * 3,
        "work folder of a completed trial",
        *["folder of a dead launch"] * 2,
    ]
    assert store.names("work") == {"stopped", "lives", "died"}
    assert store.names("tune") == store.names("locks") == set()
    assert list(find_orphans(store.ledger)) == []
