"""Any input ends with an exit code of the command line, never a traceback."""

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import strategies as st

import run_study
import search_spaces
from revit.models.weights import WEIGHTS_DIR_VARIABLE

pytestmark = pytest.mark.filterwarnings("ignore")
COMMANDS = ["list", "models", "axes", "plan", "run", "report", "fetch", "ui", "doctor", "prune", "rnu", ""]
NAMES = ["quickstart", "resolution", "quikstart", "all", "", " ", ".", "..", "/", "../evil", "../../evil", "evil", "os"]
NAMES += [
    "space",
    "search_spaces.quickstart",
    "quickstart.SPACE",
    "__init__",
    "QUICKSTART",
    "quickstart\n",
    "\0",
    "é\ud7ff",
]
NAMES += [
    "\udcff",
    "[red]",
    "[/]",
    "\x1b[31m",
    "-",
    "--",
    "$(touch harm)",
    "; touch harm",
    "x" * 5000,
    "{0}",
    "%s",
    "🙂",
]
PATHS = [
    "store",
    "file",
    "file/below",
    "nowhere/at/all",
    "",
    "/",
    "/proc",
    "/dev/null",
    "/dev/null/x",
    "..",
    "~nobody/x",
]
PATHS += [
    "a\nb",
    "a b",
    "a?b=c",
    "a#b",
    "a%20b",
    "[red]",
    "é",
    "\udcff",
    "\0",
    "x" * 300,
    "x/" * 3000,
    "sqlite:///x",
    "loop",
]
NUMBERS = ["0", "1", "2", "-1", "1.5", "nan", "inf", "-inf", "1e400", "0x1", "", " 1", "1_0", "٣", "9" * 30, "9" * 5000]
NUMBERS += ["1000000000", "65536", "None", "\0", "1\n"]
PATH_OPTIONS = ["--store", "--data-dir", "--weights-dir", "--cache-dir", "--reports"]
NUMBER_OPTIONS = ["--seeds", "--num-trials", "--time-budget", "--gpus-per-trial", "--cpus-per-trial", "--port"]

texts = st.text(max_size=5)
values = {
    **dict.fromkeys(PATH_OPTIONS, st.sampled_from(PATHS) | texts),
    **dict.fromkeys(NUMBER_OPTIONS, st.sampled_from(NUMBERS)),
    "--scale": st.sampled_from(["paper", "nano", "", "NANO", "\n"]) | texts,
    "--recipe": st.sampled_from(["paper", "authors", "vit_2021", "", "\0"]) | texts,
    "--sampler": st.sampled_from(["grid", "tpe", "", "\0"]) | texts,
    "--pruner": st.sampled_from(["median", "none", "", "\n"]) | texts,
    "--host": st.sampled_from(["", "0.0.0.0", "\n", "[red]", "::1"]) | texts,
}
OPTIONS_OF = {
    "plan": [
        "--sampler",
        "--num-trials",
        "--time-budget",
        "--pruner",
        "--seeds",
        "--scale",
        "--recipe",
        "--store",
        "--data-dir",
        "--weights-dir",
        "--cache-dir",
    ],
    "report": ["--seeds", "--scale", "--recipe", "--store", "--data-dir", "--weights-dir", "--cache-dir", "--reports"],
    "run": ["--seeds", "--scale", "--recipe", "--gpus-per-trial", "--cpus-per-trial", "--store", "--cache-dir"],
    "fetch": ["--scale", "--recipe", "--data-dir", "--weights-dir"],
    "ui": ["--store", "--port", "--host"],
    "doctor": ["--store", "--data-dir", "--weights-dir", "--cache-dir"],
    "prune": ["--store"],
}


class Ended(NamedTuple):
    """End of a command."""

    code: int
    out: str
    err: str


@pytest.fixture
def call(tmp_path: Path, cache_dir: Path, no_pip: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Run a command in a folder of its own, where it can train, download, start nothing."""
    work = tmp_path / "a" / "b"
    work.mkdir(parents=True)
    (work / "file").write_text("a file")
    (work / "loop").symlink_to("loop")
    for folder in (work, work.parent, tmp_path):
        (folder / "evil.py").write_text(f"from pathlib import Path; Path({str(tmp_path / 'harm')!r}).touch()")
    monkeypatch.chdir(work)
    monkeypatch.syspath_prepend(str(work))
    monkeypatch.setenv("REVIT_CACHE_DIR", str(cache_dir))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))

    def no_training(plan: Any, ledger: Any, console: Any, request: Any, tags: Any) -> None:
        from study.execution.resources import Node, grant_resources

        grant_resources(request, [Node(cpus=2, gpus=0)])
        raise KeyboardInterrupt

    def no_network(*_: Any, **__: Any) -> None:
        raise ConnectionError("there is no network here")

    def no_other_program(*_: Any) -> None:
        raise SystemExit(0)

    monkeypatch.setattr("study.execution.runner.run_plans", no_training)
    monkeypatch.setattr("socket.socket.connect", no_network)
    monkeypatch.setattr("socket.getaddrinfo", no_network)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(os, "execve", no_other_program)

    def run(*arguments: str) -> Ended:
        os.environ.pop(WEIGHTS_DIR_VARIABLE, None)
        streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", errors) for errors in ("strict", "backslashreplace")]
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["run_study.py", *arguments])
            patch.setattr(sys, "stdout", streams[0])
            patch.setattr(sys, "stderr", streams[1])
            with pytest.raises(SystemExit) as stop:
                run_study.main()
            for stream in streams:
                stream.flush()
        out, err = (stream.buffer.getvalue().decode(errors="replace") for stream in streams)
        assert stop.value.code in (None, 0, 1, 2, 130)
        assert "Traceback" not in out + err
        assert not (tmp_path / "harm").exists()
        return Ended(stop.value.code or 0, out, err)

    os.environ.pop(WEIGHTS_DIR_VARIABLE, None)
    monkeypatch.setenv(WEIGHTS_DIR_VARIABLE, "")  # restored after the test
    return run


def test_any_option_values_end_with_an_exit_code(fuzz: Callable[..., None], call: Callable[..., Ended]) -> None:
    def check(command: str, study: str, options: list[tuple[str, str]]) -> None:
        call(
            command, *([] if command in ("ui", "doctor") else [study]), *(word for option in options for word in option)
        )

    def option_of(name: str) -> st.SearchStrategy[tuple[str, str]]:
        return st.tuples(st.just(name), values[name])

    for command, names in OPTIONS_OF.items():
        option = st.sampled_from(names).flatmap(option_of)
        studies = st.just("quickstart") | st.sampled_from(NAMES[:3])
        fuzz(4, check, st.just(command), studies, st.lists(option, min_size=1, max_size=3))


def test_any_words_in_any_order_end_with_an_exit_code(fuzz: Callable[..., None], call: Callable[..., Ended]) -> None:
    words = (
        st.sampled_from([*COMMANDS[:-4], *NAMES, *PATHS, *NUMBERS, *values, "--help", "--fix", "-h", "--", "-"]) | texts
    )
    fuzz(20, lambda command, rest: call(command, *rest), st.sampled_from(COMMANDS), st.lists(words, max_size=5))


@pytest.mark.parametrize("command", ["plan", "run", "report", "fetch"])
def test_only_the_names_of_studies_are_imported(call: Callable[..., Ended], command: str) -> None:
    for name in NAMES:
        if name in (*search_spaces.names(), "all") or name.startswith("-"):
            continue
        before = set(sys.modules)
        ended = call(command, name)
        imported = {each for each in set(sys.modules) - before if each.startswith(("evil", "search_spaces"))}
        assert not imported, f"{name!r} imported {imported}"
        assert ended.code == 2
        assert "there is no study" in ended.err or "is not a Python file" in ended.err, name
        assert len(ended.err.strip().splitlines()) == 1
