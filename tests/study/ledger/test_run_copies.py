"""study.ledger.run_copies: whole or unseen, once."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Run

from study.ledger.ledger import Ledger
from study.ledger.orphans import find_orphans
from study.ledger.other_store import open_other_store
from study.ledger.records import Rehearsal
from study.ledger.run_copies import RunCopies
from study.ledger.schema import PARENT_TAG, SOURCE_RUN_TAG, SOURCE_STORE_TAG
from study.ledger.states import TrialState
from study.maintenance.checks.store import check_store
from study.plan import Folders
from tests.ports import unused_port
from tests.study.ledger.merged_stores import merge, write_trial
from tests.study.servers import Server

OWN = {PARENT_TAG, SOURCE_RUN_TAG, SOURCE_STORE_TAG}
"""Tags in which a copy may differ from its run."""


@pytest.fixture
def target(tmp_path_factory: pytest.TempPathFactory, new_ledger: Callable[[Path], Ledger]) -> Ledger:
    return new_ledger(tmp_path_factory.mktemp("target"))


def values(ledger: Ledger, run: Run) -> tuple[Any, ...]:
    """Return all of a run that a copy has, read through MLflow."""
    client = MlflowClient(ledger.uri)
    points = [point for name in run.data.metrics for point in client.get_metric_history(run.info.run_id, name)]
    curves = sorted((each.key, each.step, each.timestamp, str(each.value)) for each in points)
    tags = {name: value for name, value in run.data.tags.items() if name not in OWN}
    latest = {name: str(value) for name, value in run.data.metrics.items()}
    files = {
        name: ledger.artifacts.path(run.info.run_id, name).read_bytes()
        for name in ledger.artifacts.sizes(run.info.run_id)
    }
    info = run.info
    return (info.run_name, info.status, info.start_time, info.end_time), run.data.params, tags, latest, curves, files


def large_trial(ledger: Ledger) -> None:
    """A trial with more of everything than MLflow writes at once."""
    many = {f"study.s{number}": "yes" for number in range(150)} | {"search.s.0": '{"cell":{},"number":0,"point":{}}'}
    config = {f"field{number}": number for number in range(130)}
    run_id = write_trial(ledger, "large", config=config, steps=4, tags=many)
    points = [Metric("images_per_s", step / 2, step, step) for step in range(1100)]
    for start in range(0, 1100, 1000):
        ledger.runs.client.log_batch(run_id, points[start : start + 1000])
    ledger.runs.client.log_batch(run_id, [Metric("odd", math.nan, 7, 1), Metric("odd", math.inf, 7, 2)])


def by_name(ledger: Ledger) -> dict[str, Run]:
    return {str(run.info.run_name): run for run in ledger.runs.search("tags.identity != ''")}


def test_a_copy_is_the_run_with_its_curves_files_and_times(ledger: Ledger, target: Ledger) -> None:
    large_trial(ledger)
    for state in (TrialState.DIVERGED, TrialState.PRUNED):
        write_trial(ledger, state, state)
    merge(ledger, target)
    ours, theirs = by_name(ledger), by_name(target)
    assert ours.keys() == theirs.keys() == {"trial large", "trial diverged", "trial pruned"}
    for name, run in ours.items():
        assert values(target, theirs[name]) == values(ledger, run)
        assert theirs[name].data.tags[SOURCE_RUN_TAG] == run.info.run_id
        assert theirs[name].data.tags[SOURCE_STORE_TAG] == str(ledger.root)
        launch, copy = (
            each.runs.client.get_run(each.trials()[run.data.tags["identity"]].launch) for each in (ledger, target)
        )
        assert values(target, copy) == values(ledger, launch)


class KilledError(Exception):
    """Raised in place of a process that dies."""


WRITES = ("create_run", "log_batch", "set_terminated", "delete_tag", "delete_run")
"""Methods of MLflow's client that write."""


def test_a_copy_that_was_killed_is_nothing_to_others_and_is_completed_later(
    ledger: Ledger, target: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each trial is killed at another one of the requests that write it."""
    names = [f"t{number}" for number in range(8)]
    place = '{"cell":{},"number":0,"point":{}}'
    there, here = (each.launches.open("example", {}) for each in (ledger, target))
    for name in names:
        write_trial(ledger, name, launch=there, steps=1, tags={"search.s.0": place})
        write_trial(target, name, TrialState.INTERRUPTED, launch=here, steps=1, files=(), tags={"study.mine": "yes"})
    num_left = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            nonlocal num_left
            num_left -= 1
            if num_left < 0:
                raise KilledError
            return real(*arguments, **keywords)

        return call

    num_killed = 0
    with open_other_store(ledger.root, "") as other, monkeypatch.context() as patch:
        for write in WRITES:
            patch.setattr(target.runs.client, write, counted(getattr(target.runs.client, write)))
        for number, name in enumerate(names):
            num_left = number
            try:
                RunCopies(other, target).add_trial(other.trials[name], other.trials[name].tags, {})
                target.runs.merge_duplicates(name)
            except KilledError:
                num_killed += 1
    assert num_killed == 7, "of as many requests; the last trial is copied whole"
    for name, trial in target.trials().items():
        is_whole = target.artifacts.sizes(trial.run_id).keys() >= {"config.json"} and "test_accuracy" in trial.metrics
        assert (trial.state == TrialState.FINISHED) == is_whole, name
        assert target.search_trials("search.s.0", {}, 0).keys() <= target.trials().keys()
    for orphan in list(find_orphans(target)):
        orphan.remove()
    merge(ledger, target)
    assert {trial.state for trial in target.trials().values()} == {TrialState.FINISHED}
    assert target.runs.duplicates() == []
    runs = target.runs.by_tag("identity")
    assert [len(runs[name]) for name in names] == [1] * len(names)
    assert {runs[name][0].data.tags["study.mine"] for name in names} == {"yes"}, "studies of the run in its place stay"
    assert len(target.runs.search(f"tags.`{SOURCE_RUN_TAG}` != '' and tags.kind != 'launch'")) == len(names)
    assert merge(ledger, target).is_empty


def test_a_cleanup_leaves_a_copy_that_is_being_written(
    ledger: Ledger, target: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock is that of its trial, which the merge holds."""
    write_trial(ledger, "a")
    upload = target.artifacts.upload
    seen: list[str] = []

    def look(run_id: str, files: Path) -> None:
        seen.extend(each.owner for each in find_orphans(target) if each.kind.startswith("RUNNING"))
        upload(run_id, files)

    monkeypatch.setattr(target.artifacts, "upload", look)
    merge(ledger, target)
    assert "a" in seen


def test_launches_and_rehearsals_come_once_and_never_back(ledger: Ledger, target: Ledger) -> None:
    write_trial(ledger, "a")
    rehearsal = Rehearsal(
        params={"batch_size": "8"}, environment={"device": "cpu"}, step_time_s=2.0, eval_images_per_s=3.0
    )
    ledger.rehearsals.add(rehearsal, name="r", tags={})
    deleted = ledger.launches.open("example", {"scale": "nano"})
    ledger.registrations.write(deleted, "0123", {"record.json": "{}"})
    ledger.runs.delete(deleted)
    running = ledger.launches.open("running", {"held_lock.x": "yes", "heartbeat": "4"})
    merge(ledger, target)
    assert target.rehearsals.read() == [rehearsal]
    [stored] = target.registrations.read({"scale": "nano"})
    assert (stored.digest, stored.text, stored.deleted) == ("0123", "{}", True)
    assert stored.start_s == ledger.registrations.read({"scale": "nano"})[0].start_s
    assert target.launches.running() == {}
    [copy] = [each for each in target.launches.infos().values() if each.tags.get(SOURCE_RUN_TAG) == running]
    assert copy.tags.keys().isdisjoint({"held_lock.x", "heartbeat"})
    num_launches = len(ledger.launches.infos())
    assert merge(ledger, target).is_empty
    ledger.launches.close(running, TrialState.FINISHED, {"num_finished": 2.0})
    assert merge(ledger, target).num_launches == 1, "it has ended since"
    assert target.launches.infos()[copy.run_id].metrics == {"num_finished": 2.0}
    assert target.launches.infos()[copy.run_id].status == "FINISHED"
    back = merge(target, ledger)
    assert (back.to_take, back.num_rehearsals) == ([], 0)
    of_merges = [each for each in target.launches.infos().values() if each.tags["study"].startswith("merge of")]
    assert len(ledger.launches.infos()) - num_launches == len(of_merges) + 1, "of launches, only those of the merges"


@pytest.mark.slow
def test_a_store_goes_to_a_server_and_back(
    ledger: Ledger, target: Ledger, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("server")
    server = Server(folder, unused_port())
    try:
        large_trial(ledger)
        write_trial(ledger, "stopped", TrialState.INTERRUPTED)
        on_server = Ledger(folder / "local", server.address)
        merge(ledger, on_server)
        assert merge(ledger, on_server).is_empty
        merge(on_server, target)
        assert merge(on_server, target).is_empty
        for store in (on_server, target):
            assert values(store, by_name(store)["trial large"]) == values(ledger, by_name(ledger)["trial large"])
            assert by_name(store).keys() == {"trial large"}
        assert by_name(target)["trial large"].data.tags[SOURCE_STORE_TAG] == str(ledger.root)
        assert on_server.launches.running() == {}
    finally:
        server.kill()


def test_doctor_finds_nothing_in_a_merged_store(ledger: Ledger, target: Ledger, tmp_path: Path) -> None:
    write_trial(ledger, "a", TrialState.DIVERGED, tags={"digest.splits": "0"})
    merge(ledger, target)
    folders = Folders(store=target.root, data=tmp_path, cache=tmp_path)
    assert [each.text for each in check_store(folders, fix=False) if not each.is_healthy] == []
