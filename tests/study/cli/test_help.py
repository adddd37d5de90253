"""Help fits a terminal, its examples can be typed, and the shell completes what can be named."""

import shlex
import sys
from importlib.metadata import version

import pytest
from typer.main import get_command

import search_spaces
from revit.identity import TRAINING_VERSION
from search_spaces.framework.recipes import RECIPES
from study.cli.main import COMMANDS, EXAMPLES, app, main


def shown(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(sys, "argv", ["revit-study", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    return capsys.readouterr().out


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=lambda command: " ".join(command))
def test_help_is_whole_at_80_columns(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = shown([*command, "--help"], monkeypatch, capsys)
    assert max(map(len, text.splitlines())) <= 80
    whole = (": 0, 1, ...", "http://...", "COMMAND [ARGS]...", "[[STUDY]...]...")
    assert [line for line in text.splitlines() if line.endswith("...") and not line.endswith(whole)] == []
    assert shown([*command, "-h"], monkeypatch, capsys) == text
    assert ("\n  Examples:\n    python run_study.py " in text) == bool(command)


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_can_be_typed(command: str) -> None:
    for example in EXAMPLES[command]:
        python, program, name, *arguments = shlex.split(example)
        assert (python, program, name) == ("python", "run_study.py", command)
        parsed = get_command(app).commands[name].make_context(name, arguments)
        studies = parsed.params.get("studies") or [parsed.params.get("study", "all")]
        assert set(studies) <= {*search_spaces.names(), "all"}


def test_the_version_is_the_packages(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    told = f"revit-study {version('revit-study')}, training version {TRAINING_VERSION}\n"
    assert shown(["--version"], monkeypatch, capsys) == told


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


def test_axes_shows_every_axis_with_type_default_and_meaning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(["axes"], monkeypatch, capsys)
    assert "\noptimizer.name: one of sgd, adam, adamw [default: sgd]\n    a key of" in text
    assert text.startswith("dataset: text\n    a key of")
    assert "\nseed:" not in text
