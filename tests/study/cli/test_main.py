"""Help is readable; wrong input is one line, exit code 2."""

import errno
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.main import get_command

import run_study
import search_spaces
from revit.identity import TRAINING_VERSION
from study.cli.main import COMMANDS, app, main
from tests.command_line import ROOT, call, call_here, where

MAX_ROWS = 40
"""Rows of a screen on which the help of a command fits."""


def output_of(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(sys, "argv", ["revit-study", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    return capsys.readouterr().out


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=lambda command: " ".join(command))
def test_help_fits_one_screen(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = output_of([*command, "--help"], monkeypatch, capsys)
    assert len(text.splitlines()) <= MAX_ROWS
    assert max(map(len, text.splitlines())) <= 80
    whole = ("s3://...", "http://...", "COMMAND [ARGS]...", "[[STUDY]...]...", "{FOLDER|FILE}...")
    assert [line for line in text.splitlines() if line.endswith("...") and not line.endswith(whole)] == []
    assert output_of([*command, "-h"], monkeypatch, capsys) == text
    assert ("\n  Examples:\n    python run_study.py " in text) == bool(command)


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_are_valid_commands(command: str) -> None:
    _, examples = COMMANDS[command]
    for example in examples:
        name, *arguments = shlex.split(example)
        assert name == command
        parsed = get_command(app).commands[name].make_context(name, arguments)
        studies = parsed.params.get("studies") or [parsed.params.get("study") or "all"]
        named = {each for each in studies if not search_spaces.is_file(each)}
        assert named <= {*search_spaces.names(), "all"}


def test_help_names_the_variables_of_all_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parameters = [each for command in get_command(app).commands.values() for each in command.params]
    variables = {each.envvar for each in parameters if each.envvar}
    assert len(variables) == 5
    assert variables <= set(output_of(["--help"], monkeypatch, capsys).replace(",", " ").replace(".", " ").split())


def test_version_is_that_of_the_package(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    expected = f"revit-study {version('revit-study')}, training version {TRAINING_VERSION}\n"
    assert output_of(["--version"], monkeypatch, capsys) == expected


FIRST_LINE = """
import os, sys

class Output:
    encoding = "utf-8"

    def write(self, text):
        if text.strip():
            loaded = {"matplotlib", "mlflow", "plotly", "ray", "sqlalchemy", "timm", "torch"} & set(sys.modules)
            os.write(1, f"{text} {sorted(loaded)}".encode())
            os._exit(0)

    def flush(self):
        pass

    def isatty(self):
        return False

sys.stdout = Output()
from study.cli.main import main
main()
"""


@pytest.mark.parametrize("command", ["run", "plan", "rehearse", "report", "status", "watch", "ui"])
def test_the_first_line_is_printed_before_any_library_of_seconds_is_imported(command: str, tmp_path: Path) -> None:
    """That is, within a second."""
    typed = [command, "quickstart", "--store", str(tmp_path)]
    done = subprocess.run([sys.executable, "-c", FIRST_LINE, *typed], capture_output=True, text=True, check=True)
    assert done.stdout == f"store: {tmp_path} (there is none yet)\n []"


WRONG = {
    "an unknown study": (["run", "quikstart", "--seeds", "2"], "try `PROGRAM run quickstart --seeds 2 --store STORE`"),
    "a study like no other": (["plan", "xyz"], "see `PROGRAM list`"),
    "an unknown study of prune": (["prune", "quikstart"], "try `PROGRAM prune quickstart --store STORE`"),
    "an unknown field": (["run", "quickstart", "--set", "lr=3"], "did you mean optimizer.lr?; see `PROGRAM axes`"),
    "a scale of a study without scales": (
        ["run", "quickstart", "--scale", "nano"],
        "leave them out: `PROGRAM run quickstart --store STORE`",
    ),
    "a missing dataset": (
        ["run", "resolution", "--data-dir", "/nowhere/at all"],
        "get it with `PROGRAM fetch resolution --data-dir '/nowhere/at all'`",
    ),
    "a missing dataset of a study with a nano scale": (
        ["run", "resolution", "--data-dir", "/nowhere"],
        "which are here, with `PROGRAM run resolution --scale nano --store STORE --data-dir /nowhere`",
    ),
    "an unknown option": (["run", "quickstart", "--sedes", "3"], "--sedes"),
    "no seeds": (["run", "quickstart", "--seeds", "0"], "--seeds"),
    "too many CPUs": (["run", "quickstart", "--cpus-per-trial", "9999"], "--cpus-per-trial = 9999 and"),
    "a GPU and a half": (["run", "quickstart", "--gpus-per-trial", "1.5"], "--gpus-per-trial = 1.5: must be"),
    "more GPUs than there are": (
        ["run", "quickstart", "--gpus-per-trial", "10000"],
        "--gpus-per-trial = 10000 fit neither one machine nor all together",
    ),
    "GPUs that are not a number": (["run", "quickstart", "--gpus-per-trial", "all"], "--gpus-per-trial = all: must be"),
    "an invalid cluster address": (["run", "quickstart", "--address", "somewhere"], "--address = somewhere: must be"),
    "a store that is a file": (["run", "quickstart", "--store", str(ROOT / "LICENSE")], "cannot be written"),
    "a cache that is a file": (["run", "quickstart", "--cache-dir", str(ROOT / "LICENSE")], "cannot be written"),
    "a store nested too deep": (["run", "quickstart", "--store", "NESTED"], "cannot be written: it is nested"),
    "a corrupt store": (["plan", "quickstart", "--store", "CORRUPT"], "is not a store that MLflow can open"),
    "a report without a store": (["report", "quickstart"], "run a study first, `PROGRAM run quickstart --store STORE`"),
    "a password in an address": (["plan", "quickstart", "--store", "http://me:pass@127.0.0.1:9"], "TRACKING_PASSWORD"),
    "an unreachable server": (["plan", "quickstart", "--store", "http://127.0.0.1:9"], "http://127.0.0.1:9"),
    "prune of a server": (["prune", "--store", "http://127.0.0.1:9"], "prune needs the folder of a store"),
    "ui without a store": (["ui"], "run a study first, `PROGRAM run quickstart --store STORE`"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line_with_exit_code_2(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that Ray's side finds in a process of its own, where no other test has started Ray."""
    arguments, message = WRONG[case]
    (tmp_path / "corrupt").mkdir()
    (tmp_path / "corrupt" / "mlflow.db").write_bytes(b"no database, whatever its name says" * 100)
    stand_ins = {"CORRUPT": str(tmp_path / "corrupt"), "NESTED": str(tmp_path / ("a/" * 1900))}
    arguments = [stand_ins.get(word, word) for word in arguments]
    store = [] if "--store" in arguments else ["--store", str(tmp_path / "mlruns")]
    monkeypatch.setattr("study.execution.runner.start_ray", None)  # it is not called
    run = call if "--address" in arguments else call_here
    done = run(*arguments, *store, REVIT_CACHE_DIR=str(tmp_path / "cache"), RAY_TMPDIR=str(tmp_path / "ray"))
    assert done.returncode == 2
    for name, value in {
        "PROGRAM": f"{sys.orig_argv[0]} {ROOT / 'run_study.py'}",
        "STORE": str(tmp_path / "mlruns"),
    }.items():
        message = message.replace(name, value)
    assert message in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert "me:pass" not in done.stderr + done.stdout
    assert not (tmp_path / "ray").exists(), "Ray was not started"


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        (["runx"], "Did you mean 'run'"),
        (["run"], "Missing argument 'STUDY'"),
        (["run", "quickstart", "--sedes", "3"], "--seeds"),
    ],
)
def test_a_mistyped_command_line_names_the_help_as_it_is_typed(typed: list[str], shown: str) -> None:
    done = call_here(*typed)
    assert done.returncode == 2
    assert shown in done.stderr
    command = "" if typed == ["runx"] else " run"
    assert f"Try 'python {ROOT / 'run_study.py'}{command} -h' for help." in done.stderr


WRONG_STUDIES = {
    "an unknown axis": ('scientific={"optimizzer.lr": (1.0,)}', "did you mean optimizer.lr"),
    "an unknown choice": ('scientific={"optimizer.name": ("sdg",)}', "no such optimizer; closest: sgd"),
    "a resolution between patches": ('scientific={"resolution": (30,)}', "resolution = 30: must be a multiple of 4"),
    "a negative lr": ('scientific={"optimizer.lr": (-1.0,)}', "optimizer.lr = -1.0: must be above 0"),
    "no steps": ('scientific={"steps": (0,)}', "steps = 0: must be above 0"),
    "an empty batch": ('scientific={"batch_size": (0,)}', "batch_size = 0: must be above 0"),
    "too small a fraction": ('scientific={"data_fraction": (0.001,)}', "leaves a class empty"),
    "a missing dataset": ('scientific={"dataset": ("folder:/nowhere",)}', "there is no such folder"),
    "a broken image": ('scientific={"dataset": ("folder:FOLDER",)}', "cat/1.jpg cannot be decoded"),
    "a syntax error": ("scientific={", "asks.py cannot be read: SyntaxError"),
}


@pytest.mark.parametrize("case", WRONG_STUDIES)
def test_a_wrong_study_is_one_line_before_anything_starts(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    axes, message = WRONG_STUDIES[case]
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "1.jpg").write_text("no image")
    axes = axes.replace("FOLDER", str(tmp_path / "photos"))
    [line] = error_of("run", 'dataset="digits", steps=10', axes, tmp_path, monkeypatch, capsys).splitlines()
    assert line.startswith("error: ")
    assert message in line


def error_of(
    command: str,
    base: str,
    axes: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> str:
    """Return the error of a command on a study that is written for the test."""
    (tmp_path / "asks.py").write_text(
        "from revit.config import FineTuneConfig\n"
        "from search_spaces.framework.space import SearchSpace\n"
        f'SPACE = SearchSpace(name="asks", question="?", base=FineTuneConfig({base}), {axes})\n'
    )
    monkeypatch.setattr(sys, "argv", ["run_study.py", command, str(tmp_path / "asks.py"), *where(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        run_study.main()
    assert stop.value.code == 2
    return capsys.readouterr().err.strip()


def test_a_store_that_becomes_unavailable_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr("study.cli.main.app", fail)
    with pytest.raises(SystemExit) as stop:
        run_study.main()
    assert stop.value.code == 1
    assert capsys.readouterr().err.splitlines() == [
        f"error: storage temporarily unavailable: [Errno {errno.ESTALE}] Stale file handle",
        "nothing is lost: repeat the command later",
    ]


@pytest.mark.parametrize("budget", ["steps=10", "epochs=1.0"])
def test_planning_with_a_missing_folder_is_one_line(
    budget: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base, axes = f'dataset="folder:/nowhere", {budget}', 'scientific={"optimizer.lr": (1.0,)}'
    assert "there is no such folder" in error_of("plan", base, axes, tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("name", "message"), [("resnet18x", "closest: resnet18"), ("swin_s3_tiny_224", "doesn't match")]
)
def test_planning_a_model_that_cannot_be_trained_is_one_line(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    base, axes = 'dataset="digits", steps=1', f'scientific={{"model": {{"a": {{"model.name": "{name}", PLAIN}}}}}}'
    axes = axes.replace("PLAIN", '"model.pretrained": False')
    [line] = error_of("plan", base, axes, tmp_path, monkeypatch, capsys).splitlines()
    assert line.startswith(f"error: model.name = '{name}'")
    assert message in line
