"""What the README says is so."""

import re
import sys
from pathlib import Path

import pytest

import search_spaces
from revit.datasets.registry import caveats
from search_spaces.space import SearchSpace
from study.cli.main import COMMANDS

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_its_search_space_becomes_a_study_by_being_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [module] = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(module.splitlines()) <= 20
    (tmp_path / "pretraining_saves.py").write_text(module)
    monkeypatch.setattr(search_spaces, "__path__", [*search_spaces.__path__, str(tmp_path)])
    try:
        space = search_spaces.load("pretraining_saves")
    finally:
        sys.modules.pop("search_spaces.pretraining_saves", None)
    assert isinstance(space, SearchSpace)
    assert len(space.candidates(space.seeds)) == 18
    assert "pretraining_saves" in search_spaces.names()


def test_the_files_it_points_to_are_there() -> None:
    for target in re.findall(r"\]\(([\w/.]+)\)", README):
        assert (Path(__file__).parent.parent / target).exists(), target


def test_the_table_it_shows_is_the_quickstarts() -> None:
    """Each cell of the quickstart has its row, with as many seeds as the study has."""
    space = search_spaces.load("quickstart")
    for candidate in space.candidates(space.seeds[:1]):
        cell = r" *│ ".join(re.escape(str(value)) for value in candidate.cell.values())
        assert re.search(rf"│ {cell} +│ \d\d\.\d\d │ .* │ +{len(space.seeds)} │", README), candidate.cell


def test_it_shows_what_is_not_settled_about_the_digits() -> None:
    assert caveats(["digits"])[0] in README


def test_the_commands_it_names_exist() -> None:
    assert set(re.findall(r"run_study\.py (\w+)", README)) <= COMMANDS.keys()
