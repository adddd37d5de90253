"""The dashboard of a study: a real server that follows the ledger."""

import json
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from study.ledger.ledger import Ledger
from tests.command_line import call_here, command_of
from tests.study.searched_study import at_best_lr, make_planner, search_points, write_records

STUDY = "from tests.study.searched_study import SPACE as SPACE\n"


@contextmanager
def dashboard(*arguments: str) -> Iterator[str]:
    """Yield the address that a dashboard prints; Ctrl-C ends it, without an error."""
    command = command_of("dashboard", *arguments)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline(), process.stdout.readline()]
            [address] = re.findall(r"^(http://127\.0\.0\.1:\d+)   \(Ctrl-C ends it\)$", lines[1], re.MULTILINE)
            yield address
            process.send_signal(signal.SIGINT)
            out, errors = process.communicate(timeout=30)
            assert (process.returncode, out, errors) == (0, "ended\n", "")
        finally:
            process.kill()


def trials_of(address: str, study: int) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{address}/api/studies/{study}") as answer:
        return list(json.load(answer)["trials"])


def test_its_trials_are_those_of_the_ledger_while_it_grows(
    tmp_path: Path, cache_dir: Path, new_ledger: Callable[[Path], Ledger]
) -> None:
    planner, store = make_planner(tmp_path, cache_dir), tmp_path / "mlruns"
    ledger, records = new_ledger(store), search_points(planner, at_best_lr(3e-3), num_points=4)
    early = search_points(planner, at_best_lr(3e-3), num_points=2)
    write_records(ledger, early.values())
    (tmp_path / "searched.py").write_text(STUDY)
    where = ["--store", str(store), "--cache-dir", str(cache_dir)]
    with dashboard(str(tmp_path / "searched.py"), *where) as address:
        with urllib.request.urlopen(f"{address}/api/studies") as answer:
            names = [each["study_name"] for each in json.load(answer)["study_summaries"]]
        assert names == ["searched: optimizer=sgd", "searched: optimizer=adamw"]
        assert [len(trials_of(address, study)) for study in (0, 1)] == [2, 2]
        write_records(ledger, [record for name, record in records.items() if name not in early])
        deadline = time.monotonic() + 60
        while len(trials_of(address, 1)) < 4 and time.monotonic() < deadline:
            time.sleep(0.5)
        for study, search in enumerate(planner.plan(ledger.trials()).searches):
            found = trials_of(address, study)
            assert [each["values"] for each in found] == [[point.value("accuracy")] for point in search.points]
            assert {each["state"] for each in found} == {"Complete"}
            params = [{each["name"]: each["param_internal_value"] for each in trial["params"]} for trial in found]
            assert params == [point.values for point in search.points]
    assert (store / "optuna" / "searched.journal").exists()


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ("quickstart", "error: quickstart has no nuisance axes: nothing is searched"),
        ("all", "error: STUDY = 'all': a dashboard shows one study: name one"),
    ],
)
def test_a_study_that_is_not_searched_has_none(
    study: str, message: str, tmp_path: Path, cache_dir: Path, new_ledger: Callable[[Path], Ledger]
) -> None:
    new_ledger(tmp_path / "mlruns")
    done = call_here("dashboard", study, "--store", str(tmp_path / "mlruns"), "--cache-dir", str(cache_dir))
    assert (done.returncode, done.stderr.strip()) == (2, message)
