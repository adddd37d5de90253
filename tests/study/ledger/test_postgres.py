"""A tracking server on PostgreSQL keeps what one on SQLite keeps."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from study.ledger.ledger import Ledger
from study.ledger.records import SearchTag, TrialUpdate
from study.ledger.runs import MAX_NAME_CHARS
from study.ledger.server_locks import ServerLocks
from study.ledger.states import TrialState
from tests.study.ledger.trial_runs import opened, rows, runs_of
from tests.study.servers import ON_POSTGRES, Postgres

pytestmark = [pytest.mark.slow, ON_POSTGRES]


@pytest.fixture
def shared(machine: Callable[[str], Ledger]) -> Iterator[Ledger]:
    """The ledger; no launch in it is left open for other tests."""
    ledger = machine("one")
    yield ledger
    for launch in ledger.launches.running():
        ledger.launches.close(launch, TrialState.FINISHED, {})


def test_what_is_written_is_read_back_on_another_machine(shared: Ledger, machine: Callable[[str], Ledger]) -> None:
    """Values at the ends of their ranges, and the same rows twice."""
    run_id = opened(shared, "all-values", study="values")
    values = {"tiny": 5e-324, "large": 1e308, "nan": float("nan"), "third": 1 / 3}
    update = TrialUpdate(config={"text": "x" * 6000, "empty": ""}, rows=rows({"step": 2**40, **values}))
    for _ in range(2):
        shared.log(run_id, update)
    shared.close_trial(run_id, TrialState.FINISHED, update=TrialUpdate(tags={"cell.values": "é🙂" * 4000}))
    record = machine("other").trials()["all-values"]
    assert (record.state, record.last_step) == (TrialState.FINISHED, 2**40)
    assert {name: repr(record.metrics[name]) for name in values} == {name: repr(each) for name, each in values.items()}
    assert record.params == update.config
    assert record.tags["cell.values"] == "é🙂" * 4000
    assert [machine("other").curve(run_id, name) for name in ("tiny", "third")] == [[(2**40, 5e-324)], [(2**40, 1 / 3)]]


def test_no_text_of_a_trial_is_refused(shared: Ledger) -> None:
    """A server would answer that the error is its own, and the study would wait for it."""
    launch = shared.launches.open("texts", {"command": "run \udcff\0"})
    name = "axis=value\0 " * 100
    record = shared.open_trial("texts", launch=launch, name=name, tags={})
    shared.close_trial(record.run_id, TrialState.FAILED, message="bad header: PK\x03\0\udcff", failure="code")
    run = shared.runs.client.get_run(record.run_id)
    assert run.info.run_name == name.replace("\0", "\ufffd")[:MAX_NAME_CHARS]
    assert run.data.tags["message"] == "bad header: PK\x03\ufffd?"
    assert shared.runs.client.get_run(launch).data.tags["command"] == "run ?\ufffd"


def test_the_points_of_a_search_are_found_by_cell_and_number(shared: Ledger) -> None:
    """Letters in both cases, wildcards, quotes: each point is found as it is written."""
    cells = [{"model": name} for name in ("vit", "ViT", "v_t", "v%t\\'\"", "wé")]
    launch = shared.launches.open("points", {})
    for number, cell in enumerate(cells):
        tags = {"search.points.key": SearchTag(cell=cell, number=1, point={"lr": 0.1}).to_json()}
        shared.open_trial(f"point{number}", launch=launch, name="point", tags=tags)
    for number, cell in enumerate(cells):
        found = shared.search_trials("search.points.key", cell, 1)
        exact = {
            name for name, each in found.items() if SearchTag.from_json(each.tags["search.points.key"]).cell == cell
        }
        assert exact == {f"point{number}"}
        assert shared.search_trials("search.points.key", cell, 11) == {}
    assert set(shared.search_trials("search.points.key", {"model": "vit"}, 1)) == {"point0"}
    changed = shared.changed_trials()
    assert {f"point{number}" for number in range(len(cells))} <= changed.keys()


def test_machines_that_write_at_once_lose_nothing(shared: Ledger, machine: Callable[[str], Ledger]) -> None:
    """Rows of a trial each, and tags of one trial that all of them want; each request comes twice."""
    ledgers = [shared, *(machine(str(number)) for number in range(3))]
    shared_run = opened(ledgers[0], "of-all", study="writers")
    meet = threading.Barrier(len(ledgers), timeout=120)  # one that fails to come is an error, not a wait

    def write(number: int) -> str:
        ledger = ledgers[number]
        # a launch, too, repeats a request that the server could not answer
        run_id = ledger.retry(lambda: opened(ledger, f"writer{number}", study="writers"), log=print)
        meet.wait()
        for step in range(1, 6):
            for _ in range(2):
                ledger.log(run_id, TrialUpdate(rows=rows({"step": step, "lr": step / 7})))
            ledger.runs.tag(shared_run, {f"study.writer{number}": "yes", "study.of_all": "yes"})
        ledger.close_trial(run_id, TrialState.FINISHED)
        return run_id

    with ThreadPoolExecutor(len(ledgers)) as pool:
        run_ids = list(pool.map(write, range(len(ledgers))))
    assert [ledgers[0].curve(each, "lr") for each in run_ids] == [[(step, step / 7) for step in range(1, 6)]] * 4
    assert len(runs_of(ledgers[0], "writers")) == 5 + 5
    assert ledgers[0].trials()["of-all"].studies == {"writers", "of_all", *(f"writer{number}" for number in range(4))}


def test_while_the_database_restarts_nothing_is_lost(
    shared: Ledger, postgres: Postgres, launched: Callable[[Ledger], ServerLocks], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connections end, and requests fail, until it is there again."""
    monkeypatch.setattr("study.system.retry.MIN_WAIT_S", 0.05)
    locks, run_id, logged = launched(shared), opened(shared, "outlives", study="restart"), list[str]()
    assert locks.acquire("outlives")
    postgres.kill()
    starting = threading.Timer(1, postgres.start)
    starting.start()
    shared.retry(lambda: shared.close_trial(run_id, TrialState.FINISHED), log=logged.append)
    starting.join()
    assert ["cannot be written for now" in logged[0], len(logged)] == [True, 2]
    locks.confirm()
    assert shared.trials()["outlives"].state is TrialState.FINISHED
    assert [each.holds("outlives") for each in shared.launches.lock_holders("outlives")] == [True]
