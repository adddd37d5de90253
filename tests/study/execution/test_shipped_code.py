from dataclasses import replace
from pathlib import Path

import pytest

from revit.errors import InputError
from revit.source import source_digest
from study.execution.shipped_code import find_modules, functions_of, staged_code
from study.plan import Folders
from tests.study.made_plans import BASE, plan_of

ROOT = Path(__file__).parents[3]


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on `sys.path` with functions of a user, what they import beside them, and data."""
    folder = tmp_path / "user"
    files = {
        "shipped_study.py": "import shipped_helper\nfrom timm.layers import DropPath\ndef loss(): ...\n",
        "shipped_helper.py": "",
        "shipped_package/__init__.py": "",
        "shipped_package/parts/__init__.py": "",
        "shipped_package/parts/models.py": "def build(): ...\n",
        "not_imported.py": "",
        "data/images.py": "",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(folder)
    return folder


def test_the_code_of_workers_is_staged_without_anything_else() -> None:
    with staged_code([]) as folder:
        assert sorted(path.name for path in folder.iterdir()) == ["revit", "search_spaces", "study"]
        staged = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
        for package in ("revit", "search_spaces", "study"):
            files = {
                path.relative_to(ROOT)
                for path in (ROOT / package).rglob("*")
                if path.is_file() and "__pycache__" not in path.parts
            }
            assert files <= staged
        assert any(path.suffix == ".safetensors" for path in staged), "the shipped weights"
        assert sum((folder / path).stat().st_size for path in staged) < 10_000_000
    assert not folder.exists()


def test_the_modules_of_functions_are_staged_with_those_that_they_import_beside_them(user: Path) -> None:
    with staged_code(["shipped_study:loss", "shipped_package.parts.models:build"]) as folder:
        staged = {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}
    assert {name for name in staged if not name.startswith(("revit/", "search_spaces/", "study/"))} == {
        "shipped_study.py",
        "shipped_helper.py",
        "shipped_package/__init__.py",
        "shipped_package/parts/__init__.py",
        "shipped_package/parts/models.py",
    }


def test_functions_that_a_search_may_reach_are_shipped_too(user: Path, folders: Folders) -> None:
    plan = plan_of(
        folders,
        base=replace(BASE, loss="shipped_study:loss"),
        nuisance={"optimizer.name": ("sgd", "shipped_package.parts.models:build"), "optimizer.momentum": (0.1, 0.9)},
    )
    assert functions_of([plan]) == {"shipped_study:loss", "shipped_package.parts.models:build"}


def test_what_is_installed_is_not_shipped() -> None:
    assert find_modules(["timm.layers:DropPath", "json:loads"]) == set()


def test_a_function_that_cannot_be_imported_is_an_error() -> None:
    with pytest.raises(InputError, match="no_such_module:loss cannot be imported"):
        find_modules(["no_such_module:loss"])


def test_staged_code_has_the_digest_of_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    with staged_code([]) as folder:
        monkeypatch.setattr("revit.source.FOLDER", folder / "revit")
        staged = source_digest()
    monkeypatch.undo()
    assert staged == source_digest()
