"""Healthy stores stay untouched; damaged ones are reported, then repaired."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from mlflow import MlflowClient

from revit.config import FineTuneConfig
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.records import Measurement, TrialUpdate
from study.ledger.states import TrialState
from study.maintenance.checks import CheckResult
from study.maintenance.checks.store import CHECKS, check_server, check_store
from study.plan import Folders
from tests.study.servers import Server

CONFIG = FineTuneConfig(dataset="digits", steps=2)


def folders_of(root: Path) -> Folders:
    return Folders(store=root, data=root / "data", cache=root / "cache")


class Store:
    """A healthy store: a finished trial, an interrupted one with a checkpoint, and a running one."""

    def __init__(self, ledger: Ledger) -> None:
        self.root = root = ledger.root
        self.ledger = ledger
        self.launch = self.ledger.launches.open("example", {})
        self.ledger.launches.close(self.launch, TrialState.FINISHED, {})
        self.living = Locks(root / "locks")
        self.runs = {name: self.open_trial(name) for name in ("finished", "stopped", "lives")}
        self.finish("finished")
        self.ledger.close_trial(self.runs["stopped"], TrialState.INTERRUPTED)
        self.living.acquire("lives")
        for name in ("stopped", "lives"):
            self.work(name).mkdir(parents=True)
            torch.save({"step": 1}, self.work(name) / "checkpoint.pt")

    def open_trial(self, identity: str) -> str:
        tags = {"torch": torch.__version__}
        given = {"launch": self.launch, "name": identity, "tags": tags}
        run_id = self.ledger.open_trial(identity, **given).run_id
        self.ledger.log(run_id, TrialUpdate(config=CONFIG.flat()))
        return run_id

    def create_run(self, identity: str) -> None:
        """Create a run as a request that is sent twice does."""
        self.ledger.runs.client.create_run(self.ledger.runs.experiment_id, tags={"identity": identity, "kind": "trial"})

    def finish(self, identity: str) -> None:
        files = self.root.parent / "files"
        files.mkdir(exist_ok=True)
        (files / "config.json").write_text("{}")
        (files / "built.json").write_text(json.dumps({"num_steps": 2}))
        pd.DataFrame({"index": [0, 1], "prediction": [3, 4]}).to_parquet(files / "predictions.parquet")
        rows = [Measurement({"step": step, "lr": 0.1}, 0) for step in (1, 2)]
        self.ledger.close_trial(
            self.runs[identity], TrialState.FINISHED, update=TrialUpdate(rows=rows), artifacts=files
        )

    def work(self, identity: str) -> Path:
        return self.root / "work" / identity

    def artifact(self, name: str) -> Path:
        return self.ledger.artifacts.path(self.runs["finished"], name)

    def check(self, *, fix: bool = False) -> list[CheckResult]:
        return list(check_store(folders_of(self.root), fix=fix))


@pytest.fixture
def store(tmp_path: Path, new_ledger: Callable[[Path], Ledger]) -> Store:
    return Store(new_ledger(tmp_path / "mlruns"))


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.suffix != ".lock"}


def test_a_healthy_store_is_left_unchanged(store: Store) -> None:
    before = files_in(store.root)
    for fix in (False, True):
        results = store.check(fix=fix)
        assert [each.text for each in results if each.level != "ok"] == []
        assert len(results) == 1 + len(CHECKS), "a line per check"
    assert files_in(store.root) == before


def test_an_empty_database_is_an_error_and_gets_no_tables(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    [result] = check_store(folders_of(tmp_path), fix=False)
    assert (result.level, "no such table" in result.text) == ("error", True)
    assert (tmp_path / "mlflow.db").stat().st_size == 0


def test_no_store_yet_is_healthy_and_none_is_created(tmp_path: Path) -> None:
    [result] = check_store(folders_of(tmp_path / "mlruns"), fix=True)
    assert (result.level, "no store yet" in result.text) == ("ok", True)
    assert list(tmp_path.iterdir()) == []


def test_an_identity_that_is_a_path_is_an_error_and_nothing_is_written_there(store: Store, tmp_path: Path) -> None:
    MlflowClient(store.ledger.uri).set_tag(store.open_trial("died"), "identity", "../../elsewhere")
    [result] = [each for each in store.check(fix=True) if each.level == "error"]
    assert result.text.startswith("store: the store has a run of the identity '../../elsewhere', which no trial has")
    assert not list(tmp_path.glob("elsewhere*"))


def test_a_lock_file_of_a_dead_process_is_healthy(store: Store) -> None:
    (store.root / "locks" / "died.lock").touch()
    assert all(each.level == "ok" for each in store.check())


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def leave_running(store: Store) -> None:
    store.open_trial("died")


def leave_folders(store: Store) -> None:
    store.work("finished").mkdir()
    (store.root / "tune" / "another").mkdir(parents=True)


FIXABLE: dict[str, tuple[Callable[[Store], object], str]] = {
    "an orphaned run": (leave_running, "1 x RUNNING run of a dead process"),
    "a work folder": (leave_folders, "1 x work folder of a completed trial"),
    "a tune folder": (leave_folders, "1 x folder of a dead launch"),
    "duplicate runs": (lambda store: store.create_run("finished"), "1 x duplicate runs of a trial or launch"),
    "no predictions": (lambda store: store.artifact("predictions.parquet").unlink(), "predictions.parquet missing"),
    "truncated predictions": (lambda store: truncate(store.artifact("predictions.parquet")), "cannot be read"),
    "no built": (lambda store: store.artifact("built.json").unlink(), "built.json missing"),
    "truncated config": (lambda store: truncate(store.artifact("config.json")), "cannot be read"),
    "too few steps": (
        lambda store: store.artifact("built.json").write_text('{"num_steps": 3}'),
        "only 2 of its 3 steps are in the ledger",
    ),
}


@pytest.mark.parametrize("case", FIXABLE)
def test_a_fixable_problem_is_reported_then_repaired(case: str, store: Store) -> None:
    damage, text = FIXABLE[case]
    damage(store)
    before = files_in(store.root)
    assert "fixable" in {each.level for each in store.check() if text in each.text}
    assert files_in(store.root) == before, "nothing is changed without --fix"
    assert "fixed" in {each.level for each in store.check(fix=True) if text in each.text}
    assert [each.text for each in store.check() if each.level != "ok"] == []
    assert {"stopped", "lives"} <= store.ledger.trials().keys()
    assert store.ledger.find("lives").state is TrialState.RUNNING
    assert store.work("stopped").exists()


def test_a_damaged_trial_is_trained_again_in_a_run_of_its_own_and_the_old_can_be_restored(store: Store) -> None:
    truncate(store.artifact("predictions.parquet"))
    old = store.runs["finished"]
    store.check(fix=True)
    assert store.ledger.find("finished") is None, "so that the next plan finds it not run"
    store.runs["finished"] = store.open_trial("finished")
    assert store.runs["finished"] != old
    assert store.ledger.find("finished").metrics == {}, "its numbers are those of the new run alone"
    store.finish("finished")
    assert all(each.is_healthy for each in store.check())
    MlflowClient(store.ledger.uri).restore_run(old)
    assert {each.level for each in store.check() if "duplicate runs" in each.text} == {"fixable"}
    store.check(fix=True)
    assert store.ledger.find("finished").run_id == store.runs["finished"], "the newer one, as both are finished"


def test_nothing_is_damaged_while_the_disk_with_the_artifacts_is_unavailable(store: Store) -> None:
    shutil.move(store.root / "artifacts", store.root.parent / "away")
    assert all(each.level == "ok" for each in store.check(fix=True))


def test_a_locked_trial_is_not_deleted(store: Store) -> None:
    store.artifact("built.json").unlink()
    store.living.acquire("finished")
    assert "fixable" in {each.level for each in store.check(fix=True)}
    assert store.ledger.find("finished") is not None


def set_schema(store: Store) -> None:
    store.root = shutil.copytree(store.root, store.root.parent / "copy")  # MLflow verifies a path once per process
    with sqlite3.connect(store.root / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'older'")


def damage_pages(store: Store) -> None:
    with (store.root / "mlflow.db").open("r+b") as file:
        file.seek(40_000)
        file.write(b"\xff" * 60_000)


def lose_index(store: Store) -> None:
    with sqlite3.connect(store.root / "mlflow.db") as database:
        database.execute("PRAGMA writable_schema = ON")
        database.execute("DELETE FROM sqlite_master WHERE name = 'index_params_run_uuid'")


NOT_FIXABLE: dict[str, tuple[Callable[[Store], object], str]] = {
    "another schema": (set_schema, "then run 'mlflow db upgrade"),
    "a truncated database": (lambda store: truncate(store.root / "mlflow.db"), "cannot be read"),
    "damaged pages": (damage_pages, "cannot be read"),
    "a lost index": (lose_index, "is damaged: Page "),
    "any bytes": (lambda store: (store.root / "mlflow.db").write_bytes(b"none" * 500), "cannot be read"),
}


@pytest.mark.parametrize("case", NOT_FIXABLE)
def test_what_only_the_user_can_decide_is_reported_and_left_unchanged(case: str, store: Store) -> None:
    damage, text = NOT_FIXABLE[case]
    damage(store)
    for fix in (False, True):
        [problem] = [each for each in store.check(fix=fix) if not each.is_healthy]
        assert problem.level == "error"
        assert text in problem.text


def test_a_healthy_server_is_only_read(server: Server, tmp_path: Path) -> None:
    folders = Folders(store=tmp_path / "here", data=tmp_path, cache=tmp_path, server=server.address)
    [answer] = check_server(folders, fix=False)
    assert not folders.store.exists()
    assert answer.level == "ok"
    assert server.address in answer.text


def test_a_copied_store_is_reported_then_repaired_and_has_its_own_files(store: Store, tmp_path: Path) -> None:
    store.root = shutil.copytree(store.root, tmp_path / "copy")
    shutil.rmtree(tmp_path / "mlruns" / "artifacts")
    for fix, level in ((False, "fixable"), (True, "fixed")):
        [result] = [each for each in store.check(fix=fix) if "it was copied or moved" in each.text]
        assert result.level == level
    assert all(each.level == "ok" for each in store.check())
    run = MlflowClient(Ledger(store.root).uri).get_run(store.runs["finished"])
    assert run.info.artifact_uri == (tmp_path / "copy" / "artifacts" / run.info.run_id / "artifacts").as_uri()


def test_models_that_are_missing_or_that_no_study_keeps_are_reported(store: Store) -> None:
    client, run_id = MlflowClient(store.ledger.uri), store.runs["finished"]
    client.set_tag(run_id, "study.example", "yes")
    client.set_tag(run_id, "keep_model.example", "yes")
    [missing] = [each for each in store.check(fix=True) if not each.is_healthy]
    text = "store: 1 models that studies keep are missing (example): `run STUDY --missing-models` trains them again"
    assert (missing.level, missing.text) == ("warn", text)
    store.artifact("model.safetensors").touch()
    assert all(each.is_healthy for each in store.check())
    client.set_tag(run_id, "keep_model.example", "no")
    [extra] = [each for each in store.check(fix=True) if not each.is_healthy]
    assert extra.text == "store: 1 models that no study keeps: `prune` removes them"
