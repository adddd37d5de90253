"""A tracking server as the store: MLflow's own, in a process of its own, that can be killed and comes back."""

import io
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from requests import ConnectionError as NotReached
from rich.console import Console

from revit.config import FineTuneConfig
from revit.errors import InputError
from search_spaces.framework.space import SearchSpace
from study.execution.resources import ResourceRequest
from study.execution.runner import run_plan
from study.ledger import server_locks
from study.ledger.ledger import Ledger
from study.ledger.locks import LocksLostError
from study.ledger.orphans import clean_up_idle
from study.ledger.server_locks import ServerLocks
from study.ledger.states import TrialState
from study.ledger.transient import is_transient
from study.plan import Folders, make_plan
from tests.study.servers import Server

pytestmark = pytest.mark.slow

LONG = FineTuneConfig(
    dataset="digits", resolution=8, crop_scale=(0.6, 1.0), hflip=False, batch_size=16, steps=400, num_evals=20
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


def test_a_lease_is_one_machine_s_at_a_time(
    machine: Callable[[str], Ledger], launched: Callable[[Ledger], ServerLocks]
) -> None:
    one, other = launched(machine("one")), launched(machine("other"))
    assert one.acquire("trial")
    assert one.acquire("trial"), "it is ours already"
    assert not other.acquire("trial")
    assert other.acquire("another")
    one.release("trial")
    assert other.acquire("trial")
    assert not one.acquire("trial")


def test_the_launch_of_another_machine_is_alive(
    machine: Callable[[str], Ledger], launched: Callable[[Ledger], ServerLocks]
) -> None:
    ours, theirs = machine("one"), machine("other")
    locks = launched(ours)
    launched(theirs)
    ours.close_stale_runs(locks)
    assert len(ours.launches.running()) == 2, "neither its own launch nor the other is ended"


def test_of_many_that_want_a_lease_at_once_never_two_have_it(
    machine: Callable[[str], Ledger], launched: Callable[[Ledger], ServerLocks]
) -> None:
    names = [f"trial{number}" for number in range(6)]
    have: Counter[str] = Counter()
    most: Counter[str] = Counter()
    counting = threading.Lock()

    def grab(locks: ServerLocks) -> None:
        for name in names * 3:
            if not locks.acquire(name):
                continue
            with counting:
                have[name] += 1
                most[name] = max(most[name], have[name])
            time.sleep(0.02)
            with counting:
                have[name] -= 1
            locks.release(name)

    launches = [launched(machine(str(number))) for number in range(3)]
    threads = [threading.Thread(target=grab, args=(locks,)) for locks in launches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most.values()) == {1}, "all may let go of one at once, but never do two have it"
    assert all(launches[0].acquire(name) for name in names), "nobody is left with a claim"


HOLDER = """
import sys, time
from pathlib import Path
from study.ledger.ledger import Ledger
from study.execution.runner import begin_launch
ledger = Ledger(Path(sys.argv[1]), sys.argv[2])
launch, _, locks = begin_launch("dying", {}, ledger, print)
print(locks.acquire("of-the-dead"), launch, flush=True)
time.sleep(600)
"""


def start_holder(folder: Path, server: Server) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), server.address], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    taken, launch = process.stdout.readline().split()
    assert taken == "True"
    return process, launch


def test_on_one_machine_the_lease_of_a_dead_launch_is_free_at_once(
    server: Server, tmp_path: Path, launched: Callable[[Ledger], ServerLocks]
) -> None:
    ledger = Ledger(tmp_path / "here", server.address)
    ours = launched(ledger)
    holder, launch = start_holder(tmp_path / "here", server)
    with holder:
        taken = ours.acquire("of-the-dead")
        holder.kill()
    assert not taken
    assert ours.acquire("of-the-dead")
    assert launch not in ledger.launches.running()


def test_a_launch_that_died_is_ended_even_where_nothing_is_left_to_train(server: Server, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "here", server.address)
    holder, launch = start_holder(tmp_path / "here", server)
    with holder:
        clean_up_idle(ledger)
        clean_up_idle(Ledger(tmp_path / "elsewhere", server.address))
        assert launch in ledger.launches.running()
        holder.kill()
    clean_up_idle(ledger)
    assert launch not in ledger.launches.running()


def test_a_launch_of_another_machine_that_falls_silent_is_given_up_and_learns_it_when_it_comes_back(
    server: Server,
    tmp_path: Path,
    launched: Callable[[Ledger], ServerLocks],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_locks, "HEARTBEAT_INTERVAL_S", 0.2)
    monkeypatch.setattr(server_locks, "GRACE_PERIOD_S", 4.0)
    here, there = Ledger(tmp_path / "here", server.address), Ledger(tmp_path / "there", server.address)
    silent, alive = launched(there), launched(there)
    assert silent.acquire("trial")
    assert alive.acquire("other-trial")
    silent._closed.set()  # its heart stops, as that of a process that is
    silent._heartbeat_thread.join()
    ours = launched(here)
    assert not ours.acquire("trial")
    while not ours.acquire("trial"):
        time.sleep(0.1)
    assert not ours.acquire("other-trial"), "whoever beats is not given up"
    monkeypatch.setattr(server_locks, "MAX_HEARTBEAT_GAP_S", 0.0)
    with pytest.raises(LocksLostError):
        silent.confirm()
    assert silent.is_fenced
    ours.confirm()


def test_after_an_outage_nobody_is_given_up_for_silence_that_nobody_could_break(
    machine: Callable[[str], Ledger],
    launched: Callable[[Ledger], ServerLocks],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who was away hears the last word of before, and has to listen anew before it counts as silence."""
    ours, theirs = launched(machine("one")), launched(machine("other"))
    for locks in (ours, theirs):
        locks._closed.set()
        locks._heart.join()
    ours._look()
    ours._last_look -= 1000
    ours._heard = {launch: heard._replace(since=heard.since - 1000) for launch, heard in ours._heard.items()}
    ours._look()
    assert len(ours._ledger.launches.running()) == 2
    theirs.confirm()


@pytest.fixture(params=[8, pytest.param(300, marks=pytest.mark.long)], ids=["seconds", "minutes"])
def outage_s(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_a_study_goes_on_while_its_server_is_dead_and_what_it_measured_is_written_later_once(
    server: Server,
    ray_cluster: None,
    tmp_path: Path,
    cache_dir: Path,
    outage_s: int,
    train: Callable[..., Any],
) -> None:
    ledger = Ledger(tmp_path / "mlruns", server.address)
    folders = Folders(store=ledger.root, data=tmp_path, cache=cache_dir, server=server.address)
    plan = make_plan(SPACE, SPACE.seeds, folders, ledger.trials())

    def outage() -> None:
        while not list(ledger.root.glob("work/*/checkpoint.pt")):
            time.sleep(0.05)
        server.kill()
        time.sleep(outage_s)
        server.start()

    told = io.StringIO()
    killer = threading.Thread(target=outage)
    killer.start()
    result = run_plan(plan, ledger, Console(file=told, width=300), ResourceRequest(), {"command": "test"})
    killer.join()
    assert result.states == dict.fromkeys((trial.identity for trial in plan.trials), TrialState.FINISHED)
    assert "cannot be written for now" in told.getvalue()
    assert "nothing is lost" in told.getvalue()
    runs = list(ledger.runs.client.search_runs([ledger.runs.experiment_id], "tags.`study.remote` = 'yes'"))
    assert sorted(run.data.tags["identity"] for run in runs) == sorted(trial.identity for trial in plan.trials)
    assert {run.info.status for run in runs} == {"FINISHED"}
    for trial in plan.with_records(ledger.trials()).trials:
        outside, listener = train(trial.candidate.config)
        assert ledger.curve(trial.record.run_id, "train_loss") == listener.curve("train_loss")
        assert ledger.curve(trial.record.run_id, "test_accuracy") == [(400, outside.metrics["test_accuracy"])]
        assert ledger.artifacts.path(trial.record.run_id, "predictions.parquet").stat().st_size > 0
    assert [list((ledger.root / name).iterdir()) for name in ("work", "tune", "locks")] == [[], [], []]


LAUNCH = """
import sys
from pathlib import Path
from rich.console import Console
from study.ledger.ledger import Ledger
from study.execution.resources import ResourceRequest
from study.plan import Folders, make_plan
from study.execution.runner import run_plan
from tests.study.test_server import SHORT

root, cache, server = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
ledger = Ledger(root / "mlruns", server)
folders = Folders(store=root / "mlruns", data=root, cache=cache, server=server)
plan = make_plan(SHORT, SHORT.seeds, folders, ledger.trials())
result = run_plan(plan, ledger, Console(quiet=True), ResourceRequest(), {"command": "test"})
print("OUTCOMES", *result.states)
"""


def test_two_machines_share_the_trials_of_a_study(server: Server, tmp_path: Path, cache_dir: Path) -> None:
    command = [sys.executable, "-c", LAUNCH]
    launches = [
        subprocess.Popen(
            [*command, str(tmp_path / name), str(cache_dir), server.address],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "other")
    ]
    told = [process.communicate(timeout=280) for process in launches]
    assert [process.returncode for process in launches] == [0, 0], told
    trained = [stdout.split("OUTCOMES")[1].split() for stdout, _ in told]
    assert len(trained[0] + trained[1]) == len(set(trained[0] + trained[1])) == 6, "each trial by one of them"
    ledger = Ledger(tmp_path / "third", server.address)
    records = ledger.trials()
    assert {records[identity].state for identity in trained[0] + trained[1]} == {TrialState.FINISHED}
    assert not ledger.launches.running()


def test_artifacts_go_to_the_server_and_come_from_it_to_another_machine(server: Server, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "here", server.address)
    launch = ledger.launches.open("files", {})
    known = ledger.open_trial("filed", launch=launch, name="filed", tags={})
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "note.txt").write_text("kept")
    ledger.close_trial(known.run_id, TrialState.FINISHED, artifacts=tmp_path / "files")
    ledger.launches.close(launch, TrialState.FINISHED, {})
    elsewhere = Ledger(tmp_path / "there", server.address)
    assert elsewhere.artifacts.path(known.run_id, "note.txt").read_text() == "kept"
    assert not elsewhere.artifacts.path(known.run_id, "nothing.txt").exists()
    assert elsewhere.artifacts.address(known.run_id, "note.txt").startswith(f"{server.address}/#/experiments/")


def test_a_server_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        folders = Folders(store=tmp_path / "here", data=tmp_path, cache=tmp_path, server=address)
        with pytest.raises(InputError, match=f"{address} is not a store that MLflow can open"):
            Ledger(folders.store, folders.server)


def test_what_a_server_refuses_does_not_pass_and_what_is_its_fault_does(server: Server, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, server.address)
    with pytest.raises(MlflowException) as refused:
        ledger.runs.tag("no run", {"any": "thing"})
    assert not is_transient(refused.value)
    assert is_transient(
        MlflowException("API request to endpoint /x failed with error code 503 != 200. Response body: ''")
    )
    assert not is_transient(
        MlflowException("API request to endpoint /x failed with error code 404 != 200. Response body: ''")
    )
    assert is_transient(MlflowException("API request to http://x failed with timeout exception"))
    assert not is_transient(NotReached("of another library"))
