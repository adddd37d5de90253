"""SQLite database of a store folder."""

import shutil
import sys
from pathlib import Path

from mlflow.store.db.utils import _initialize_tables
from sqlalchemy import create_engine, text

from revit.errors import InputError
from study.layout import DATABASE

INDEX = 'CREATE INDEX IF NOT EXISTS tags_by_value ON tags ("key", value)'
"""MLflow has none for the search for a tag's value: it would read that tag of every run to find one trial."""


def tracking_uri(root: Path) -> str:
    """Return the MLflow tracking URI of a store folder.

    Raises:
        InputError: MLflow would look for it elsewhere.
    """
    if set("%?") & set(str(root.absolute())):
        raise InputError(f"the store {root} cannot be there: its path must not contain % or ?")
    return f"sqlite:///{root.absolute() / DATABASE}"


def create_database(path: Path) -> None:
    """Create a database with all its tables or not at all: MLflow cannot open one that a killed process left."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    if path.exists():
        return
    unfinished.mkdir()
    engine = create_engine(f"sqlite:///{unfinished / path.name}")
    _initialize_tables(engine)  # type: ignore[no-untyped-call]  # untyped in MLflow
    with engine.begin() as connection:
        connection.execute(text(INDEX))
    engine.dispose()
    (unfinished / path.name).rename(path)
    unfinished.rmdir()


def ui_command(root: Path, host: str, port: int) -> list[str]:
    """Return the command that serves MLflow's UI on a store folder."""
    address = ["--host", host, "--port", str(port)]
    quiet = ["--uvicorn-opts", "--log-level warning"]
    return [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", tracking_uri(root), *address, *quiet]
