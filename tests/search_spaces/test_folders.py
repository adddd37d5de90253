"""Folders of papers: their studies are found by name, and run together by the folder's name."""

import sys
from pathlib import Path

import pytest

import search_spaces
from revit.errors import InputError
from study import api

STUDY = """
from revit.config import FineTuneConfig
from search_spaces.framework import SearchSpace

SPACE = SearchSpace(
    name="{name}", question="?", paper="on_nothing", table="1", base=FineTuneConfig(dataset="digits", steps=1),
    scientific={{"hflip": (True, False)}},
)
"""
FACTS = "# title: On Nothing\n# authors: A and B\n# url: https://example.org\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a paper with two studies, in a package that has nothing else."""
    package = tmp_path / "search_spaces"
    folder = package / "on_nothing"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "on_nothing.csv").write_text(f"{FACTS}table,hflip,value\n1,True,50\n")
    for name in ("one", "two"):
        (folder / f"{name}.py").write_text(STUDY.format(name=name))
    monkeypatch.setattr(search_spaces, "PACKAGE", package)
    monkeypatch.setattr(search_spaces, "__path__", [str(package)])
    monkeypatch.setattr("search_spaces.framework.published.STUDIES", package)
    yield folder
    for name in [name for name in sys.modules if name.startswith("search_spaces.on_nothing")]:
        del sys.modules[name]


def test_studies_in_a_folder_are_loaded_by_their_names_and_files(folder: Path) -> None:
    assert search_spaces.names() == ["one", "two"]
    assert search_spaces.names_in() == []
    space = search_spaces.load("one")
    assert space.name == "one"
    assert search_spaces.load(str(folder / "one.py")) is space
    assert [row.value for row in space.published(space.candidates((0,))[0])] == [50], "its paper is known by name"


def test_the_name_of_a_folder_means_its_studies(folder: Path) -> None:
    assert [space.name for space in api.load_studies("on_nothing")] == ["one", "two"]
    assert [space.name for space in api.load_studies("two")] == ["two"]
    assert api.load_studies(api.ALL) == []


def test_a_broken_study_in_a_folder_is_named_by_its_path(folder: Path) -> None:
    (folder / "two.py").write_text("SPACE = 3")
    with pytest.raises(InputError, match=r"^search_spaces/on_nothing/two\.py defines no SPACE"):
        search_spaces.load("two")


def test_names_of_studies_and_folders_differ() -> None:
    names = [*search_spaces.names(), *search_spaces.folders(), api.ALL]
    assert len({*names}) == len(names)
