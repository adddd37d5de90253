"""study.ledger.database."""

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import event

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


def test_a_trial_is_found_without_a_look_at_the_tags_of_others(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    statements: list[tuple[str, Any]] = []
    engine = ledger.runs.client._tracking_client.store.engine
    event.listen(engine, "before_cursor_execute", lambda *call: statements.append((call[2], call[3])))
    ledger.find("a")
    searches = [each for each in statements if "tags.value =" in each[0]]
    assert searches
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        for search, values in searches:
            steps = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {search}", values)]
            assert "SEARCH tags USING INDEX tags_by_value (key=? AND value=?)" in steps


def test_the_ui_is_served_on_the_database_of_the_store(tmp_path: Path) -> None:
    command = ui_command(tmp_path, "127.0.0.1", 5001)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert tracking_uri(tmp_path) in command
    assert Path(tracking_uri(tmp_path).removeprefix("sqlite:///")).is_absolute()
