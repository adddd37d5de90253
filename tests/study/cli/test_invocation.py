"""Printed commands can be copied; they mean the same as what was typed."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from study.cli.invocation import next_command, this_command

ROOT = Path(__file__).parent.parent.parent.parent
TYPED = [
    "run quickstart --store=/x --seeds=3",
    "run --seeds 3 quickstart --store /x",
    "run quickstart --gpus-per-trial .5 --compile --data-dir=a\\ b",
    "run quickstart --only=one --only two",
    "run quickstart --store=--compile",
]


def parsed(typed: str) -> tuple[dict[str, Any], list[str]]:
    """Return the values that a small program parses from a line, with the commands that it prints."""
    app, got = typer.Typer(), {}
    printed: list[str] = []

    @app.command()
    def run(
        context: typer.Context,
        study: str,
        store: Annotated[str, typer.Option(envvar="REVIT_STORE")] = "mlruns",
        data_dir: Path = Path("data"),
        seeds: int | None = None,
        gpus_per_trial: float | None = None,
        compiled: Annotated[bool, typer.Option("--compile")] = False,
        only: list[str] | None = None,
    ) -> None:
        got.update({name: value for name, value in locals().items() if name in context.params})
        printed.extend([this_command(context), next_command(context, "ui"), next_command(context, "plan", study="b")])
        printed.append(next_command(context, "plan", data_dir=None))

    @app.command()
    def ui(store: str = "mlruns", port: int = 1) -> None: ...

    @app.command()
    def plan(study: str, seeds: int = 1, data_dir: Path = Path("data")) -> None: ...

    app(shlex.split(typed), standalone_mode=False)
    return got, printed


def words(line: str) -> list[str]:
    return shlex.split(line)[2:]


@pytest.fixture(autouse=True)
def called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["run_study.py"])
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, "run_study.py"])
    monkeypatch.delenv("REVIT_STORE", raising=False)


@pytest.mark.parametrize("typed", TYPED)
def test_a_printed_command_equals_the_typed_one(typed: str) -> None:
    expected, [repeated, *_] = parsed(typed)
    assert parsed(shlex.join(words(repeated)))[0] == expected


def test_another_command_keeps_the_options_that_it_has() -> None:
    _, [_, ui, plan, without] = parsed("run a --store=/x --seeds=3 --data-dir=d --compile")
    assert words(ui) == ["ui", "--store", "/x"]
    assert words(plan) == ["plan", "b", "--seeds", "3", "--data-dir", "d"]
    assert words(without) == ["plan", "a", "--seeds", "3"]


def test_values_from_the_environment_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVIT_STORE", "/y")
    expected, [repeated, ui, *_] = parsed("run a")
    assert expected["store"] == "/y"
    assert (words(repeated), words(ui)) == (["run", "a"], ["ui"])


@pytest.mark.parametrize("called_as", ["run_study.py", "ABSOLUTE", "SCRIPT", "SCRIPT ON PATH"])
def test_a_printed_command_names_the_program_as_it_was_called(
    called_as: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "bin" / "revit-study"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\nimport run_study\nrun_study.main()")
    script.chmod(0o755)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    if called_as == "SCRIPT ON PATH":
        monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")
    file = {"ABSOLUTE": str(ROOT / "run_study.py"), "SCRIPT": str(script), "SCRIPT ON PATH": str(script)}
    monkeypatch.chdir(ROOT if called_as == "run_study.py" else tmp_path)
    monkeypatch.setattr(sys, "argv", [file.get(called_as, called_as)])
    _, [repeated, *_] = parsed("run a")
    program = repeated.removesuffix(" run a")
    done = subprocess.run(f"{program} list", shell=True, capture_output=True, text=True, check=True)
    assert re.search(r"quickstart +12 ", done.stdout)
    assert (program == "revit-study") == (called_as == "SCRIPT ON PATH")
    assert shutil.which(shlex.split(program)[0])
