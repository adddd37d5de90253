"""The command line in another process: output, signals, exit codes."""

import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from revit.budget import evenly_spaced_steps
from study.ledger.database import tracking_uri
from study.ledger.ledger import Ledger
from study.ledger.states import TrialState
from tests.command_line import ROOT, all_runs, call, call_here, command_of, where


def test_list_shows_every_study_and_its_question() -> None:
    done = call("list")
    assert done.returncode == 0
    assert re.search(r"quickstart\s+12\s+Does the learning-rate schedule matter", done.stdout)


@pytest.mark.parametrize("arguments", [["list"], ["--help"], ["run", "--help"]])
def test_list_and_help_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys, run_study\n"
        f"sys.argv = ['run_study.py', *{arguments!r}]\n"
        "try: run_study.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'ray', 'mlflow', 'scipy', 'pandas'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)


def wait_for_progress(store: Path, process: subprocess.Popen[str]) -> None:
    """Return once a trial has a checkpoint."""
    while not list(store.glob("work/*/checkpoint.pt")):
        assert process.poll() is None, "the study ended before it could be interrupted"
        time.sleep(0.2)


def listening(pid: int) -> list[str]:
    """Return the addresses on which a process and its descendants listen."""
    driver = psutil.Process(pid)
    sockets = [each for process in (driver, *driver.children(recursive=True)) for each in process.net_connections()]
    assert sockets, "Ray has some"
    return [each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN]


def test_a_study_is_interrupted_resumed_repeated_reported(
    ray_cluster: None, one_slot: None, one_cpu: None, tmp_path: Path
) -> None:
    """One life of a study: Ctrl-C, resume, table, nothing to do, report."""
    store = tmp_path / "mlruns"
    arguments = ["run", "quickstart", "--seeds", "1", *where(tmp_path)]
    process = subprocess.Popen(
        command_of(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "RAY_ADDRESS": "127.0.0.1:9"},  # nothing listens there
    )
    wait_for_progress(store, process)
    assert {address for address in listening(process.pid) if not address.startswith(("127.", "::ffff:127."))} == set()
    mapped = [each.path for each in psutil.Process(process.pid).memory_maps()]
    assert not [path for path in mapped if "libtorch" in path], "the driver has no use for PyTorch"
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert "RAY_ADDRESS = 127.0.0.1:9 is ignored: --address 127.0.0.1:9 joins that cluster" in stdout
    assert re.search(r"resume with\n  \S*python\S* \S*run_study.py run quickstart --seeds 1 --store \S+mlruns", stdout)
    runs = all_runs(store)
    assert "RUNNING" not in {run.info.status for run in runs}
    stopped = [run for run in runs if run.info.status == "KILLED" and run.data.tags["kind"] == "trial"]
    assert stopped
    assert all(0 < run.data.metrics["num_steps_done"] < 120 for run in stopped)

    resumed = call_here(*arguments)
    assert resumed.returncode == 0, resumed.stderr
    assert "Traceback" not in resumed.stderr
    assert re.search(r"python\S* \S*run_study.py report quickstart --seeds 1 --store", resumed.stdout)
    interval = r"\d\d\.\d\d to \d\d\.\d\d \(images only\)"
    assert re.search(rf"sgd\s+│\s+cosine\s+│\s+\d\d\.\d\d │ {interval} │\s+1", resumed.stdout)
    trials = [run for run in all_runs(store) if run.data.tags["kind"] == "trial"]
    assert len(trials) == 4
    assert {run.info.status for run in trials} == {"FINISHED"}
    client = MlflowClient(tracking_uri(store))
    for run in trials:
        steps = [point.step for point in client.get_metric_history(run.info.run_id, "train_loss")]
        assert steps == sorted(evenly_spaced_steps(120, 100)), "every step once, though trials were resumed"

    Ledger(store).launches.open("quickstart", {})  # one that died after its last trial, before its end
    repeated = call_here(*arguments)
    assert repeated.returncode == 0
    assert repeated.stdout.startswith(f"store: {store}\n")
    assert "nothing to do" in repeated.stdout
    launches = [run for run in all_runs(store) if run.data.tags["kind"] == "launch"]
    assert sorted(run.info.status for run in launches) == ["FINISHED", "KILLED", "KILLED"]

    reported = call_here(
        "report", "quickstart", "--seeds", "1", *where(tmp_path), "--reports", str(tmp_path / "reports")
    )
    assert reported.returncode == 0
    cells = (tmp_path / "reports" / "quickstart-seeds-1" / "cells.csv").read_text().splitlines()
    assert len(cells) == 1 + 4
    assert (tmp_path / "reports" / "quickstart-seeds-1" / "trials.parquet").exists()

    nowhere = call_here("report", "quickstart", "--seeds", "1", *where(tmp_path), "--reports", str(ROOT / "LICENSE"))
    assert nowhere.returncode == 2
    assert "cannot be written" in nowhere.stderr


@pytest.mark.long
@pytest.mark.parametrize("to_all", [False, True], ids=["its group", "every process"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_study_ends_cleanly_when_its_terminal_disappears(
    tmp_path: Path, number: signal.Signals, to_all: bool
) -> None:
    """The signal goes to the driver's group, as from schedulers, or to every process, as from some init systems."""
    store = tmp_path / "mlruns"
    driver_side, terminal = os.openpty()
    process = subprocess.Popen(
        command_of("run", "quickstart", "--seeds", "1", *where(tmp_path)),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    reader = threading.Thread(target=drain, args=(driver_side, stop := threading.Event()))
    reader.start()
    wait_for_progress(store, process)
    children = psutil.Process(process.pid).children(recursive=True)
    stop.set()
    reader.join()
    os.close(driver_side)  # whatever is printed from here on is an EIO
    os.killpg(process.pid, number)
    if to_all:
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.send_signal(number)
    assert process.wait(timeout=120) == 130
    _, living = psutil.wait_procs(children, timeout=30)
    assert living == []
    trials = [run for run in all_runs(store) if run.data.tags["kind"] == "trial"]
    assert trials
    assert {run.data.tags["state"] for run in trials} <= {TrialState.FINISHED, TrialState.INTERRUPTED}
    if not to_all:
        saved = [run for run in trials if run.data.tags["state"] == TrialState.INTERRUPTED]
        assert all((store / "work" / run.data.tags["identity"] / "checkpoint.pt").exists() for run in saved)


def drain(file: int, stop: threading.Event) -> None:
    """Read a terminal until the event is set, or until no process prints."""
    with suppress(OSError):
        while not stop.is_set():
            if select.select([file], [], [], 0.2)[0]:
                os.read(file, 65536)


def test_plan_and_reports_import_neither_torch_nor_ray(tmp_path: Path) -> None:
    code = (
        "import sys, run_study\n"
        f"sys.argv = ['run_study.py', 'plan', 'quickstart', *{where(tmp_path)!r}]\n"
        "try: run_study.main()\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "import study.report.writer\n"
        "heavy = {'torch', 'ray'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True)
    assert "12 trials, 12 to run" in done.stdout
