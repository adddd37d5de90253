"""Options of several commands: completion, help, values."""

import pytest

from search_spaces.framework.recipes import RECIPES
from study.cli.main import app


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("revit-study pr", ["prune"]),
        ("revit-study run qu", ["quickstart"]),
        ("revit-study plan al", ["all"]),
        ("revit-study run all --scale n", ["nano"]),
        ("revit-study run all --recipe ", list(RECIPES)),
    ],
)
def test_the_shell_completes_names(
    typed: str, completed: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_REVIT_STUDY_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split(" ")) - 1))
    with pytest.raises(SystemExit):
        app(prog_name="revit-study")
    assert capsys.readouterr().out.split() == completed
