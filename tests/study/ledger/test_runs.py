"""study.ledger.runs: created once, merged, restored."""

import re
import shutil
from collections.abc import Callable
from itertools import repeat
from pathlib import Path

import pytest

from revit.errors import InputError
from study.ledger.ledger import Ledger
from study.ledger.orphans import clean_up, clean_up_idle
from study.ledger.records import TrialUpdate
from study.ledger.schema import EXPERIMENT, STATE_TAG
from study.ledger.server_locks import ServerLocks, begin_launch
from study.ledger.states import TrialState
from study.maintenance.checks.store import check_server
from study.plan import Folders
from study.system import retry
from tests.study.ledger.trial_runs import opened, rows, runs_of
from tests.study.servers import Proxy, Server


def test_a_run_that_is_deleted_while_it_is_written_is_restored_and_nothing_is_lost(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "MIN_WAIT_S", 0.01)
    run_id = opened(ledger)
    launch = ledger.trials()["a"].launch
    logged: list[str] = []
    for each in (run_id, launch):
        ledger.runs.delete(each)
    ledger.retry(lambda: ledger.log(run_id, TrialUpdate(rows=rows({"step": 1, "lr": 0.5}))), log=logged.append)
    ledger.runs.delete(run_id)
    ledger.retry(lambda: ledger.close_trial(run_id, TrialState.FINISHED), log=logged.append)
    ledger.retry(lambda: ledger.launches.close(launch, TrialState.FINISHED, {"num_finished": 1.0}), log=logged.append)
    assert [f"run {run_id} was deleted in MLflow" in line for line in logged[::2]] == [True, True, False]
    assert f"run {launch} was deleted in MLflow" in logged[-2]
    assert ledger.curve(run_id, "lr") == [(1, 0.5)]
    assert {entry.status for entry in ledger.run_infos()} == {"FINISHED"}
    assert not any(entry.deleted for entry in ledger.run_infos())


def test_of_a_deleted_experiment_nothing_is_written_and_that_is_one_line(ledger: Ledger) -> None:
    run_id = opened(ledger)
    ledger.runs.client.delete_experiment(ledger.runs.experiment_id)
    for write in (
        lambda: ledger.log(run_id, TrialUpdate(rows=rows({"step": 1, "lr": 0.5}))),
        lambda: ledger.close_trial(run_id, TrialState.FINISHED),
        lambda: ledger.launches.open("another", {}),
    ):
        with pytest.raises(InputError, match=f"experiment {EXPERIMENT} was deleted in MLflow: restore it"):
            write()


def test_a_state_that_somebody_wrote_by_hand_is_one_line(ledger: Ledger) -> None:
    run_id = opened(ledger)
    ledger.runs.tag(run_id, {STATE_TAG: "done"})
    with pytest.raises(InputError, match=f"run {run_id}: tag state = 'done': must be one of new, running, finished"):
        ledger.trials()


def test_texts_that_no_database_takes_are_replaced(ledger: Ledger) -> None:
    """A file name that is not text, in an error message; test_postgres.py has what PostgreSQL alone refuses."""
    run_id = opened(ledger)
    ledger.close_trial(run_id, TrialState.FAILED, message="a\0b\udcff", failure="data")
    launch = ledger.launches.open("texts", {"command": "run \udcff"})
    runs = ledger.runs.client
    assert runs.get_run(run_id).data.tags["message"] == "a\ufffdb?"
    assert runs.get_run(launch).data.tags["command"] == "run ?"


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["lose", "twice"])
def test_an_answer_that_is_lost_or_a_request_sent_twice_makes_no_second_run(
    proxied: Callable[..., Proxy], tmp_path: Path, fault: str
) -> None:
    proxy = proxied(runs_create=repeat(fault))
    ledger, study = Ledger(tmp_path, proxy.address), f"made {fault}"
    launches, _, locks = begin_launch({study: {}}, ledger, print)
    names = [f"{fault}{number}" for number in range(4)]
    for name in names:
        tags = {f"study.{study}": "yes"}
        record = ledger.retry(
            lambda name=name, tags=tags: ledger.open_trial(name, launch=launches[study], name=name, tags=tags),
            log=print,
        )
        ledger.close_trial(record.run_id, TrialState.FINISHED)
    ledger.launches.close(launches[study], TrialState.FINISHED, {})
    locks.release_all()
    assert proxy.done[fault] >= 4
    runs = runs_of(ledger, study)
    assert sorted(run.data.tags.get("identity", "launch") for run in runs) == sorted([*names, "launch"])
    assert {run.info.status for run in runs} == {"FINISHED"}
    deleted = ledger.runs.client.search_runs(
        [ledger.runs.experiment_id], f"tags.`study.{study}` = 'yes'", run_view_type=2
    )
    assert "RUNNING" not in {run.info.status for run in deleted}, "nor does whoever restores one find it so"


@pytest.mark.slow
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


def test_a_store_keeps_its_key_wherever_it_is(
    ledger: Ledger, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    moved = tmp_path_factory.mktemp("elsewhere") / "store"
    shutil.move(tmp_path, moved)
    assert Ledger(moved).runs.key == ledger.runs.key
    assert Ledger(tmp_path / "another").runs.key != ledger.runs.key
    assert re.fullmatch(r"\d+-\d+", ledger.runs.key)
