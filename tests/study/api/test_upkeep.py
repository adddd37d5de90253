"""Upkeep of a store."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from study import api
from study.ledger.ledger import Ledger


def test_what_is_found_to_prune_stays_until_it_is_removed(tmp_path: Path, new_ledger: Callable[[Path], Ledger]) -> None:
    ledger = new_ledger(tmp_path / "mlruns")
    ledger.runs.delete(ledger.launches.open("example", {}))
    found = api.find_prunable(ledger)
    assert api.find_prunable(ledger, ["another"]) == []
    assert list(api.summarize_prunable(found))[-1].endswith("total")
    assert [each.kind for each in api.find_prunable(ledger)] == ["run deleted in MLflow"]
    api.remove(ledger, found)
    assert api.find_prunable(ledger) == []


@pytest.mark.usefixtures("no_pip")
def test_the_doctor_checks_each_thing(tmp_path: Path, cache_dir: Path) -> None:
    folders = api.make_folders(tmp_path / "mlruns", tmp_path, cache_dir=cache_dir)
    texts = [result.text for result in api.diagnose(folders)]
    assert any("no store yet" in text for text in texts)
    assert not folders.has_store


def test_the_ui_is_mlflows(tmp_path: Path) -> None:
    command = api.ui_command(api.make_folders(tmp_path), "127.0.0.1", 5001)
    assert command[:4] == [sys.executable, "-m", "mlflow", "ui"]
    assert command[command.index("--port") + 1] == "5001"


def test_an_error_is_transient_only_of_a_ledger_that_was_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not api.is_transient(ValueError())
    assert api.is_transient(OSError(28, "No space left on device"))
    monkeypatch.delitem(sys.modules, "study.ledger.ledger")
    assert not api.is_transient(OSError(28, "No space left on device"))
