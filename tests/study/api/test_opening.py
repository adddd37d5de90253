"""Names become studies, folders, a ledger."""

from pathlib import Path

import pytest

import search_spaces
from revit.errors import InputError
from study import api


def test_a_store_is_only_created_on_request(tmp_path: Path, cache_dir: Path) -> None:
    folders = api.make_folders(tmp_path / "mlruns", tmp_path, cache_dir=cache_dir)
    with pytest.raises(InputError, match="there is no store at"):
        api.open_ledger(folders)
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.parametrize("address", ["http://127.0.0.1:5000/", "https://results.example"])
def test_a_server_keeps_the_results_in_place_of_the_folder(address: str, tmp_path: Path) -> None:
    folders = api.make_folders(address, tmp_path, cache_dir=tmp_path)
    assert folders.server == address.rstrip("/")
    assert folders.store.name == api.DEFAULT_STORE


def test_an_address_with_a_password_is_refused() -> None:
    with pytest.raises(InputError, match="MLFLOW_TRACKING_PASSWORD"):
        api.make_folders("http://user:password@example.org")


def test_all_are_the_studies_that_start_from_a_recipe() -> None:
    names = [space.name for space in api.load_studies(api.ALL, scale="nano")]
    assert "resolution" in names
    assert "quickstart" not in names


def test_a_study_is_a_name_a_path_or_a_space(tmp_path: Path) -> None:
    space = search_spaces.load("quickstart")
    text = Path(search_spaces.__path__[0], "quickstart.py").read_text()
    file = tmp_path / "of_mine.py"
    file.write_text(text.replace('name="quickstart"', 'name="of_mine"'))
    assert api.load_study("quickstart") == api.load_study(space) == space
    assert api.load_study(file).scientific == api.load_study(str(file)).scientific == space.scientific
    assert api.load_study("resolution", scale="nano").scale == "nano"


def test_the_search_of_a_study_can_be_chosen() -> None:
    space = api.load_study("resolution", recipe="vit_2021", sampler="random", num_trials=2, time_budget_s=9.0)
    assert (space.sampler, space.search.num_trials, space.search.time_budget_s) == ("random", 2, 9.0)
    assert api.load_study("resolution", sampler=None, num_trials=None) == search_spaces.load("resolution")
    with pytest.raises(InputError, match="num_trials = 2: resolution must have nuisance axes"):
        api.load_study("resolution", num_trials=2)


def test_a_storage_that_cannot_be_used_is_one_line_before_there_is_a_store(tmp_path: Path) -> None:
    folders = api.make_folders(tmp_path / "mlruns", storage="/proc/shared")
    with pytest.raises(InputError, match=r"^--storage = /proc/shared: /proc/shared cannot be written"):
        api.open_ledger(folders, create=True)
    assert not (tmp_path / "mlruns").exists()


def test_a_storage_has_a_folder_for_each_store_but_the_stores_own_has_none(tmp_path: Path) -> None:
    for name in ("one", "two"):
        folders = api.make_folders(tmp_path / name, storage=tmp_path / "shared")
        ledger = api.open_ledger(folders, create=True)
        assert ledger.storage.folder == tmp_path / "shared" / ledger.runs.key
        assert api.open_ledger(api.make_folders(tmp_path / name)).storage.folder == tmp_path / name
        same = api.make_folders(tmp_path / name, storage=f"{tmp_path}/{name}/")
        assert api.open_ledger(same, create=True).storage.folder == tmp_path / name
