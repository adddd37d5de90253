"""What may go goes, and nothing that a table, a report or a running process needs."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from revit.config import FineTuneConfig
from study.checks.store import NEEDED_FILES
from study.leases import Leases
from study.ledger import Ledger
from study.pruning import MODEL, Prunable, prunable, remove, sums
from study.records import Measurement, News

CONFIG = FineTuneConfig(dataset="digits", steps=1)
CHECKPOINTS, MODELS = "checkpoints of settled trials", "models that no report shows"
REPORTS, DELETED = "reports that are superseded", "runs that were deleted in MLflow"


class Store:
    """A store of three studies, one of which shows models and one that is not known any more."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.leases = Leases(ledger.root / "leases")
        self.living = Leases(ledger.root / "leases")
        self.runs: dict[str, str] = {}
        self.launches = {study: self.launch(study) for study in ("quickstart", "pos_embed", "forgotten")}
        self.trial("plain", "quickstart")
        self.trial("shown", "pos_embed")
        self.trial("unknown", "forgotten")
        self.trial("shared", "quickstart", "pos_embed")
        self.trial("deleted", "quickstart")
        self.ledger.delete(self.runs["deleted"])
        self.trial("stopped", "quickstart", outcome="interrupted")
        self.trial("lives", "quickstart")
        self.living.take("lives")

    def launch(self, study: str, **tags: str) -> str:
        launch = self.ledger.open_launch(study, tags)
        self.ledger.close_launch(launch, "finished", {})
        return launch

    def trial(self, identity: str, *studies: str, outcome: str = "finished") -> None:
        tags = {"study": studies[0], **{f"study.{study}": "yes" for study in studies}}
        launch = self.launches[studies[0]]
        record = self.ledger.open_trial(identity, launch=launch, name=identity, tags=tags)
        files = self.ledger.root.parent / "files"
        files.mkdir(exist_ok=True)
        for name in (*NEEDED_FILES, MODEL):
            (files / name).write_bytes(b"0" * 1000)
        news = News(config=CONFIG.flat(), rows=[Measurement({"step": 1, "test_accuracy": 0.5}, 0)])
        self.ledger.close_trial(record.run_id, outcome, news=news, artifacts=files)
        self.runs[identity] = record.run_id
        (self.ledger.root / "work" / identity).mkdir(parents=True)
        (self.ledger.root / "work" / identity / "checkpoint.pt").write_bytes(b"0" * 5000)

    def report(self, launch: str) -> Path:
        page = self.ledger.root.parent / "report.html"
        page.write_bytes(b"0" * 2000)
        MlflowClient(self.ledger.uri).log_artifact(launch, str(page), "report")
        return self.ledger.artifact(launch, "report")

    def found(self, *studies: str) -> list[Prunable]:
        return prunable(self.ledger, self.leases, studies)

    def names(self, *studies: str) -> dict[str, set[str]]:
        owners: dict[str, set[str]] = {}
        for each in self.found(*studies):
            owners.setdefault(each.what, set()).add(each.owner)
        return owners

    def prune(self) -> None:
        remove(self.found(), self.ledger, self.leases)


@pytest.fixture
def store(tmp_path: Path, new_ledger: Callable[[Path], Ledger]) -> Store:
    return Store(new_ledger(tmp_path / "mlruns"))


def test_what_no_table_needs_goes_and_nothing_else(store: Store) -> None:
    found = {
        CHECKPOINTS: {"plain", "shown", "unknown", "shared"},
        MODELS: {"plain"},
        DELETED: {"deleted"},
    }
    assert store.names() == found
    before = {path for path in store.ledger.root.rglob("*") if path.suffix != ".lock"}
    assert store.names() == found, "to look removes nothing"
    assert {path for path in store.ledger.root.rglob("*") if path.suffix != ".lock"} == before
    records = store.ledger.trials()
    store.prune()
    assert store.names() == {}
    assert store.ledger.trials() == records, "all that the database has of results"
    for identity in ("plain", "shown", "unknown", "shared", "stopped", "lives"):
        folder = store.ledger.artifact(store.runs[identity], "")
        kept = set(NEEDED_FILES) | ({MODEL} if identity != "plain" else set())
        assert {path.name for path in folder.iterdir()} == kept
    work = {path.name for path in (store.ledger.root / "work").iterdir()}
    assert work == {"stopped", "lives", "deleted"}, "checkpoints to go on from, or that the doctor tells of"
    assert store.runs["deleted"] not in {each.run_id for each in store.ledger.entries()}
    assert not (store.ledger.root / "artifacts" / store.runs["deleted"]).exists()


def test_once_its_process_is_gone_what_it_had_goes_too(store: Store) -> None:
    store.living.release_all()
    assert {"lives"} <= store.names()[MODELS] & store.names()[CHECKPOINTS]


def test_what_a_process_takes_after_it_was_found_stays(store: Store) -> None:
    found = store.found()
    store.living.take("plain")
    store.living.take("deleted")
    remove(found, store.ledger, store.leases)
    assert store.ledger.artifact(store.runs["plain"], MODEL).exists()
    assert store.runs["deleted"] in {each.run_id for each in store.ledger.entries()}


def test_only_what_is_of_the_studies_that_are_named_goes(store: Store) -> None:
    assert store.names("pos_embed") == {CHECKPOINTS: {"shown", "shared"}}
    assert store.names("quickstart") == {CHECKPOINTS: {"plain", "shared"}, MODELS: {"plain"}, DELETED: {"deleted"}}


def test_the_newest_report_of_each_study_recipe_and_scale_stays(store: Store) -> None:
    old = store.report(store.launches["quickstart"])
    nano = store.report(store.launch("quickstart", scale="nano"))
    new = store.report(store.launch("quickstart"))
    without = store.launch("quickstart")
    assert store.names()[REPORTS] == {store.launches["quickstart"]}
    store.living.take(store.launches["quickstart"])
    assert REPORTS not in store.names()
    store.living.release(store.launches["quickstart"])
    store.prune()
    assert (old.exists(), nano.exists(), new.exists()) == (False, True, True)
    assert without in {each.run_id for each in store.ledger.entries()}


def test_the_files_of_the_store_that_a_store_was_copied_from_are_not_touched(store: Store, tmp_path: Path) -> None:
    shutil.copytree(store.ledger.root, tmp_path / "copy")
    copied = Ledger(tmp_path / "copy")
    leases = Leases(copied.root / "leases")
    remove(prunable(copied, leases, ()), copied, leases)
    assert store.names().keys() == {CHECKPOINTS, MODELS, DELETED}
    assert {each.run_id for each in copied.entries()} == {each.run_id for each in store.ledger.entries()}


def test_sizes_are_told_by_kind_and_in_all(store: Store) -> None:
    assert list(sums(store.found())) == [
        "   20.0 kB  4 checkpoints of settled trials",
        "    1.0 kB  1 models that no report shows",
        "    4.0 kB  1 runs that were deleted in MLflow",
        "   25.0 kB  in all",
    ]
    assert list(sums([])) == ["   0 bytes  in all"]
