"""Options that commands share are completed, then parsed."""

from dataclasses import fields

import pytest
import typer
from typer.main import get_command

from search_spaces.framework.recipes import RECIPES
from study.cli.main import app
from study.cli.options import StudyOptions, with_study_options


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("revit-study pru", ["prune"]),
        ("revit-study run qu", ["quickstart"]),
        ("revit-study plan al", ["all"]),
        ("revit-study list qu", ["quickstart"]),
        ("revit-study prune qu", ["quickstart"]),
        ("revit-study prune --models qu", ["quickstart"]),
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


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion_script(
    shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_REVIT_STUDY_COMPLETE", f"source_{shell}")
    with pytest.raises(SystemExit) as end:
        app(prog_name="revit-study")
    script = capsys.readouterr().out
    assert not end.value.code
    assert f"_REVIT_STUDY_COMPLETE=complete_{shell}" in script
    assert shell != "bash" or "complete -o default" in script, "bash completes files where no study has the name"


def test_a_command_gets_the_shared_options_beside_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STORE", "DATA_DIR", "WEIGHTS_DIR", "CACHE_DIR"):
        monkeypatch.delenv(f"REVIT_{name}", raising=False)
    program = typer.Typer()
    calls: list[tuple[StudyOptions, int]] = []

    @program.command()
    @with_study_options
    def train(context: typer.Context, options: StudyOptions, steps: int = 1) -> None:
        calls.append((options, steps))

    for line in ("digits", "digits --seeds 3 --store here --steps 2 --skip-broken"):
        program(line.split(), standalone_mode=False)
    store = {"study": "digits", "seeds": 3, "store": "here", "skip_broken": True}
    assert calls == [(StudyOptions(study="digits"), 1), (StudyOptions(**store), 2)]


@pytest.mark.parametrize("command", ["plan", "run", "report"])
def test_commands_that_read_results_have_the_same_options(command: str) -> None:
    parameters = {each.name for each in get_command(app).commands[command].params}
    assert {each.name for each in fields(StudyOptions)} <= parameters
