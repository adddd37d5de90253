"""The command that compares two versions of a study."""

import sys
from pathlib import Path

import pytest

import search_spaces
from benchmarks.report import write_study
from study.cli.main import main
from study.plan import Folders

MODULE = """
from revit.config import FineTuneConfig
from search_spaces.framework import SearchSpace

SPACE = SearchSpace(
    name="compared",
    question="Does the schedule matter?",
    base=FineTuneConfig(dataset="digits", resolution=8, steps=5),
    scientific={"schedule.name": ("cosine", "constant")},
    seeds=(0,),
)
"""


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Return the exit code and the output of `compare compared.py` with these words."""
    monkeypatch.setattr(sys, "argv", ["run_study.py", "compare", *words])
    code: object = 0
    try:
        main()
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    return int(str(code or 0)), captured.out + captured.err


def test_each_version_is_named_by_what_differs(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("compared.py").write_text(MODULE)
    folders = Folders(store=tmp_path / "mlruns", data=tmp_path, cache=cache_dir)
    space = search_spaces.load("compared.py")
    write_study(space, space.seeds, folders)
    where = ("compared.py", "--store", str(folders.store), "--cache-dir", str(cache_dir))
    code, output = call(monkeypatch, capsys, *where, "--before", "2000-01-01", "--other-set", "batch_size=64")
    assert code == 0, output
    assert "set batch_size=64, before 2000-01-01" in output
    assert "its own settings" in output
    assert "/reports/compared/compared-with-set-batch_size-64-before-2000-01-01.html" in output
    assert "run_study.py report compared.py" in output
    for words, message in (
        ((), "compare: name the other version by --before, or an option that begins with --other"),
        (("--before", "soon"), "--before = soon: must be a date"),
        (("--other", "quickstart"), "study quickstart has the axes optimizer, schedule.name, study compared"),
        (("--other-scale", "nano"), "it has neither scales nor recipes"),
        (("--other", "all"), "compare: all is several studies: name one"),
    ):
        code, output = call(monkeypatch, capsys, *where, *words)
        assert (code, message in output) == (2, True), output
