"""What the doctor says of sound and of damaged stores, caches and machines, and what it mends."""

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from filelock import FileLock
from mlflow import MlflowClient

import search_spaces
from revit.config import FineTuneConfig
from revit.datasets.image_store import ImageStore
from revit.models import weights
from study.execution.trainable import _write_predictions
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.records import Measurement, TrialUpdate
from study.maintenance.checks import CheckResult, machine
from study.maintenance.checks import input_files as inputs
from study.maintenance.checks.input_files import check_datasets, check_weights
from study.maintenance.checks.machine import check_devices, check_disks, check_versions
from study.maintenance.checks.store import CHECKS, check_store
from study.maintenance.doctor import diagnose
from study.plan import Folders

CONFIG = FineTuneConfig(dataset="digits", steps=2)
TOO_LONG_AGO = time.time() - 2 * inputs.LONGEST_BUILD_S


class Store:
    """A sound store: a finished trial, a stopped one with a checkpoint, and one that a process trains."""

    def __init__(self, ledger: Ledger) -> None:
        self.root = root = ledger.root
        self.ledger = ledger
        self.launch = self.ledger.open_launch("example", {})
        self.ledger.close_launch(self.launch, "finished", {})
        self.living = Locks(root / "locks")
        self.runs = {name: self.open_trial(name) for name in ("finished", "stopped", "lives")}
        self.finish("finished")
        self.ledger.close_trial(self.runs["stopped"], "interrupted")
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
        self.ledger._client.create_run(self.ledger._experiment, tags={"identity": identity, "kind": "trial"})

    def finish(self, identity: str) -> None:
        files = self.root.parent / "files"
        files.mkdir(exist_ok=True)
        (files / "config.json").write_text("{}")
        (files / "built.json").write_text(json.dumps({"num_steps": 2}))
        _write_predictions(files / "predictions.parquet", {"index": [0, 1], "prediction": [3, 4]})
        rows = [Measurement({"step": step, "lr": 0.1}, 0) for step in (1, 2)]
        self.ledger.close_trial(self.runs[identity], "finished", update=TrialUpdate(rows=rows), artifacts=files)

    def work(self, identity: str) -> Path:
        return self.root / "work" / identity

    def artifact(self, name: str) -> Path:
        return self.ledger.artifact(self.runs["finished"], name)

    def check(self, *, fix: bool = False) -> list[CheckResult]:
        return list(check_store(self.root, fix=fix))


@pytest.fixture
def store(tmp_path: Path, new_ledger: Callable[[Path], Ledger]) -> Store:
    return Store(new_ledger(tmp_path / "mlruns"))


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.suffix != ".lock"}


def test_a_sound_store_is_well_and_is_left_as_it_is(store: Store) -> None:
    before = files_in(store.root)
    for fix in (False, True):
        findings = store.check(fix=fix)
        assert [each.text for each in findings if each.verdict != "ok"] == []
        assert len(findings) == 1 + len(CHECKS), "a line for each thing that was looked at"
    assert files_in(store.root) == before


def test_a_store_that_is_not_there_is_well_and_is_not_made(tmp_path: Path) -> None:
    [finding] = check_store(tmp_path / "mlruns", fix=True)
    assert (finding.verdict, "no store yet" in finding.text) == ("ok", True)
    assert list(tmp_path.iterdir()) == []


def test_an_identity_that_is_a_path_is_told_and_nothing_is_written_there(store: Store, tmp_path: Path) -> None:
    MlflowClient(store.ledger.uri).set_tag(store.open_trial("died"), "identity", "../../elsewhere")
    [finding] = [each for each in store.check(fix=True) if each.verdict == "look"]
    assert finding.text.startswith("store: the store has a run of the identity '../../elsewhere', which no trial has")
    assert not list(tmp_path.glob("elsewhere*"))


def test_a_lock_that_a_dead_process_left_is_no_matter(store: Store) -> None:
    (store.root / "locks" / "died.lock").touch()
    assert all(each.verdict == "ok" for each in store.check())


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def leave_running(store: Store) -> None:
    store.open_trial("died")


def leave_folders(store: Store) -> None:
    store.work("finished").mkdir()
    (store.root / "tune" / "another").mkdir(parents=True)


def leave_artifacts(store: Store) -> None:
    folder = store.root / "artifacts" / ("0" * 32) / "artifacts"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"0" * 1000)


FIXABLE: dict[str, tuple[Callable[[Store], object], str]] = {
    "a run nobody ended": (leave_running, "1 runs whose process died are still called running: died"),
    "a work folder": (leave_folders, "1 x work folder of a trial that is settled"),
    "a tune folder": (leave_folders, "1 x folder of a launch that died"),
    "two runs of one trial": (
        lambda store: store.create_run("finished"),
        "1 trials or launches have several runs, of which one stays: finished",
    ),
    "files of no run": (leave_artifacts, "1 folders in artifacts/ belong to no run (1.0 kB)"),
    "no predictions": (lambda store: store.artifact("predictions.parquet").unlink(), "predictions.parquet missing"),
    "torn predictions": (lambda store: truncate(store.artifact("predictions.parquet")), "cannot be read"),
    "no built": (lambda store: store.artifact("built.json").unlink(), "built.json missing"),
    "torn config": (lambda store: truncate(store.artifact("config.json")), "cannot be read"),
    "too few steps": (
        lambda store: store.artifact("built.json").write_text('{"num_steps": 3}'),
        "only 2 of its 3 steps are in the ledger",
    ),
}


@pytest.mark.parametrize("case", FIXABLE)
def test_what_can_be_mended_is_told_then_mended_then_well(case: str, store: Store) -> None:
    damage, told = FIXABLE[case]
    damage(store)
    before = files_in(store.root)
    assert "to fix" in {each.verdict for each in store.check() if told in each.text}
    assert files_in(store.root) == before, "nothing is changed without --fix"
    assert "fixed" in {each.verdict for each in store.check(fix=True) if told in each.text}
    assert [each.text for each in store.check() if each.verdict != "ok"] == []
    assert {"stopped", "lives"} <= store.ledger.trials().keys()
    assert store.ledger.find("lives").outcome is None
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
    assert all(each.is_well for each in store.check())
    MlflowClient(store.ledger.uri).restore_run(old)
    assert {each.verdict for each in store.check() if "have several runs" in each.text} == {"to fix"}
    store.check(fix=True)
    assert store.ledger.find("finished").run_id == store.runs["finished"], "the newer one, as both are finished"


def test_nothing_is_called_damaged_while_the_disk_with_the_files_is_away(store: Store) -> None:
    shutil.move(store.root / "artifacts", store.root.parent / "away")
    assert all(each.verdict == "ok" for each in store.check(fix=True))


def test_a_trial_that_a_process_has_is_not_set_aside(store: Store) -> None:
    store.artifact("built.json").unlink()
    store.living.acquire("finished")
    assert "to fix" in {each.verdict for each in store.check(fix=True)}
    assert store.ledger.find("finished") is not None


def tear_checkpoints(store: Store) -> None:
    truncate(store.work("stopped") / "checkpoint.pt")
    truncate(store.work("lives") / "checkpoint.pt")  # of a living process: it may be writing it


def add_run_elsewhere(store: Store) -> None:
    client = MlflowClient(store.ledger.uri)
    client.create_run(client.create_experiment("strange"))


def set_schema(store: Store) -> None:
    with sqlite3.connect(store.root / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'older'")


def tag_torch(store: Store) -> None:
    store.ledger.tag(store.runs["finished"], {"torch": "1.0"})


def delete_stopped(store: Store) -> None:
    store.ledger.delete(store.runs["stopped"])


def damage_pages(store: Store) -> None:
    with (store.root / "mlflow.db").open("r+b") as file:
        file.seek(40_000)
        file.write(b"\xff" * 60_000)


def lose_index(store: Store) -> None:
    with sqlite3.connect(store.root / "mlflow.db") as database:
        database.execute("PRAGMA writable_schema = ON")
        database.execute("DELETE FROM sqlite_master WHERE name = 'index_params_run_uuid'")


TO_LOOK_AT: dict[str, tuple[Callable[[Store], object], str]] = {
    "another experiment": (add_run_elsewhere, "runs of another experiment"),
    "torn checkpoints": (tear_checkpoints, "work/stopped is whole"),
    "work of no trial": (delete_stopped, "work/stopped ("),
    "another torch": (tag_torch, "1 trials ran with torch 1.0"),
    "another schema": (set_schema, "mlflow db upgrade sqlite:///"),
    "a torn database": (lambda store: truncate(store.root / "mlflow.db"), "cannot be read"),
    "damaged pages": (damage_pages, "cannot be read"),
    "a lost index": (lose_index, "is damaged: Page "),
    "any bytes": (lambda store: (store.root / "mlflow.db").write_bytes(b"none" * 500), "cannot be read"),
}


@pytest.mark.parametrize("case", TO_LOOK_AT)
def test_what_only_the_user_can_decide_is_told_and_left(case: str, store: Store) -> None:
    damage, told = TO_LOOK_AT[case]
    damage(store)
    for fix in (False, True):
        [look] = [each for each in store.check(fix=fix) if not each.is_well]
        assert look.verdict == "look"
        assert told in look.text


def test_a_store_that_was_copied_is_told_then_mended_and_has_its_own_files(store: Store, tmp_path: Path) -> None:
    store.root = shutil.copytree(store.root, tmp_path / "copy")
    shutil.rmtree(tmp_path / "mlruns" / "artifacts")
    for fix, verdict in ((False, "to fix"), (True, "fixed")):
        [finding] = [each for each in store.check(fix=fix) if "it was copied or moved" in each.text]
        assert finding.verdict == verdict
    assert all(each.verdict == "ok" for each in store.check())
    run = MlflowClient(Ledger(store.root).uri).get_run(store.runs["finished"])
    assert run.info.artifact_uri == (tmp_path / "copy" / "artifacts" / run.info.run_id / "artifacts").as_uri()


def test_a_checkpoint_that_is_torn_is_no_matter_while_the_one_before_it_is_whole(store: Store) -> None:
    checkpoint = store.work("stopped") / "checkpoint.pt"
    shutil.copy(checkpoint, checkpoint.with_name("checkpoint.pt.before"))
    truncate(checkpoint)
    assert all(each.is_well for each in store.check())


@pytest.fixture
def cache(tmp_path: Path, digits: ImageStore) -> Path:
    shutil.copytree(digits.folder, tmp_path / "cache" / digits.folder.name)
    (tmp_path / "cache" / "sources").mkdir()
    return tmp_path / "cache"


def test_whole_images_are_well(cache: Path) -> None:
    (cache / "anything-else").mkdir()
    [finding] = check_datasets(cache, fix=True)
    assert finding.verdict == "ok"
    assert "1 datasets" in finding.text
    assert (cache / "anything-else").exists()
    assert [each.verdict for each in check_datasets(cache / "none", fix=True)] == ["ok"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # NumPy leaves a torn file open
@pytest.mark.parametrize("name", ["manifest.json", "layout.npz", "pixels.bin"])
@pytest.mark.parametrize("damage", [truncate, Path.unlink])
def test_torn_images_are_to_be_looked_at(cache: Path, name: str, damage: Callable[[Path], None]) -> None:
    [folder] = cache.glob("digits-*")
    damage(folder / name)
    [look] = [each for each in check_datasets(cache, fix=True) if not each.is_well]
    assert look.verdict == "look"
    assert str(folder) in look.text


def test_images_half_decoded_are_removed_once_they_are_old_and_nobody_decodes(cache: Path) -> None:
    for name in ("building-old", "building-new"):
        (cache / name).mkdir()
        (cache / name / "pixels.bin").write_bytes(b"0" * 1000)
    for path in (cache / "building-old" / "pixels.bin", cache / "building-old"):
        os.utime(path, (TOO_LONG_AGO, TOO_LONG_AGO))
    with FileLock(cache / "sources" / "a.lock"):
        assert all(each.verdict == "ok" for each in check_datasets(cache, fix=True))
    assert [each.verdict for each in check_datasets(cache, fix=False)] == ["ok", "to fix"]
    assert [each.verdict for each in check_datasets(cache, fix=True)] == ["ok", "fixed"]
    assert {path.name for path in cache.glob("building-*")} == {"building-new"}
    os.utime(cache / "building-new", (TOO_LONG_AGO, TOO_LONG_AGO))
    assert all(each.verdict == "ok" for each in check_datasets(cache, fix=True)), "its pixels are still written"


def test_unreadable_weights_are_shown_and_absent_ones_only_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv(weights.WEIGHTS_DIR_VARIABLE, str(tmp_path))
    monkeypatch.setattr(weights, "_in_hub_cache", lambda name: None)
    [finding] = check_weights()
    assert finding.verdict == "ok"
    assert "those of 2 models are here" in finding.text
    assert "3 are not here, which `fetch` gets: vit_b16_in21k, bit_r50x1_in21k, vit_b16_in21k_ft_in1k" in finding.text
    os.mkfifo(tmp_path / "vit_nano.safetensors")
    [look, well] = check_weights()
    assert (look.verdict, well.verdict) == ("look", "ok")
    assert "vit_nano.safetensors is not a regular file" in look.text


def test_a_study_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half_written.py").write_text("SPACE = (")
    monkeypatch.setattr(search_spaces, "__path__", [*search_spaces.__path__, str(tmp_path)])
    [look] = [each for each in check_weights() if not each.is_well]
    assert "search_spaces/half_written.py cannot be read" in look.text


def test_what_is_installed_is_what_is_needed() -> None:
    [finding] = check_versions()
    assert finding.verdict == "ok"
    assert f"torch {torch.__version__.split('+')[0]}" in finding.text


@pytest.mark.parametrize(
    ("needed", "told"),
    [("torch>=999", "torch>=999"), ("no_such_package>=1", "no_such_package>=1"), ("torch>=999; extra == 'dev'", "")],
)
def test_what_is_too_old_or_absent_is_told(needed: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "requires", lambda name: [needed])
    texts = [each.text for each in check_versions() if each.verdict == "look"]
    assert [told in text for text in texts] == ([True] if told else [])


def test_another_python_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.platform, "python_version", lambda: "3.9.1")
    assert "Python 3.9.1 is installed, >=3.11 is needed" in next(check_versions()).text


def test_devices_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert [each.text for each in check_devices()][-1] == "devices: no GPU, so trials train on CPUs"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (70_000_000_000, 80_000_000_000))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "H100")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    told = [each.text for each in check_devices()]
    assert f"{os.cpu_count()} CPUs" in told[0]
    assert told[1:] == ["devices: cuda:0 H100, 70.0 GB of 80.0 GB free, bf16"]


def test_little_space_is_told_with_the_option_that_names_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "SHARED_MEMORY", tmp_path)
    for size, verdicts in ((machine.LITTLE_DISK, ["ok"]), (machine.LITTLE_DISK - 1, ["look"]), (1e6, ["look", "look"])):
        monkeypatch.setattr(
            machine.shutil, "disk_usage", lambda path, size=size: SimpleNamespace(free=size, total=size)
        )
        findings = list(check_disks({"--store": tmp_path / "not" / "yet"}))
        assert [each.verdict for each in findings] == verdicts
    assert "name another with --store" in findings[0].text
    assert "--shm-size" in findings[1].text


def test_the_doctor_looks_at_everything(store: Store, cache: Path) -> None:
    folders = Folders(store=store.root, data=store.root.parent / "data", cache=cache)
    kinds = list(dict.fromkeys(each.text.split(":")[0] for each in diagnose(folders, fix=False)))
    assert kinds == ["versions", "devices", "disks", "images", "weights", "store"]
