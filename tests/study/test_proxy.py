"""A server behind a proxy that loses answers, sends requests twice, or answers in the server's place."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain, cycle, repeat
from pathlib import Path

import pytest
from mlflow.entities import Run

import run_study
import search_spaces
from study.execution import searcher as queueing
from study.execution.runner import begin_launch
from study.ledger.ledger import Ledger
from study.ledger.orphans import clean_up, clean_up_idle
from study.ledger.server_locks import ServerLocks
from study.ledger.states import TrialState
from study.maintenance.checks.server import check_server
from study.plan import Folders
from study.system import retry as patience
from tests.study.servers import Proxy, Server

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "MIN_WAIT_S", 0.02)
    monkeypatch.setattr(patience, "MAX_WAIT_S", 0.1)
    monkeypatch.setattr(queueing, "LOCK_POLL_S", 0.1)


@pytest.fixture
def proxied(server: Server) -> Iterator[Callable[..., Proxy]]:
    """Puts a proxy before the server that has these faults."""
    proxies: list[Proxy] = []

    def start(**faults: Iterator[str]) -> Proxy:
        paths = {name.replace("runs_", "runs/").replace("_", "-"): each for name, each in faults.items()}
        proxies.append(Proxy(server, paths))
        return proxies[-1]

    yield start
    for proxy in proxies:
        proxy.close()


def runs_of(ledger: Ledger, study: str) -> list[Run]:
    """Every run of a study and its launches that is not deleted."""
    trials = ledger.runs.search(f"tags.`study.{study}` = 'yes'")
    return [*trials, *ledger.runs.search(f"tags.kind = 'launch' and tags.study = '{study}'")]


@pytest.mark.parametrize("fault", ["lose", "twice"])
def test_an_answer_that_is_lost_or_a_request_sent_twice_makes_no_second_run(
    proxied: Callable[..., Proxy], tmp_path: Path, fault: str
) -> None:
    proxy = proxied(runs_create=repeat(fault))
    ledger, study = Ledger(tmp_path, proxy.address), f"made {fault}"
    launch, _, locks = begin_launch(study, {}, ledger, print)
    names = [f"{fault}{number}" for number in range(4)]
    for name in names:
        tags = {f"study.{study}": "yes"}
        record = ledger.retry(
            lambda name=name, tags=tags: ledger.open_trial(name, launch=launch, name=name, tags=tags), log=print
        )
        ledger.close_trial(record.run_id, TrialState.FINISHED)
    ledger.launches.close(launch, TrialState.FINISHED, {})
    locks.release_all()
    assert proxy.done[fault] >= 4
    runs = runs_of(ledger, study)
    assert sorted(run.data.tags.get("identity", "launch") for run in runs) == sorted([*names, "launch"])
    assert {run.info.status for run in runs} == {"FINISHED"}
    deleted = ledger.runs.client.search_runs(
        [ledger.runs.experiment_id], f"tags.`study.{study}` = 'yes'", run_view_type=2
    )
    assert "RUNNING" not in {run.info.status for run in deleted}, "nor does whoever restores one find it so"


@pytest.mark.parametrize("how", ["launch", "idle", "doctor"])
def test_runs_that_a_late_request_made_are_merged(
    server: Server, tmp_path: Path, launched: Callable[[Ledger], ServerLocks], how: str
) -> None:
    """A request that comes through after it was given up, and its trial is over."""
    ledger = Ledger(tmp_path, server.address)
    launch = ledger.launches.open("late", {})
    done, late = (
        ledger.runs.client.create_run(
            ledger.runs.experiment_id, tags={"identity": how, "kind": "trial", f"study.{study}": "yes"}
        )
        for study in ("one", "another")
    )
    ledger.close_trial(done.info.run_id, TrialState.FINISHED)
    ledger.launches.close(launch, TrialState.FINISHED, {})
    assert ledger.trials()[how].run_id == ledger.find(how).run_id == done.info.run_id
    if how == "launch":
        clean_up(ledger, launched(ledger))
    elif how == "doctor":
        folders = Folders(store=ledger.root, data=tmp_path, cache=tmp_path, server=ledger.server)
        assert how in " ".join(each.text for each in check_server(folders, fix=False) if each.level == "fixable")
        assert how in " ".join(each.text for each in check_server(folders, fix=True) if each.level == "fixed")
    else:
        clean_up_idle(ledger)
    [run] = ledger.runs.with_tag("identity", how)
    assert run.info.run_id == done.info.run_id
    assert ledger.find(how).studies == {"one", "another"}
    assert ledger.runs.client.get_run(late.info.run_id).info.status == "KILLED"


def test_a_lease_that_a_proxy_gives_back_twice_is_given_back(proxied: Callable[..., Proxy], tmp_path: Path) -> None:
    proxy = proxied(runs_delete_tag=repeat("twice"))
    ledger = Ledger(tmp_path, proxy.address)
    launch = ledger.launches.open("twice", {})
    ledger.launches.lock(launch, "trial")
    ledger.launches.unlock(launch, "trial")
    assert proxy.done["twice"] == 1
    assert ledger.launches.lock_holders("trial") == []
    ledger.launches.close(launch, TrialState.FINISHED, {})


@pytest.mark.parametrize("fault", ["refuse", "page"])
def test_a_file_that_a_proxy_took_in_the_server_s_place_is_sent_again(
    proxied: Callable[..., Proxy], tmp_path: Path, fault: str
) -> None:
    proxy = proxied(**{"note.txt": iter([fault])})
    ledger = Ledger(tmp_path / "here", proxy.address)
    launch = ledger.launches.open("files", {})
    run_id = ledger.open_trial(f"filed {fault}", launch=launch, name="filed", tags={}).run_id
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "note.txt").write_text("kept")
    told: list[str] = []
    ledger.retry(lambda: ledger.close_trial(run_id, TrialState.FINISHED, artifacts=tmp_path / "files"), log=told.append)
    ledger.launches.close(launch, TrialState.FINISHED, {})
    assert ledger.artifacts.path(run_id, "note.txt").read_text() == "kept"
    assert len(told) == 2


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


def test_a_study_behind_such_a_proxy_ends_well_with_one_run_of_each_trial(
    ray_cluster: None,
    proxied: Callable[..., Proxy],
    tmp_path: Path,
    cache_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The proxy lets the command open the store; from then on nothing can be relied upon."""
    (tmp_path / "proxied.py").write_text(STUDY)
    monkeypatch.setattr(search_spaces, "__path__", [*search_spaces.__path__, str(tmp_path)])
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
    monkeypatch.setattr(sys, "argv", ["run_study.py", "run", "proxied", *where])
    with pytest.raises(SystemExit) as end:
        run_study.main()
    told = capsys.readouterr().out
    assert end.value.code == 0, told
    assert "Traceback" not in told
    assert "failed with error code 401" in told
    assert "not in a valid JSON format" in told
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
