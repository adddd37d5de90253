"""Every command line of README, CONTRIBUTING and docs/ works as typed, or says that it needs a GPU or the network.

The suite runs them without training, `-m long` with it.
"""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from typer.main import get_command

from study.cli.console import EXIT_FINISHED, EXIT_INCOMPLETE, EXIT_SOME_FAILED, EXIT_WRONG_INPUT
from study.cli.main import app
from study.execution.recorder import RunResult
from tests.command_line import ROOT, call_here

PAGES = ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
PROGRAM = "python run_study.py "
MARKS = re.compile(r"# (GPU|network): |--address |--store http")
"""A line with one of these needs more than this machine; it is parsed, not run."""
ELSEWHERE = {
    r"make (study|test|check)": "a person, and the CI",
    r"source \.venv/bin/activate": "tests/test_readme.py",
    r"(ray start|srun ray symmetric-run) .*": "tests/study/execution/test_cluster_runs.py",
    r"(#!/bin/bash|#SBATCH .*|head=\$.*)": "SLURM",
    r"pip install psycopg2-binary|MLFLOW_\w+=false python -m mlflow server .*": "tests/study/servers.py",
}
"""Other command lines, with what runs them."""
WITHOUT_TRAINING = {
    "run": EXIT_SOME_FAILED,
    "doctor": EXIT_SOME_FAILED,
    "export": EXIT_WRONG_INPUT,
    "status": EXIT_INCOMPLETE,
    "watch": EXIT_INCOMPLETE,
}
"""Exit codes of commands where no trial is trained, beside that of success."""


def typed(page: str) -> Iterator[str]:
    """Yield the command lines in the blocks of a page, with their comments."""
    for language, block in re.findall(
        r"^```(\w*)\n(.*?)^```$", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL
    ):
        lines = block.replace("\\\n", " ").splitlines()
        if not language and re.match(r"python |make |ray |pip |#!|MLFLOW_\w+=", lines[0]):
            yield from lines


def words(line: str) -> list[str]:
    """Return the arguments of the program."""
    return shlex.split(line.removeprefix(PROGRAM), comments=True)


def to_run(page: str) -> list[list[str]]:
    return [words(line) for line in typed(page) if line.startswith(PROGRAM) and not MARKS.search(line)]


@pytest.mark.parametrize("page", PAGES)
def test_a_line_can_be_copied_whole_and_is_run_somewhere(page: str) -> None:
    for line in typed(page):
        if line.startswith(PROGRAM):
            name, *arguments = words(line)
            get_command(app).commands[name].make_context(name, arguments)
        else:
            assert any(re.fullmatch(pattern, line.partition("  # ")[0].strip()) for pattern in ELSEWHERE), line


@pytest.mark.parametrize("page", PAGES)
def test_a_command_in_a_sentence_exists(page: str) -> None:
    text = (ROOT / page).read_text()
    for name in re.findall(r"`python -m ([\w.]+)", text):
        assert importlib.util.find_spec(name), name
    for name in re.findall(r"`make (\w+)`", text):
        assert f"\n{name}: " in (ROOT / "Makefile").read_text(), name
    for line in re.findall(r"`(?:python )?run_study\.py ([^`]+)`", text):
        assert words(line)[0] in get_command(app).commands, line


@pytest.fixture
def studies_of_the_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The modules that pages show, saved as they say, in the current folder."""
    for page in ("README.md", "docs/new_study.md"):
        [module] = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)
        [name] = re.findall(r'name="(\w+)"', module)
        (tmp_path / f"{name}.py").write_text(module)
    monkeypatch.chdir(tmp_path)
    for variable in ("REVIT_STORE", "REVIT_STORAGE", "REVIT_DATA_DIR", "REVIT_WEIGHTS_DIR"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("page", [page for page in PAGES if to_run(page)])
def test_commands_of_a_page_work(
    page: str, studies_of_the_pages: None, no_pip: None, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without training, so that `run` says that trials are missing."""
    nothing = RunResult(states={}, messages={}, interrupted=False, stop_reason="")
    monkeypatch.setattr("study.execution.runner.run_plans", lambda *_, **__: nothing)
    monkeypatch.setattr("study.execution.rehearsal.rehearse", lambda *_, **__: [])
    end_services(monkeypatch)
    for command in to_run(page):
        if "all" in command:
            continue  # decoding all images takes seconds
        done = call_here(*command, REVIT_CACHE_DIR=str(cache_dir))
        assert done.returncode in {EXIT_FINISHED, WITHOUT_TRAINING.get(command[0])}, (command, done.stdout, done.stderr)


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("page", [page for page in PAGES if to_run(page)])
def test_commands_of_a_page_do_what_they_say(
    page: str, studies_of_the_pages: None, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_services(monkeypatch)
    env = os.environ | {"REVIT_CACHE_DIR": str(cache_dir)}
    for command in to_run(page):
        if command[0] == "run":
            line = [sys.executable, str(ROOT / "run_study.py"), *command]
            done = subprocess.run(line, env=env, capture_output=True, text=True, check=False)
        else:
            done = call_here(*command, REVIT_CACHE_DIR=str(cache_dir))
        assert done.returncode == EXIT_FINISHED or command[0] == "doctor", (command, done.stdout, done.stderr)


def end_services(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands that serve pages until Ctrl-C end as soon as they would listen."""
    monkeypatch.setattr("study.cli.stores.os.execve", mock.Mock(side_effect=SystemExit(0)))
    monkeypatch.setattr("study.api.serve_dashboard", mock.Mock(side_effect=KeyboardInterrupt))
