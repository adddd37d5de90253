"""Labels that look like markup are printed unchanged."""

import sys
from pathlib import Path

import pytest

import search_spaces
from study.cli.console import out
from study.cli.main import main
from study.plan import Folders
from study.planning import make_plan
from study.report.terminal_tables import terminal_table

QUESTION = "Is [/b] or [red]this[/red] better than :smile:?"
AXIS, LABEL = "pace [/x]", "small [/a] :smile:"
MODULE = f"""
from revit.config import FineTuneConfig
from search_spaces.framework.space import SearchSpace
SPACE = SearchSpace(
    name="asks",
    question="{QUESTION}",
    base=FineTuneConfig(dataset="digits", steps=10),
    scientific={{"{AXIS}": {{"{LABEL}": {{"batch_size": 8}}, "large": {{"batch_size": 16}}}}}},
)
"""


@pytest.fixture
def study(tmp_path: Path) -> str:
    """Return the path of the study's file."""
    (tmp_path / "asks.py").write_text(MODULE)
    return str(tmp_path / "asks.py")


def test_markup_in_the_list_or_a_plan_is_printed_unchanged(
    study: str,
    tmp_path: Path,
    cache_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = ["--store", str(tmp_path / "mlruns"), "--cache-dir", str(cache_dir)]
    for arguments in (["list", study], ["plan", study, *store]):
        monkeypatch.setattr(sys, "argv", ["run_study.py", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        assert not stop.value.code
        assert QUESTION in capsys.readouterr().out


def test_markup_in_the_table_of_results_is_printed_unchanged(
    study: str, tmp_path: Path, cache_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = search_spaces.load(study)
    plan = make_plan(space, (0,), Folders(store=tmp_path, data=tmp_path, cache=cache_dir), {})
    out.print(terminal_table(plan))
    shown = capsys.readouterr().out
    assert AXIS in shown
    assert LABEL in shown


def test_markup_in_an_error_is_printed_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["run_study.py", "plan", "[/a] :smile:", "--store", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "error: [/a] :smile: is not a Python file" in capsys.readouterr().err
