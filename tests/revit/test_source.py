"""Digest of the source code."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import revit
from revit.source import SOURCE

CODE = "import sys; from revit.source import SOURCE, import_all; print(SOURCE, import_all())"


@pytest.fixture
def digests(tmp_path: Path) -> Callable[[], list[str]]:
    """Give the digests that a new process has of a copy of the package, at import and after importing all of it."""
    shutil.copytree(Path(revit.__file__).parent, tmp_path / "revit", ignore=shutil.ignore_patterns("__pycache__"))

    def run() -> list[str]:
        return subprocess.check_output([sys.executable, "-c", CODE], cwd=tmp_path, text=True, env={}).split()

    return run


@pytest.mark.slow
def test_the_digest_changes_with_the_source_and_with_nothing_else(
    digests: Callable[[], list[str]], tmp_path: Path
) -> None:
    (tmp_path / "revit" / "notes.txt").write_text("not source")
    (tmp_path / "revit" / ".hidden.py").write_text("not imported")
    assert digests() == [SOURCE, SOURCE]
    with (tmp_path / "revit" / "errors.py").open("a") as file:
        file.write("\n# changed\n")
    changed, imported = digests()
    assert changed == imported != SOURCE
