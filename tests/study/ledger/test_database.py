"""study.ledger.database."""

import subprocess
import sys
from pathlib import Path

from study.ledger.database import create_database, tracking_uri, ui_command
from study.ledger.ledger import Ledger


def test_a_process_killed_while_it_creates_a_store_leaves_none(tmp_path: Path) -> None:
    dies_between_two_tables = """
import os, sys
from pathlib import Path
from alembic.ddl.sqlite import SQLiteImpl
from study.ledger.ledger import Ledger

create_table = SQLiteImpl.create_table

def create_table_and_die(self, table, **options):
    create_table(self, table, **options)
    os._exit(9)

SQLiteImpl.create_table = create_table_and_die
Ledger(Path(sys.argv[1]))
"""
    killed = subprocess.run([sys.executable, "-c", dies_between_two_tables, str(tmp_path)], check=False)
    assert killed.returncode == 9
    create_database(tmp_path / "mlflow.db")
    assert Ledger(tmp_path).trials() == {}
    assert {path.name for path in tmp_path.iterdir()} == {"mlflow.db", "open.lock"}


def test_the_ui_is_served_on_the_database_of_the_store(tmp_path: Path) -> None:
    command = ui_command(tmp_path, "127.0.0.1", 5001)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert tracking_uri(tmp_path) in command
    assert Path(tracking_uri(tmp_path).removeprefix("sqlite:///")).is_absolute()
