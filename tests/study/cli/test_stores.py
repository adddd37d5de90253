"""Commands on a store: it is printed, never created."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from study.cli.main import main
from study.ledger.ledger import Ledger
from study.ledger.states import TrialState
from tests.command_line import call_here, command_of, eventually_get, where


def exit_code(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["run_study.py", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


@pytest.mark.usefixtures("no_pip")
@pytest.mark.parametrize("command", ["plan", "report", "doctor", "prune", "ui", "dashboard"])
def test_a_command_that_only_reads_creates_no_store(
    command: str,
    tmp_path: Path,
    cache_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REVIT_STORE", raising=False)
    monkeypatch.setenv("REVIT_CACHE_DIR", str(cache_dir))
    code = exit_code([command, *(["quickstart"] if command in ("plan", "report", "dashboard") else [])], monkeypatch)
    printed = capsys.readouterr()
    assert str(tmp_path / "mlruns") in printed.out + printed.err
    assert (code == 2) == (command in ("report", "prune", "ui", "dashboard"))
    assert not list(tmp_path.iterdir())


def test_the_store_is_printed_first(
    tmp_path: Path,
    cache_dir: Path,
    new_ledger: Callable[[Path], Ledger],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = tmp_path / "mlruns"
    new_ledger(store)
    assert exit_code(["plan", "quickstart", "--store", str(store), "--cache-dir", str(cache_dir)], monkeypatch) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"store: {store}"


@pytest.mark.usefixtures("no_pip")
def test_the_doctor_reports_and_repairs_problems(tmp_path: Path) -> None:
    folders = [*where(tmp_path), "--data-dir", str(tmp_path / "data")]
    assert "no store yet" in call_here("doctor", *folders).stdout
    Ledger(tmp_path / "mlruns").launches.open("example", {})
    unhealthy, repaired, healthy = (call_here("doctor", *folders, *fix) for fix in ([], ["--fix"], []))
    assert re.search("^fixable  store: 1 x RUNNING run", unhealthy.stdout, re.MULTILINE)
    assert re.search("^fixed    store: 1 x RUNNING run", repaired.stdout, re.MULTILINE)
    assert (unhealthy.returncode, repaired.returncode, healthy.returncode) == (1, 0, 0)


def test_prune_removes_only_with_yes(tmp_path: Path) -> None:
    store = tmp_path / "mlruns"
    ledger = Ledger(store)
    launch = ledger.launches.open("quickstart", {})
    ledger.runs.delete(launch)
    shown = call_here("prune", "all", "--store", str(store))
    assert shown.returncode == 0, shown.stderr
    assert "total" in shown.stdout
    assert "deleted in MLflow" not in shown.stdout, "`all` does not name quickstart"
    shown = call_here("prune", "quickstart", "--store", str(store))
    assert "1 x run deleted in MLflow" in shown.stdout
    assert re.search(r"remove it with\n  .*run_study.py prune quickstart --store \S+ --yes", shown.stdout)
    assert str(ledger.artifacts.path(launch, "").parent) in shown.stdout, "each path is named"
    assert len(ledger.run_infos()) == 1
    unknown = call_here("prune", "--models", "quickstart", "--store", str(store))
    assert (unknown.returncode, "the store has trials of these studies: none" in unknown.stderr) == (2, True)
    assert "removed" in call_here("prune", "quickstart", "--store", str(store), "--yes").stdout
    assert ledger.run_infos() == []


def test_a_ui_that_is_open_to_others_is_warned_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Ledger(tmp_path / "mlruns")
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "DEBUG")
    served: list[list[str]] = []
    variables: dict[str, str] = {}

    def serve(_: str, command: list[str], env: dict[str, str]) -> None:
        served.append(command)
        variables.update(env)

    monkeypatch.setattr(os, "execve", serve)
    for host, is_warned in (("127.0.0.1", False), ("0.0.0.0", True)):
        monkeypatch.setattr(sys, "argv", ["run_study.py", "ui", "--store", str(tmp_path / "mlruns"), "--host", host])
        with pytest.raises(SystemExit):
            main()
        assert served[-1][served[-1].index("--host") + 1] == host
        assert ("can read, change and delete every result" in capsys.readouterr().out) == is_warned
    assert "--log-level warning" in served[-1], "else a hundred lines hide the address"
    assert (variables["PYTHONWARNINGS"], variables["MLFLOW_LOGGING_LEVEL"]) == ("ignore", "DEBUG")


def test_ui_serves_mlflow_on_this_machine(tmp_path: Path, free_port: int) -> None:
    ledger = Ledger(tmp_path / "mlruns")
    ledger.launches.close(ledger.launches.open("example", {}), TrialState.FINISHED, {})
    arguments = ["ui", "--store", str(tmp_path / "mlruns"), "--port", str(free_port)]
    process = subprocess.Popen(
        command_of(*arguments),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "MLFLOW_WORKERS": "1", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},  # each imports MLflow
    )
    try:
        assert "MLflow" in eventually_get(f"http://127.0.0.1:{free_port}/", process)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def test_ui_on_a_port_in_use_is_an_error_before_an_address_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Ledger(tmp_path / "mlruns")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        monkeypatch.setattr(sys, "argv", ["run_study.py", "ui", "--store", str(tmp_path / "mlruns"), "--port", port])
        with pytest.raises(SystemExit) as stop:
            main()
    assert stop.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == f"store: {tmp_path / 'mlruns'}\n"
    [line] = printed.err.splitlines()
    assert line.startswith(f"error: --host = 127.0.0.1, --port = {port}: cannot be listened on: Address already in use")
