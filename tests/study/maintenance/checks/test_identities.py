"""A store of the version before gets the identities of this one, and loses nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from revit.config import FineTuneConfig
from revit.identity import TRAINING_VERSION
from revit.models.weights import find_weights, weights_digest
from search_spaces.framework.space import SearchSpace
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.records import Measurement, TrialUpdate
from study.ledger.states import TrialState
from study.maintenance.checks import CheckResult
from study.maintenance.checks.identities import check_identities
from study.plan import Folders
from study.planning import make_plan

NEW_FIELDS = {
    "model.drop_path", "model.trained", "model.frozen", "model.adapter", "model.adapter_rank", "model.adapter_alpha",
    "optimizer.betas", "optimizer.eps", "optimizer.layer_decay", "eval_every", "cutmix", "augmentation",
    "randaugment_num_ops", "randaugment_magnitude", "random_erasing", "loss", "label_smoothing", "ema_decay",
}  # fmt: skip
"""Fields that the version before did not have."""
BASE = FineTuneConfig(dataset="digits", resolution=8, steps=5)
SPACE = SearchSpace(name="example", question="?", base=BASE, scientific={"optimizer.name": ("sgd", "adam")}, seeds=(0,))


class OldStore:
    """Trials as the version before recorded them."""

    def __init__(self, ledger: Ledger, folders: Folders, data_digest: str) -> None:
        self.ledger, self.folders = ledger, folders
        self.launch = ledger.launches.open("example", {})
        self.digests = {
            "data": data_digest,
            "weights": str(weights_digest(find_weights(BASE.model))),
            "training version": str(TRAINING_VERSION),
        }

    def add(self, name: str, values: dict[str, object], *, steps: int = 5, **digests: str) -> str:
        """Add a trial that took so many of its steps, and return the id of its run."""
        flat = BASE.with_values(values).flat()
        params = {path: value for path, value in flat.items() if path not in NEW_FIELDS | {"schedule.warmup"}}
        tags = {f"digest.{key}": value for key, value in {**self.digests, **digests}.items()}
        tags[f"study.{name}"] = "yes"
        run_id = self.ledger.open_trial(name, launch=self.launch, name=name, tags=tags).run_id
        rows = [Measurement({"step": steps, "test_accuracy": 0.9}, 0)]
        update = TrialUpdate(config={**params, "schedule.warmup_steps": flat["schedule.warmup"]}, rows=rows)
        state = TrialState.FINISHED if steps == 5 else TrialState.INTERRUPTED
        self.ledger.close_trial(run_id, state, update=update)
        return run_id

    def check(self, *, fix: bool) -> list[CheckResult]:
        return list(check_identities(self.ledger, self.folders, fix=fix))

    def states(self) -> list[TrialState]:
        return [trial.state for trial in make_plan(SPACE, (0,), self.folders, self.ledger.trials()).trials]


@pytest.fixture
def store(tmp_path: Path, cache_dir: Path, digits: object, new_ledger: Callable[[Path], Ledger]) -> OldStore:
    folders = Folders(store=tmp_path / "mlruns", data=tmp_path, cache=cache_dir)
    return OldStore(new_ledger(folders.store), folders, digits.manifest.digest)


def test_a_store_of_the_version_before_is_converted(store: OldStore) -> None:
    store.add("first", {"optimizer.name": "sgd"})
    store.add("second", {"optimizer.name": "adam"})
    assert store.states() == [TrialState.NEW] * 2
    assert [each.level for each in store.check(fix=False)] == ["fixable"] * 2
    assert store.states() == [TrialState.NEW] * 2, "a check changes nothing"
    assert [each.level for each in store.check(fix=True)] == ["fixed"] * 2
    assert store.states() == [TrialState.FINISHED] * 2
    assert store.check(fix=True) == []


def test_of_two_trials_that_are_one_the_further_is_kept(store: OldStore) -> None:
    adam = {"optimizer.name": "adam"}
    store.add("shorter", {**adam, "optimizer.momentum": 0.5}, steps=3)
    kept = store.add("longer", adam)
    assert [each.level for each in store.check(fix=True)] == ["fixed"] * 2
    [record] = store.ledger.trials().values()
    assert record.run_id == kept
    assert record.studies == {"shorter", "longer"}
    assert not store.ledger.runs.duplicates()


@pytest.mark.parametrize(
    ("values", "digests", "reason"),
    [
        ({"dataset": "cifar10"}, {}, "cifar10"),
        ({}, {"data": "other"}, "the images of digits have changed since"),
        ({}, {"training version": "1"}, f"it was trained by training version 1, now {TRAINING_VERSION}"),
    ],
)
def test_a_trial_that_cannot_be_converted_is_reported_and_stays(
    store: OldStore, values: dict[str, object], digests: dict[str, str], reason: str
) -> None:
    store.add("old", values, **digests)
    [result] = store.check(fix=True)
    assert result.level == "warn"
    assert reason in result.text and "\n" not in result.text
    assert store.ledger.trials().keys() == {"old"}


def test_a_trial_in_training_is_left_alone(store: OldStore) -> None:
    store.add("old", {})
    locks = Locks(store.folders.store / "locks")
    assert locks.acquire("old")
    assert [each.level for each in store.check(fix=True)] == ["fixable"]
    locks.release_all()
    assert [each.level for each in store.check(fix=True)] == ["fixed"]


def test_an_unfinished_trial_begins_again(store: OldStore) -> None:
    store.add("old", {}, steps=3)
    work = store.folders.store / "work"
    (work / "old").mkdir(parents=True)
    (work / "old" / "checkpoint.pt").touch()
    store.check(fix=True)
    assert list(work.iterdir()) == []
