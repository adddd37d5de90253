"""study.ledger.other_store: read, never changed."""

import sqlite3
from pathlib import Path

import pytest

from revit.errors import InputError
from study.ledger.ledger import Ledger
from study.ledger.other_store import open_other_store
from study.ledger.states import TrialState
from tests.study.ledger.merged_stores import NOW, content, write_trial


def test_a_store_is_read_as_it_was_and_no_byte_of_it_changes(ledger: Ledger) -> None:
    write_trial(ledger, "a")
    ledger.runs.delete(write_trial(ledger, "gone"))
    deleted = ledger.launches.open("example", {})
    ledger.runs.delete(deleted)
    before = content(ledger.root)
    with open_other_store(ledger.root, "") as other:
        assert content(ledger.root) == before
        write_trial(ledger, "later")
        assert other.trials.keys() == {"a"}
        trial = other.trials["a"]
        assert trial == ledger.trials()["a"]
        assert other.run_of(trial).info.run_name == "trial a"
        assert other.first_result_ms(trial) == NOW + 1
        assert [run.info.run_id for run in other.launches][-1] == deleted
        assert other.artifacts.path(trial.run_id, "config.json").read_text() == "a"


def test_a_trial_with_two_runs_is_the_one_that_got_further(ledger: Ledger) -> None:
    run_id = write_trial(ledger, "a")
    late = ledger.runs.client.create_run(ledger.runs.experiment_id, tags={"identity": "a", "kind": "trial"})
    ledger.runs.close(late.info.run_id, TrialState.INTERRUPTED)
    with open_other_store(ledger.root, "") as other:
        assert other.trials["a"].run_id == run_id


def test_what_is_not_a_store_is_one_line(ledger: Ledger, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("no store")
    for database, words in ((b"", "no experiment|out-of-date|no such table"), (b"no database" * 100, "not a database")):
        (folder / "mlflow.db").write_bytes(database)
        with pytest.raises(InputError, match=words) as error, open_other_store(folder, ""):
            pass
        assert str(folder) in str(error.value)
        assert "\n" not in str(error.value)


def test_a_store_without_our_experiment_is_one_line_and_gets_none(tmp_path: Path, empty_store: Path) -> None:
    with sqlite3.connect(empty_store / "mlflow.db") as source, sqlite3.connect(tmp_path / "mlflow.db") as copy:
        source.backup(copy)
        copy.execute("UPDATE experiments SET name = 'another' WHERE name != 'Default'")
    with (
        pytest.raises(InputError, match="has no experiment vit-fine-tuning: no study was run there"),
        open_other_store(tmp_path, ""),
    ):
        pass


def test_a_database_of_another_version_of_mlflow_is_one_line(ledger: Ledger) -> None:
    with sqlite3.connect(ledger.root / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'cfd24bdc0731'")
    with pytest.raises(InputError, match="out-of-date database schema") as error, open_other_store(ledger.root, ""):
        pass
    assert "\n" not in str(error.value)
