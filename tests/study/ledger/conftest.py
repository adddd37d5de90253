"""Stores of these tests."""

import sqlite3
from pathlib import Path

import pytest

from study.ledger.ledger import Ledger


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store just created; creating one costs seconds."""
    root = tmp_path_factory.mktemp("store")
    Ledger(root)
    return root


@pytest.fixture
def ledger(empty_store: Path, tmp_path: Path) -> Ledger:
    with sqlite3.connect(empty_store / "mlflow.db") as source, sqlite3.connect(tmp_path / "mlflow.db") as copy:
        source.backup(copy)
    return Ledger(tmp_path)
