"""Run the command line, in another process or in this one."""

import io
import os
import subprocess
import sys
import time
import urllib.request
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

import run_study
from study.ledger.database import tracking_uri

ROOT = Path(__file__).parent.parent


def command_of(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "run_study.py"), *arguments]


def call(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command_of(*arguments), capture_output=True, text=True, timeout=240, env={**os.environ, **env}, check=False
    )


def call_here(*arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in this process, which has imported what takes another one seconds."""
    command, out, err = command_of(*arguments), io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, env),
        mock.patch.object(sys, "argv", command[1:]),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as end,
    ):
        run_study.main()
    return subprocess.CompletedProcess(command, int(end.value.code or 0), out.getvalue(), err.getvalue())


def where(tmp_path: Path) -> list[str]:
    """Return options that name a store and a cache of the test's own."""
    return ["--store", str(tmp_path / "mlruns"), "--cache-dir", str(tmp_path / "cache")]


def all_runs(store: Path) -> list[Run]:
    client = MlflowClient(tracking_uri(store))
    return list(client.search_runs([each.experiment_id for each in client.search_experiments()]))


def write_study(path: Path, *, base: str, scientific: object, **more: object) -> str:
    """Write a study's file, named as its path; return the path.

    Args:
        base: arguments of FineTuneConfig, as source.
        more: further arguments of SearchSpace.
    """
    keywords = "".join(f", {name}={value!r}" for name, value in more.items())
    path.write_text(
        "from revit.config import FineTuneConfig, ModelConfig\n"
        "from search_spaces.framework import SearchSpace\n"
        f'SPACE = SearchSpace(name="{path.stem}", question="?", base=FineTuneConfig({base}), '
        f"scientific={scientific!r}{keywords})\n"
    )
    return str(path)


def eventually_get(url: str, process: subprocess.Popen[Any]) -> str:
    """Return the page of a server that starts."""
    while True:
        assert process.poll() is None, "the UI ended by itself"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.read().decode()
        except OSError:
            time.sleep(0.5)
