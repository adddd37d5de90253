"""`doctor` runs every check."""

from collections.abc import Callable
from pathlib import Path

import pytest

from study.ledger.ledger import Ledger
from study.maintenance.doctor import diagnose
from study.plan import Folders


@pytest.mark.usefixtures("no_pip")
def test_the_doctor_runs_every_check(tmp_path: Path, cache_dir: Path, new_ledger: Callable[[Path], Ledger]) -> None:
    store = new_ledger(tmp_path / "mlruns").root
    folders = Folders(store=store, data=tmp_path / "data", cache=cache_dir)
    kinds = list(dict.fromkeys(each.text.split(":")[0] for each in diagnose(folders, fix=False)))
    assert kinds == ["versions", "devices", "disks", "images", "weights", "store"]


@pytest.mark.usefixtures("no_pip")
def test_the_results_of_a_server_are_checked_there(tmp_path: Path, cache_dir: Path) -> None:
    address = "http://127.0.0.1:9"
    folders = Folders(store=tmp_path / "mlruns", data=tmp_path / "data", cache=cache_dir, server=address)
    *_, store = diagnose(folders, fix=False)
    assert store.level == "error"
    assert store.text.startswith(f"store: {address} ")
