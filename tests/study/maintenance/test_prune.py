"""`prune` removes what no table needs, but nothing that a report or a running process uses."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from revit.config import FineTuneConfig
from revit.errors import InputError
from study.layout import MODEL, NEEDED_FILES
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.orphans import Removable
from study.ledger.records import Measurement, TrialUpdate, study_tags
from study.ledger.states import TrialState
from study.maintenance.prune import find_prunable, summarize

CONFIG = FineTuneConfig(dataset="digits", steps=1)
CHECKPOINTS, MODELS = "work folder of a completed trial", "superseded model"
NAMED, UNKEPT = "model of a study named by --models", "model that no study keeps"
REPORTS, DELETED = "superseded report", "run deleted in MLflow"


class Store:
    """A store of three studies; `plain` is trained again as `again`."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.locks = Locks(ledger.root / "locks")
        self.living = Locks(ledger.root / "locks")
        self.runs: dict[str, str] = {}
        self.launches = {study: self.launch(study) for study in ("quickstart", "pos_embed", "forgotten")}
        self.trial("plain", "quickstart", cell="a")
        self.trial("again", "quickstart", cell="a")
        self.trial("shown", "pos_embed")
        self.trial("unknown", "forgotten")
        self.trial("shared", "quickstart", "pos_embed")
        self.trial("deleted", "quickstart")
        self.ledger.runs.delete(self.runs["deleted"])
        self.trial("stopped", "quickstart", state=TrialState.INTERRUPTED)
        self.trial("lives", "quickstart")
        self.living.acquire("lives")

    def launch(self, study: str, **tags: str) -> str:
        launch = self.ledger.launches.open(study, tags)
        self.ledger.launches.close(launch, TrialState.FINISHED, {})
        return launch

    def trial(self, identity: str, *studies: str, cell: str = "", state: str = TrialState.FINISHED) -> None:
        """A trial with its model and its checkpoint, in a cell of its own unless one is named."""
        tags = {"study": studies[0], "seed": "0"}
        for study in studies:
            tags |= study_tags(study, cell={"at": cell or identity}, point={"at": cell or identity})
        launch = self.launches[studies[0]]
        record = self.ledger.open_trial(identity, launch=launch, name=identity, tags=tags)
        files = self.ledger.root.parent / "files"
        files.mkdir(exist_ok=True)
        for name in (*NEEDED_FILES, MODEL):
            (files / name).write_bytes(b"0" * 1000)
        update = TrialUpdate(config=CONFIG.flat(), rows=[Measurement({"step": 1, "test_accuracy": 0.5}, 0)])
        self.ledger.close_trial(record.run_id, state, update=update, artifacts=files)
        self.runs[identity] = record.run_id
        (self.ledger.root / "work" / identity).mkdir(parents=True)
        (self.ledger.root / "work" / identity / "checkpoint.pt").write_bytes(b"0" * 5000)

    def report(self, launch: str) -> Path:
        page = self.ledger.root.parent / "report.html"
        page.write_bytes(b"0" * 2000)
        MlflowClient(self.ledger.uri).log_artifact(launch, str(page), "report")
        return self.ledger.artifacts.path(launch, "report")

    def found(self, *studies: str, models: tuple[str, ...] = ()) -> list[Removable]:
        return find_prunable(self.ledger, self.locks, studies, models)

    def names(self, *studies: str, models: tuple[str, ...] = ()) -> dict[str, set[str]]:
        owners: dict[str, set[str]] = {}
        for each in self.found(*studies, models=models):
            owners.setdefault(each.kind, set()).add(each.owner)
        return owners

    def prune(self, *, models: tuple[str, ...] = ()) -> None:
        remove(self.found(models=models), self.locks)

    def model(self, identity: str) -> Path:
        return self.ledger.artifacts.path(self.runs[identity], MODEL)

    def forge(self, statement: str, *values: str) -> None:
        """Change the database behind MLflow's back."""
        with closing(sqlite3.connect(self.ledger.root / "mlflow.db")) as database, database:
            assert database.execute(statement, values).rowcount == 1


def remove(found: list[Removable], locks: Locks) -> None:
    for each in found:
        each.remove_if_free(locks)


@pytest.fixture
def store(tmp_path: Path, new_ledger: Callable[[Path], Ledger]) -> Store:
    return Store(new_ledger(tmp_path / "mlruns"))


def test_only_what_no_table_needs_is_removed(store: Store) -> None:
    found = {
        CHECKPOINTS: {"plain", "again", "shown", "unknown", "shared"},
        MODELS: {"plain"},
        DELETED: {"deleted"},
    }
    assert store.names() == found
    before = {path for path in store.ledger.root.rglob("*") if path.suffix != ".lock"}
    assert store.names() == found, "finding removes nothing"
    assert {path for path in store.ledger.root.rglob("*") if path.suffix != ".lock"} == before
    records = store.ledger.trials()
    store.prune()
    assert store.names() == {}
    assert store.ledger.trials() == records, "all results are kept"
    for identity in ("plain", "again", "shown", "unknown", "shared", "stopped", "lives"):
        folder = store.ledger.artifacts.path(store.runs[identity], "")
        kept = set(NEEDED_FILES) | ({MODEL} if identity != "plain" else set())
        assert {path.name for path in folder.iterdir()} == kept
    work = {path.name for path in (store.ledger.root / "work").iterdir()}
    assert work == {"stopped", "lives", "deleted"}, "checkpoints to resume from, or that the doctor reports"
    assert store.runs["deleted"] not in {each.run_id for each in store.ledger.run_infos()}
    assert not (store.ledger.root / "artifacts" / store.runs["deleted"]).exists()


def test_files_of_a_dead_process_are_prunable(store: Store) -> None:
    store.living.release_all()
    assert "lives" in store.names()[CHECKPOINTS]


def test_a_model_that_is_not_superseded_stays_until_its_study_is_named(store: Store) -> None:
    """`run` makes no model again, so the newest is never removed by default."""
    store.prune()
    assert MODELS not in store.names()
    assert all(store.model(identity).exists() for identity in ("again", "shown", "unknown", "shared"))
    assert store.names(models=("quickstart",)) == {NAMED: {"again"}}, "pos_embed uses the shared one as well"
    assert store.names(models=("quickstart", "pos_embed")) == {NAMED: {"again", "shared", "shown"}}
    store.prune(models=("forgotten",))
    assert not store.model("unknown").exists()
    with pytest.raises(InputError, match=r"^--models = quickstat: .* these studies: forgotten, pos_embed, quickstart$"):
        store.names(models=("quickstat",))


def test_a_model_that_no_study_keeps_is_removed(store: Store) -> None:
    client = MlflowClient(store.ledger.uri)
    client.set_tag(store.runs["shared"], "keep_model.quickstart", "no")
    assert UNKEPT not in store.names(), "pos_embed has not said that it does not keep it"
    client.set_tag(store.runs["shared"], "keep_model.pos_embed", "yes")
    assert UNKEPT not in store.names()
    client.set_tag(store.runs["shared"], "keep_model.pos_embed", "no")
    assert store.names()[UNKEPT] == {"shared"}
    store.prune()
    assert not store.model("shared").exists()
    assert store.model("shown").exists()


def test_a_model_of_another_recipe_scale_or_seed_supersedes_none(store: Store) -> None:
    client = MlflowClient(store.ledger.uri)
    for tag in ("recipe", "scale", "seed"):
        client.set_tag(store.runs["again"], tag, "other")
        assert MODELS not in store.names()
        client.set_tag(store.runs["plain"], tag, "other")
        assert store.names()[MODELS] == {"plain"}


def test_a_model_stays_that_is_the_newest_in_one_of_its_studies(store: Store) -> None:
    store.trial("newer", "quickstart", cell="shared")
    assert "shared" not in store.names()[MODELS]
    store.trial("newest", "pos_embed", cell="shared")
    assert "shared" in store.names()[MODELS]


def test_a_forged_path_or_identity_removes_nothing_outside(store: Store, tmp_path: Path) -> None:
    mine = tmp_path / "mine" / store.runs["plain"] / "artifacts"
    mine.mkdir(parents=True)
    (mine / MODEL).write_bytes(b"mine")
    store.forge("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", str(mine), store.runs["plain"])
    assert [each.path for each in store.found() if each.kind == MODELS] == [store.model("plain")]
    tag = "UPDATE tags SET value = ? WHERE key = 'identity' AND run_uuid = ?"
    store.forge(tag, "../../mine/x", store.runs["deleted"])
    with pytest.raises(InputError, match=r"has a run of the identity '\.\./\.\./mine/x', which no trial has"):
        store.prune()
    assert [path.name for path in (tmp_path / "mine").rglob("*") if path.is_file()] == [MODEL]


def test_artifacts_can_lie_on_another_disk(store: Store, tmp_path: Path) -> None:
    shutil.move(store.ledger.root / "artifacts", tmp_path / "large")
    (store.ledger.root / "artifacts").symlink_to(tmp_path / "large")
    store.prune()
    assert not store.model("plain").exists()
    assert store.model("again").exists()


def test_anything_locked_since_it_was_found_is_skipped(store: Store) -> None:
    found = store.found()
    store.living.acquire("plain")
    store.living.acquire("deleted")
    remove(found, store.locks)
    assert store.ledger.artifacts.path(store.runs["plain"], MODEL).exists()
    assert store.runs["deleted"] in {each.run_id for each in store.ledger.run_infos()}


def test_only_the_named_studies_are_pruned(store: Store) -> None:
    assert store.names("pos_embed") == {CHECKPOINTS: {"shown", "shared"}}
    of_quickstart = {CHECKPOINTS: {"plain", "again", "shared"}, MODELS: {"plain"}, DELETED: {"deleted"}}
    assert store.names("quickstart") == of_quickstart


def test_the_newest_report_of_each_study_recipe_and_scale_stays(store: Store) -> None:
    old = store.report(store.launches["quickstart"])
    nano = store.report(store.launch("quickstart", scale="nano"))
    new = store.report(store.launch("quickstart"))
    without = store.launch("quickstart")
    [lock] = [run.owner for run in store.ledger.run_infos() if run.run_id == store.launches["quickstart"]]
    assert store.names()[REPORTS] == {lock}
    store.living.acquire(lock)
    assert REPORTS not in store.names()
    store.living.release(lock)
    store.prune()
    assert (old.exists(), nano.exists(), new.exists()) == (False, True, True)
    assert without in {each.run_id for each in store.ledger.run_infos()}


def test_pruning_a_copy_leaves_the_original_unchanged(store: Store, tmp_path: Path) -> None:
    shutil.copytree(store.ledger.root, tmp_path / "copy")
    copied = Ledger(tmp_path / "copy")
    locks = Locks(copied.root / "locks")
    remove(find_prunable(copied, locks, ()), locks)
    assert store.names().keys() == {CHECKPOINTS, MODELS, DELETED}
    assert store.runs["deleted"] not in {each.run_id for each in copied.run_infos()}, "the copy has files of its own"
    assert store.runs["deleted"] in {each.run_id for each in store.ledger.run_infos()}
    assert store.model("plain").exists()


def test_the_summary_lists_paths_then_kinds_then_the_total(store: Store) -> None:
    found = store.found()
    lines = list(summarize(found))
    work = store.ledger.root / "work"
    assert lines[:7] == [
        *(f"    5.0 kB  {work / name}" for name in ("again", "plain", "shared", "shown", "unknown")),
        f"    1.0 kB  {store.model('plain')}",
        f"    4.0 kB  {store.ledger.root / 'artifacts' / store.runs['deleted']}",
    ]
    assert lines[7:] == [
        "   25.0 kB  5 x work folder of a completed trial",
        "    1.0 kB  1 x superseded model",
        "    4.0 kB  1 x run deleted in MLflow",
        "   30.0 kB  total",
    ]
    assert list(summarize([])) == ["   0 bytes  total"]
