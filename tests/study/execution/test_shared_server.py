"""Studies on a tracking server that dies, is shared, or is behind a faulty proxy."""

import io
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import chain, cycle, repeat
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import run_study
from revit.config import FineTuneConfig
from search_spaces.framework.space import SearchSpace
from study.execution.resources import ResourceRequest
from study.execution.runner import run_plans
from study.ledger.ledger import Ledger
from study.ledger.states import TrialState
from study.plan import Folders
from study.planning import make_plan
from tests.study.ledger.trial_runs import runs_of
from tests.study.servers import Proxy, Server

LONG = FineTuneConfig(
    dataset="digits", resolution=8, crop_scale=(0.6, 1.0), hflip=False, batch_size=16, steps=200, num_evals=10
)


SPACE = SearchSpace(
    name="remote",
    question="Does it run?",
    base=LONG,
    scientific={"optimizer.lr": (0.02, 0.03)},
    seeds=(0,),
)


SHORT = SearchSpace(
    name="shared",
    question="Does it run?",
    base=LONG.with_values({"steps": 40}),
    scientific={"optimizer.lr": (0.02, 0.03, 0.05)},
    seeds=(0, 1),
)


@pytest.fixture(params=[4, pytest.param(300, marks=pytest.mark.long)], ids=["seconds", "minutes"])
def outage_s(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.mark.slow
def test_a_study_goes_on_while_its_server_is_dead_and_what_it_measured_is_written_later_once(
    server: Server,
    ray_cluster: None,
    one_slot: None,
    tmp_path: Path,
    cache_dir: Path,
    outage_s: int,
    train: Callable[..., Any],
) -> None:
    ledger = Ledger(tmp_path / "mlruns", server.address)
    folders = Folders(store=ledger.root, data=tmp_path, cache=cache_dir, server=server.address)
    plan = make_plan(SPACE, SPACE.seeds, folders, ledger.trials())

    def outage() -> None:
        while not list(ledger.root.glob("work/*/artifacts/built.json")):  # a trial has begun
            time.sleep(0.05)
        server.kill()
        deadline = time.monotonic() + 300
        while "cannot be written for now" not in logged.getvalue() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(outage_s)
        server.start()

    logged = io.StringIO()
    killer = threading.Thread(target=outage)
    killer.start()
    result = run_plans([plan], ledger, Console(file=logged, width=300), ResourceRequest(), {"command": "test"})
    killer.join()
    assert result.states == dict.fromkeys((trial.identity for trial in plan.trials), TrialState.FINISHED)
    assert "cannot be written for now" in logged.getvalue()
    assert "nothing is lost" in logged.getvalue()
    runs = list(ledger.runs.client.search_runs([ledger.runs.experiment_id], "tags.`study.remote` = 'yes'"))
    assert sorted(run.data.tags["identity"] for run in runs) == sorted(trial.identity for trial in plan.trials)
    assert {run.info.status for run in runs} == {"FINISHED"}
    for trial in plan.with_records(ledger.trials()).trials:
        outside, listener = train(trial.candidate.config)
        assert ledger.curve(trial.record.run_id, "train_loss") == listener.curve("train_loss")
        assert ledger.curve(trial.record.run_id, "test_accuracy") == [(LONG.steps, outside.metrics["test_accuracy"])]
        assert ledger.artifacts.path(trial.record.run_id, "predictions.parquet").stat().st_size > 0
    assert [list((ledger.root / name).iterdir()) for name in ("work", "tune", "locks")] == [[], [], []]


LAUNCH = """
import sys
from pathlib import Path
from rich.console import Console
from study.ledger.ledger import Ledger
from study.execution import admission, runner
from study.execution.resources import Node, ResourceRequest
from study.plan import Folders
from study.planning import make_plan
from tests.study.execution.test_shared_server import SHORT

root, cache, server = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
ledger = Ledger(root / "mlruns", server)
folders = Folders(store=root / "mlruns", data=root, cache=cache, server=server)
plan = make_plan(SHORT, SHORT.seeds, folders, ledger.trials())
admission.find_nodes = lambda: [Node(cpus=1, gpus=0)]  # one process each, which imports for seconds
result = runner.run_plans([plan], ledger, Console(quiet=True), ResourceRequest(), {"command": "test"})
print("TRAINED", *result.states)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "server", [pytest.param("sqlite_server", marks=pytest.mark.long), "postgres_server"], indirect=True
)
def test_two_machines_share_the_trials_of_a_study(
    server: Server, ray_cluster: None, one_slot: None, tmp_path: Path, cache_dir: Path
) -> None:
    """One of them is this process. It begins once the launch of the other one is in the ledger."""
    ledger = Ledger(tmp_path / "one" / "mlruns", server.address)
    folders = Folders(store=ledger.root, data=tmp_path, cache=cache_dir, server=server.address)
    command = [sys.executable, "-c", LAUNCH, str(tmp_path / "other"), str(cache_dir), server.address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as other:
        while not ledger.launches.running() and other.poll() is None:
            time.sleep(0.1)
        plan = make_plan(SHORT, SHORT.seeds, folders, ledger.trials())
        result = run_plans([plan], ledger, Console(quiet=True), ResourceRequest(), {"command": "test"})
        stdout, stderr = other.communicate(timeout=280)
    assert other.returncode == 0, stderr
    trained = [*result.states, *stdout.split("TRAINED")[1].split()]
    assert len(trained) == len(set(trained)) == 6, "each trial by one of them"
    records = Ledger(tmp_path / "third", server.address).trials()
    assert {records[identity].state for identity in trained} == {TrialState.FINISHED}
    assert not ledger.launches.running()


STUDY = """
from revit.config import FineTuneConfig
from search_spaces.framework.space import SearchSpace

BASE = FineTuneConfig(
    dataset="digits", resolution=8, crop_scale=(0.6, 1.0), hflip=False, batch_size=16, steps=12, num_evals=3
)
SPACE = SearchSpace(
    name="proxied", question="?", base=BASE, scientific={"optimizer.lr": (0.02, 0.03, 0.05, 0.07)}, seeds=(0, 1)
)
"""


@pytest.mark.slow
def test_a_study_behind_such_a_proxy_ends_well_with_one_run_of_each_trial(
    ray_cluster: None,
    one_slot: None,
    proxied: Callable[..., Proxy],
    tmp_path: Path,
    cache_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The proxy lets the command open the store; from then on nothing can be relied upon."""
    (tmp_path / "proxied.py").write_text(STUDY)
    well = ["pass"] * 7
    proxy = proxied(
        runs_create=cycle(["lose", "twice", "refuse", "page", "twice", "lose"]),
        runs_search=chain(repeat("pass", 4), cycle([*well, "page", *well, "refuse", *well, "lose"])),
        runs_log_batch=cycle(["pass", "refuse", "twice", "page", "lose", "pass", "pass"]),
        runs_update=cycle(["twice", "page", "pass", "refuse", "lose"]),
        runs_get=cycle(["pass", "page", "refuse"]),
        runs_delete_tag=cycle(["twice", "lose", "page", "refuse"]),
        runs_delete=cycle(["lose", "refuse", "page", "pass"]),
        parquet=cycle(["page", "refuse", "lose", "pass"]),
    )
    where = ["--store", proxy.address, "--cache-dir", str(cache_dir)]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["run_study.py", "run", "proxied.py", *where])
    with pytest.raises(SystemExit) as end:
        run_study.main()
    logged = capsys.readouterr().out
    assert end.value.code == 0, logged
    assert "Traceback" not in logged
    assert "failed with error code 401" in logged
    assert "not in a valid JSON format" in logged
    assert min(proxy.done[fault] for fault in ("lose", "twice", "refuse", "page")) >= 8, proxy.done
    proxy.faults = {}
    ledger = Ledger(tmp_path / "elsewhere", proxy.address)
    runs = runs_of(ledger, "proxied")
    assert Counter(run.data.tags["kind"] for run in runs) == {"trial": 8, "launch": 1}
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.data.metrics["num_steps_done"] for run in runs if run.data.tags["kind"] == "trial"} == {12}
    for run in runs:
        if run.data.tags["kind"] == "trial":
            assert ledger.artifacts.path(run.info.run_id, "predictions.parquet").read_bytes().startswith(b"PAR1")
