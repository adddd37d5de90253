"""Artifacts that a worker wrote, fetched by the driver."""

import threading
from pathlib import Path

import pytest

from study.execution import artifact_fetch
from study.execution.artifact_fetch import fetch_artifacts
from study.system.storage import Storage

REPORTED = {"work/i/artifacts-1/config.json": 2, "work/i/artifacts-1/predictions.parquet": 4}


@pytest.fixture
def remote(tmp_path: Path) -> Storage:
    """A storage that is not reached by a path, with the files of two attempts."""
    storage = Storage(f"fsspec+memory://{tmp_path}/remote")
    for attempt, text in ((1, "1234"), (2, "of another attempt")):
        for name, content in (("config.json", "{}"), ("predictions.parquet", text)):
            (tmp_path / "file").write_text(content)
            storage.upload(tmp_path / "file", f"work/i/artifacts-{attempt}/{name}")
    return storage


def test_files_of_the_attempt_that_reported_them_are_fetched(remote: Storage, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    assert fetch_artifacts(remote, REPORTED, folder) == []
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "config.json": "{}", "predictions.parquet": "1234",
    }  # fmt: skip


def test_files_that_are_missing_or_of_another_size_are_named(remote: Storage, tmp_path: Path) -> None:
    reported = {**REPORTED, "work/i/artifacts-1/built.json": 3, "work/i/artifacts-1/predictions.parquet": 5}
    assert fetch_artifacts(remote, reported, tmp_path / "here") == ["predictions.parquet", "built.json"]


def test_what_a_shared_folder_shows_late_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And for no longer: it would be longer than a test may take."""
    monkeypatch.setattr(artifact_fetch, "SHARED_FOLDER_LAG_S", 1e9)
    storage, folder = Storage(str(tmp_path)), tmp_path / "work" / "i" / "artifacts"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "predictions.parquet").write_text("12")
    timer = threading.Timer(0.5, lambda: (folder / "predictions.parquet").write_text("1234"))
    timer.start()
    assert fetch_artifacts(storage, REPORTED, folder) == []
    timer.join()


def test_what_a_shared_folder_never_shows_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact_fetch, "SHARED_FOLDER_LAG_S", 0.3)
    folder = tmp_path / "work" / "i" / "artifacts"
    assert fetch_artifacts(Storage(str(tmp_path)), REPORTED, folder) == ["config.json", "predictions.parquet"]
    assert fetch_artifacts(Storage(str(tmp_path)), {}, folder) == []
