"""study.api.merging: which stores can be merged."""

from pathlib import Path

import pytest

from revit.errors import InputError
from study import api
from study.ledger.ledger import Ledger
from tests.study.ledger.merged_stores import write_trial


def test_a_store_is_not_merged_into_itself_by_any_path(tmp_path: Path) -> None:
    store = tmp_path / "mlruns"
    Ledger(store)
    (tmp_path / "link").symlink_to(store)
    for other in (store, tmp_path / "link", f"{tmp_path}/./mlruns"):
        with pytest.raises(InputError, match="is the store itself: name another one"):
            api.open_other_store(api.make_folders(other), api.make_folders(store))
    address = "http://127.0.0.1:1"
    with pytest.raises(InputError, match=f"{address} is the store itself"):
        api.open_other_store(api.make_folders(f"{address}/"), api.make_folders(address))


def test_a_store_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"there is no store at {tmp_path / 'none'}: name the folder that has"):
        api.open_other_store(api.make_folders(tmp_path / "none"), api.make_folders(tmp_path))


def test_a_store_is_merged_by_functions(tmp_path: Path) -> None:
    write_trial(Ledger(tmp_path / "other"), "a")
    other, folders = api.make_folders(tmp_path / "other"), api.make_folders(tmp_path / "mlruns")
    with api.open_other_store(other, folders) as opened:
        found = api.find_mergeable(opened, None)
        ledger = api.open_ledger(folders, create=True)
        assert list(api.take_mergeable(found, opened, ledger, log=print)) == [True]
    assert next(iter(api.summarize_mergeable(found))) == "      1  to take (3 bytes): 1 of no study"
    assert ledger.trials().keys() == {"a"}
