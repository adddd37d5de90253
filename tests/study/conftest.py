"""What tests of many trials share: stores that cost little to make."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from study.ledger import Ledger, tracking_uri


@pytest.fixture(scope="session")
def new_ledger(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Ledger]:
    """Makes the ledger of a new store in a folder, from tables made once: making them takes seconds."""
    tables = tmp_path_factory.mktemp("tables")
    MlflowClient(tracking_uri(tables)).search_experiments()

    def make(root: Path) -> Ledger:
        root.mkdir(parents=True)
        shutil.copy(tables / "mlflow.db", root)
        return Ledger(root)

    return make
