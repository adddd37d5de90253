"""Digest of the source code."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import revit
from revit.source import SOURCE

IMPORT = "from revit.source import SOURCE; print(SOURCE)"
IMPORT_ALL = "from revit.source import SOURCE, import_all; print(SOURCE, import_all())"


@pytest.fixture
def digests(tmp_path: Path) -> Callable[[str], list[str]]:
    """Give the digests of a copy of the package that code in a new process prints."""
    shutil.copytree(Path(revit.__file__).parent, tmp_path / "revit", ignore=shutil.ignore_patterns("__pycache__"))

    def run(code: str) -> list[str]:
        return subprocess.check_output([sys.executable, "-c", code], cwd=tmp_path, text=True, env={}).split()

    return run


@pytest.mark.slow
def test_the_digest_changes_with_the_source_and_with_nothing_else(
    digests: Callable[[str], list[str]], tmp_path: Path
) -> None:
    (tmp_path / "revit" / "notes.txt").write_text("not source")
    (tmp_path / "revit" / ".hidden.py").write_text("not imported")
    assert digests(IMPORT) == [SOURCE]
    with (tmp_path / "revit" / "errors.py").open("a") as file:
        file.write("\n# changed\n")
    changed, imported = digests(IMPORT_ALL)
    assert changed == imported != SOURCE
