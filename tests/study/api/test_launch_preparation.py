"""Preparation of a launch."""

import threading
from pathlib import Path
from typing import Any

import pytest

import search_spaces
from revit.errors import InputError
from study import api
from study.api import launch_preparation
from study.execution import cluster
from study.execution.resources import ResourceRequest

SPACES = [search_spaces.load("quickstart")]


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the starts of Ray, which do nothing."""
    starts: list[str] = []
    monkeypatch.setattr(cluster, "start_ray", lambda **_: starts.append("ray"))
    return starts


def folders_of(tmp_path: Path, cache_dir: Path) -> Any:
    return api.make_folders(tmp_path / "mlruns", tmp_path, cache_dir=cache_dir)


def test_a_new_store_is_created_while_ray_starts(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits for the other here: one after the other, they would never end."""
    meeting = threading.Barrier(2, timeout=60)
    opened = launch_preparation.open_ledger

    def open_ledger(folders: Any, *, create: bool) -> Any:
        meeting.wait()
        return opened(folders, create=create)

    monkeypatch.setattr(launch_preparation, "open_ledger", open_ledger)
    monkeypatch.setattr(cluster, "start_ray", lambda **_: meeting.wait())
    plans, ledger, records = api.prepare_run(SPACES, folders_of(tmp_path, cache_dir), ResourceRequest())
    assert [len(plan.to_run) for plan in plans] == [12]
    assert records == ledger.trials() == {}


def test_ray_does_not_start_early_where_there_may_be_nothing_to_run(
    tmp_path: Path, cache_dir: Path, starts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor where a cluster is to be joined, or may be."""
    folders = folders_of(tmp_path, cache_dir)
    api.prepare_run(SPACES, folders, ResourceRequest(address="HOST:1"))
    api.prepare_run(SPACES, folders, ResourceRequest())
    monkeypatch.setenv("RAY_ADDRESS", "HOST:1")
    api.prepare_run(SPACES, folders_of(tmp_path / "new", cache_dir), ResourceRequest())
    assert starts == []


def test_ray_does_not_start_where_a_store_cannot_be_written_or_a_study_cannot_run(
    tmp_path: Path, cache_dir: Path, starts: list[str]
) -> None:
    (tmp_path / "mlruns").write_text("a file")
    with pytest.raises(InputError, match=r"mlruns cannot be written: File exists"):
        api.prepare_run(SPACES, folders_of(tmp_path, cache_dir), ResourceRequest())
    with pytest.raises(InputError, match="dataset cifar100 not found"):
        api.prepare_run([search_spaces.load("resolution")], folders_of(tmp_path / "new", cache_dir), ResourceRequest())
    assert starts == []
