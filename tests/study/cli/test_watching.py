"""Commands that follow a study whose trials are records."""

import json
import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import search_spaces
from study import api
from study.ledger.ledger import Ledger
from study.ledger.records import TrialUpdate
from study.ledger.server_locks import begin_launch
from study.ledger.states import TrialState
from study.plan import Plan
from tests.command_line import ROOT, call_here, command_of, write_study

SCHEMA = ROOT / "docs" / "status.md"


class Store:
    """A store with a launch of a study of two trials."""

    def __init__(self, folder: Path, cache_dir: Path, new_ledger: Callable[[Path], Ledger]) -> None:
        self.study = write_study(
            folder / "example.py", base="dataset='digits', steps=5", scientific={"optimizer.lr": (0.1, 0.2)}, seeds=(0,)
        )
        self.where = ["--store", str(folder / "mlruns"), "--cache-dir", str(cache_dir)]
        self.ledger = new_ledger(folder / "mlruns")
        space = search_spaces.load(self.study)
        folders = api.make_folders(folder / "mlruns", cache_dir=cache_dir)
        self.plan: Plan = api.plan_study(space, folders, {})
        self.begin()

    def begin(self) -> None:
        tags = {self.plan.space.name: self.plan.space.tags}
        (self.launch, *_), _, self.locks = begin_launch(tags, self.ledger, print)
        self.launch = next(iter(self.ledger.launches.running()))

    def start(self, index: int) -> str:
        trial = self.plan.trials[index]
        found = self.ledger.find(trial.identity)
        return self.ledger.open_trial(trial.identity, found, launch=self.launch, name="trial", tags={}).run_id

    def end(self, run_id: str, state: TrialState) -> None:
        self.ledger.close_trial(run_id, state, update=TrialUpdate())

    def close(self, state: TrialState) -> None:
        self.ledger.launches.close(self.launch, state, {})
        self.locks.release_all()

    def status(self, *options: str) -> "subprocess.CompletedProcess[str]":
        return call_here("status", self.study, *self.where, *options)


@pytest.fixture
def store(tmp_path: Path, cache_dir: Path, new_ledger: Callable[[Path], Ledger]) -> Store:
    return Store(tmp_path, cache_dir, new_ledger)


def test_the_exit_code_says_how_a_study_is(store: Store) -> None:
    first = store.start(0)
    running = store.status()
    assert running.returncode == 3
    assert "0/2 trials, 1 running" in running.stdout
    assert re.search(r"next: .*run_study\.py watch ", running.stdout)
    store.end(first, TrialState.FINISHED)
    store.close(TrialState.INTERRUPTED)
    assert store.status().returncode == 4, "a trial is left"
    store.begin()
    second = store.start(1)
    store.end(second, TrialState.FAILED)
    store.close(TrialState.FAILED)
    failed = store.status()
    assert failed.returncode == 1
    assert "failures: 1 unknown" in failed.stdout
    store.begin()
    store.end(store.start(1), TrialState.FINISHED)
    store.close(TrialState.FINISHED)
    finished = store.status()
    assert finished.returncode == 0
    assert re.search(r"next: .*run_study\.py report ", finished.stdout)


def test_json_is_what_the_page_says(store: Store) -> None:
    store.start(0)
    printed = store.status("--json")
    found = json.loads(printed.stdout)
    assert printed.returncode == 3
    documented = dict(re.findall(r"^\| `([\w\[\].]+)` \| ([\w ]+) \|", SCHEMA.read_text(), re.MULTILINE))
    types = {"integer": int, "number": (int, float), "string": str, "object": dict, "array": list}

    def check(values: dict[str, object], prefix: str) -> None:
        assert {f"{prefix}{key}" for key in values} == {
            key for key in documented if re.fullmatch(rf"{re.escape(prefix)}\w+", key)
        }
        for key, value in values.items():
            kind = documented[f"{prefix}{key}"].removesuffix(" or null")
            is_null = value is None and documented[f"{prefix}{key}"].endswith(" or null")
            assert is_null or isinstance(value, types[kind]), (key, value)  # type: ignore[arg-type]

    check(found, "")
    for cell in found["cells"]:
        check(cell, "cells[].")
    (running,) = found["running"]
    check(running, "running[].")
    assert found["schema"] == 1
    store.close(TrialState.INTERRUPTED)


def test_without_a_store_it_is_wrong_input(tmp_path: Path) -> None:
    done = call_here("status", "quickstart", "--json", "--store", str(tmp_path / "mlruns"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no store" in done.stderr


@pytest.mark.slow
def test_watching_ends_with_ctrl_c_and_not_the_study(store: Store) -> None:
    store.start(0)
    process, terminal = start_in_terminal(command_of("watch", store.study, *store.where))
    shown = read_until(terminal, "1 running")
    os.write(terminal, b"\x03")
    shown += read_until(terminal, "watch it again with")
    assert process.wait(60) == 130
    assert "0/5" in shown, "the trial's step"
    assert "Traceback" not in shown
    assert store.launch in store.ledger.launches.running()
    store.close(TrialState.INTERRUPTED)


@pytest.mark.slow
def test_watching_ends_with_the_study(store: Store) -> None:
    runs = [store.start(0), store.start(1)]
    with subprocess.Popen(command_of("watch", store.study, *store.where), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        time.sleep(0.5)
        for run_id in runs:
            store.end(run_id, TrialState.FINISHED)
        time.sleep(0.5)
        store.close(TrialState.FINISHED)
        lines += process.stdout.readlines()
    assert process.returncode == 0
    assert any("2/2 trials" in line and "finished" in line for line in lines)


def start_in_terminal(command: list[str]) -> tuple[subprocess.Popen[bytes], int]:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, preexec_fn=_take_terminal
    )
    os.close(theirs)
    return process, ours


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def read_until(terminal: int, text: str) -> str:
    shown, until_s = "", time.monotonic() + 120
    while text not in shown:
        assert time.monotonic() < until_s, shown
        if select.select([terminal], [], [], 1)[0]:
            shown += os.read(terminal, 65536).decode(errors="replace")
    return shown
