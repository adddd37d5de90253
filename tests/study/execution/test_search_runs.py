"""Searches through real Ray, on real stores: what they trained is read back from the ledger."""

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from revit.errors import InputError
from search_spaces.framework.ranges import Range
from search_spaces.framework.search import Search
from search_spaces.framework.space import SearchSpace
from study.analysis.results import cell_table
from study.execution.resources import ResourceRequest
from study.execution.runner import run_plans
from study.ledger.ledger import Ledger
from study.ledger.records import SearchTag, TrialRecord
from study.ledger.states import TrialState
from study.plan import Folders, Plan
from study.planning import make_plan
from tests.conftest import single_slot
from tests.study.execution.stores import BASE, QUIET, Studies
from tests.study.servers import Server

SHORT = BASE.with_values({"steps": 6})
LEARNING = BASE.with_values({"steps": 16})
LR = Range(1e-3, 1e-1, log=True)


def space_of(name: str, **changes: Any) -> SearchSpace:
    """Return a space of one cell whose learning rate is searched, with some attributes changed."""
    given = {
        "name": name,
        "question": "?",
        "base": SHORT,
        "scientific": {"optimizer.name": ("sgd",)},
        "nuisance": {"optimizer.lr": LR},
        "seeds": (0,),
        **changes,
    }
    return SearchSpace(**given)


def tags_of(ledger: Ledger, plan: Plan) -> dict[str, SearchTag]:
    """Return the places in a study's search that the ledger has, by identity."""
    assert plan.planner is not None
    name = plan.planner.search_tag
    tags = {each.identity: SearchTag.from_json(each.tags.get(name, "")) for each in ledger.trials().values()}
    return {identity: tag for identity, tag in tags.items() if tag is not None}


def assert_nothing_is_open(ledger: Ledger) -> None:
    """Without a launch that runs, no run is open, and no file of one is left."""
    assert {run.status for run in ledger.run_infos()} <= {"FINISHED", "KILLED", "FAILED"}
    assert [list((ledger.root / name).glob("*")) for name in ("work", "tune", "locks")] == [[], [], []]


def test_a_conditional_space_with_two_objectives_is_searched_then_tested(studies: Studies, one_slot: None) -> None:
    """No trial of a search reads the test split; those in the table are trained on the validation images, too."""
    space = space_of(
        "conditional",
        scientific={"optimizer.name": ("sgd", "adamw")},
        nuisance={
            "optimizer.lr": LR,
            "optimizer.weight_decay": Range(1e-3, 0.3, log=True, when={"optimizer.name": "adamw"}),
        },
        search=Search(
            sampler="tpe", num_trials=3, enqueue=({"optimizer.lr": 0.02},), objectives=("accuracy", "train_time_s")
        ),
        seeds=(0, 1),
    )
    plan, result = studies.run(space)
    assert plan.is_complete
    assert Counter(result.states.values()) == {TrialState.FINISHED: 2 * 3 + 2 * 2}
    for search in plan.searches:
        assert [point.number for point in search.points] == [0, 1, 2]
        assert search.points[0].values["optimizer.lr"] == 0.02
        assert set(search.points[0].values) == set(search.cell.axes)
        assert all(len(past.objectives) == 2 and past.objectives[1] > 0 for past in search.history)
        best = max(search.points, key=lambda point: point.trials[0].record.metrics["selected_val_accuracy"])
        assert search.chosen == best.values
        for trial in (trial for point in search.points for trial in point.trials):
            assert [name for name in trial.record.metrics if "test" in name] == []
            assert trial.record.tags["phase"] == "search"
            with pytest.raises(KeyError, match="test"):
                studies.ledger.artifacts.read_predictions(trial.record.run_id, ("prediction",))
    for trial in plan.trials:
        chosen = next(each.chosen for each in plan.searches if each.cell.values == trial.candidate.requested_values)
        assert trial.candidate.nuisance == chosen
        assert trial.record.tags["phase"] == "test"
        assert trial.record.tags["num_train"] == trial.record.tags["num_all"]
        assert int(trial.record.tags["num_train"]) > int(plan.searches[0].points[0].trials[0].record.tags["num_train"])
    assert cell_table(plan)["n"].tolist() == [2, 2]
    assert_nothing_is_open(studies.ledger)


SAMPLERS: list[Any] = ["quasi_random", "gp"]
"""Other tests run the other samplers."""
PART = space_of(
    "part",
    base=SHORT.with_values({"data_fraction": 0.5}),
    scientific={"schedule.name": ("cosine", "plateau")},
    nuisance={"optimizer.lr": (0.02, 0.04)},
    seeds=(0, 1),
)


@pytest.fixture(scope="module")
def searched(studies: Studies) -> dict[str, Plan]:
    """Plans after one launch, by study: each launch starts a worker, which imports for seconds."""
    spaces = [space_of(name, search=Search(sampler=name, num_trials=2)) for name in SAMPLERS]
    plans = [studies.plan(space) for space in (*spaces, PART)]
    with single_slot():
        result = run_plans(plans, studies.ledger, QUIET, ResourceRequest(), {})
    assert result.stop_reason == ""
    return {plan.space.name: plan.with_records(studies.ledger.trials()) for plan in plans}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_sampler_runs_to_the_end_of_its_points(studies: Studies, searched: dict[str, Plan], sampler: str) -> None:
    plan = searched[sampler]
    assert plan.is_complete
    points = [tag.point["optimizer.lr"] for tag in tags_of(studies.ledger, plan).values()]
    assert len(set(points)) == len(points) == 2
    assert [trial.state for trial in plan.trials] == [TrialState.FINISHED]


@pytest.mark.parametrize("pruner", ["successive_halving", "median"])
def test_pruned_points_keep_their_curves_and_fill_no_cell(studies: Studies, one_slot: None, pruner: Any) -> None:
    """Four points learn something, two nothing. A second command has nothing to run."""
    rates = (0.3, 0.25, 0.2, 0.1, 1e-6, 2e-6)
    space = space_of(pruner, base=LEARNING, nuisance={"optimizer.lr": rates}, search=Search(pruner=pruner))
    plan = studies.plan(space)
    run_plans([plan], studies.ledger, QUIET, ResourceRequest(), {})
    plan = plan.with_records(studies.ledger.trials())
    [search] = plan.searches
    pruned = [point for point in search.points if point.state == TrialState.PRUNED]
    assert {point.number for point in pruned} & {4, 5}
    assert plan.is_complete
    assert plan.trials[0].candidate.nuisance == search.chosen == search.best.values
    assert search.best.state == TrialState.FINISHED
    for point in pruned:
        record = point.trials[0].record
        steps = [step for step, _ in studies.ledger.curve(record.run_id, "val_accuracy")]
        assert steps and max(steps) < 16
        assert record.metrics["train_time_s"] > 0
    assert cell_table(plan)["n"].tolist() == [1]
    _, none = studies.run(space)
    assert none.states == {}
    assert_nothing_is_open(studies.ledger)


def test_seeds_of_a_point_run_one_after_the_other_until_it_is_given_up(studies: Studies, one_slot: None) -> None:
    search = Search(pruner="wilcoxon", seeds=(0, 1, 2, 3, 4))
    space = space_of("by_seeds", base=LEARNING, nuisance={"optimizer.lr": (0.1, 1e-6)}, search=search)
    plan = studies.plan(space)
    run_plans([plan], studies.ledger, QUIET, ResourceRequest(), {})
    plan = studies.plan(space)
    good, bad = plan.searches[0].points
    assert (good.state, bad.state) == (TrialState.FINISHED, TrialState.PRUNED)
    assert [trial.state for trial in bad.trials] == [*[TrialState.FINISHED] * 4, TrialState.NEW]
    assert plan.is_complete


def test_a_plateau_cell_keeps_its_validation_images_and_a_fraction_of_the_data_is_searched_and_tested(
    searched: dict[str, Plan],
) -> None:
    plan = searched[PART.name]
    assert plan.is_complete
    sizes = {
        (trial.candidate.config.schedule.name, trial.candidate.config.val_fraction > 0): int(
            trial.record.tags["num_train"]
        )
        for trial in plan.trials
    }
    searched = {int(point.trials[0].record.tags["num_train"]) for search in plan.searches for point in search.points}
    assert set(sizes) == {("cosine", False), ("plateau", True)}
    assert {sizes["plateau", True]} == searched
    assert sizes["cosine", False] > sizes["plateau", True]
    assert math.isclose(sizes["cosine", False] / (2 * sizes["plateau", True]), 0.5 / 0.9, rel_tol=0.01)


@pytest.mark.timeout(500)
def test_a_search_that_cannot_be_asked_ends_the_launch_in_one_line(
    studies: Studies, one_slot: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No trial has begun: Tune would ask again for ten minutes, which is longer than a test may take."""

    def fail(ledger: Ledger) -> None:
        raise InputError("no such tag")

    monkeypatch.setattr(Ledger, "changed_trials", fail)
    _, result = studies.run(space_of("unasked", search=Search(sampler="random", num_trials=2)))
    assert result.stop_reason == "the study was stopped: no trial can be started: no such tag"
    assert result.states == {}
    assert_nothing_is_open(studies.ledger)


def test_a_search_that_is_interrupted_goes_on(studies: Studies, one_slot: None) -> None:
    space = space_of("interrupted", base=BASE.with_values({"steps": 60}), search=Search(sampler="random", num_trials=4))
    plan = studies.plan(space)

    def interrupt() -> None:
        while TrialState.FINISHED not in [each.state for each in plan.with_records(studies.ledger.trials()).all_trials]:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    result = run_plans([plan], studies.ledger, QUIET, ResourceRequest(), {})
    thread.join()
    assert result.interrupted
    assert {run.status for run in studies.ledger.run_infos()} <= {"FINISHED", "KILLED", "FAILED", "SCHEDULED"}
    plan, _ = studies.run(space)
    assert plan.is_complete
    assert sorted(tag.number for tag in tags_of(studies.ledger, plan).values()) == [0, 1, 2, 3]
    assert_nothing_is_open(studies.ledger)


LAUNCH = """
import sys
from pathlib import Path
from rich.console import Console
from study.execution import admission, runner
from study.execution.resources import Node, ResourceRequest
from study.ledger.ledger import Ledger
from study.plan import Folders
from study.planning import make_plan
from tests.study.execution.test_search_runs import KILLED, SHARED

space = {"killed": KILLED, "shared": SHARED}[sys.argv[1]]
root, cache, server = Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
admission.find_nodes = lambda: [Node(cpus=1, gpus=0)]
ledger = Ledger(root, server)
plan = make_plan(space, space.seeds, Folders(store=root, data=root, cache=cache, server=server), ledger.trials())
result = runner.run_plans([plan], ledger, Console(quiet=True), ResourceRequest(), {})
print("TRAINED", *result.states)
assert plan.with_records(ledger.trials()).is_complete
"""

KILLED = space_of(
    "killed", base=BASE.with_values({"steps": 40, "num_evals": 10}), search=Search(sampler="tpe", num_trials=5)
)
SHARED = space_of(
    "shared", base=BASE.with_values({"steps": 40}), scientific={"optimizer.name": ("sgd", "adam")},
    search=Search(sampler="tpe", num_trials=4),
)  # fmt: skip


def launch(space: str, root: Path, cache: Path, server: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", LAUNCH, space, str(root), str(cache), server]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )  # fmt: skip


@pytest.mark.long
def test_a_search_that_is_killed_asks_for_the_points_that_it_would_have_asked_for(
    ray_cluster: None, one_slot: None, tmp_path: Path, cache_dir: Path
) -> None:
    """The launch dies with all of its workers while its third trial runs."""
    folders = Folders(store=tmp_path / "whole", data=tmp_path, cache=cache_dir)
    whole = Ledger(folders.store)
    plan = make_plan(KILLED, KILLED.seeds, folders, {})
    expected = run_plans([plan], whole, QUIET, ResourceRequest(), {})
    killed = Ledger(tmp_path / "killed")
    with launch("killed", killed.root, cache_dir) as process:
        records: list[TrialRecord] = []
        while [each.state for each in records].count(TrialState.FINISHED) < 2 or not [
            each for each in records if each.state == TrialState.RUNNING and each.last_step
        ]:
            assert process.poll() is None, process.stderr.read()
            records = list(killed.trials().values())
        os.killpg(process.pid, signal.SIGKILL)
    begun = dict(killed.trials())
    assert 3 <= len(begun) < len(expected.states), "it may have been a little further before it died"
    again = make_plan(KILLED, KILLED.seeds, folders, begun)
    result = run_plans([again], killed, QUIET, ResourceRequest(), {})
    ended = list(dict.fromkeys([*reversed(begun), *result.states]))
    assert ended == list(expected.states)
    assert tags_of(killed, plan) == tags_of(whole, plan)
    for identity, record in whole.trials().items():
        ours = {name: value for name, value in record.metrics.items() if "_s" not in name and "bytes" not in name}
        theirs = killed.trials()[identity].metrics
        assert {name: theirs[name] for name in ours} == ours
    assert again.with_records(killed.trials()).is_complete
    assert_nothing_is_open(killed)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("on_server", [False, True], ids=["folder", "server"])
def test_two_launches_of_one_search_train_no_point_twice(
    request: pytest.FixtureRequest, tmp_path: Path, cache_dir: Path, *, on_server: bool
) -> None:
    """In a folder, both of them create the tables of the store.

    Short: launches in one process, in test_point_asker.py; processes on one server, in test_shared_server.py.
    """
    address = request.getfixturevalue("server").address if on_server else ""
    roots = [tmp_path / (name if on_server else "store") for name in ("one", "other")]
    launches = [launch("shared", root, cache_dir, address) for root in roots]
    outputs = [process.communicate(timeout=280) for process in launches]
    assert [process.returncode for process in launches] == [0, 0], outputs
    trained = [identity for stdout, _ in outputs for identity in stdout.split("TRAINED")[1].split()]
    assert len(trained) == len(set(trained)) == 2 * (4 + 1)
    ledger = Ledger(roots[0], address)
    folders = Folders(store=roots[0], data=tmp_path, cache=cache_dir, server=address)
    plan = make_plan(SHARED, SHARED.seeds, folders, ledger.trials())
    assert [[point.number for point in search.points] for search in plan.searches] == [[0, 1, 2, 3]] * 2
    assert len({(str(tag.cell), str(tag.point)) for tag in tags_of(ledger, plan).values()}) == 8
    assert [trial.state for trial in plan.trials] == [TrialState.FINISHED] * 2
    assert Counter(run.status for run in ledger.run_infos() if "shared" in run.studies) == {"FINISHED": 10 + 2}


@pytest.mark.long
@pytest.mark.slow
def test_a_search_goes_on_while_its_server_is_away(
    server: Server, ray_cluster: None, tmp_path: Path, cache_dir: Path
) -> None:
    ledger = Ledger(tmp_path / "mlruns", server.address)
    folders = Folders(store=ledger.root, data=tmp_path, cache=cache_dir, server=server.address)
    space = space_of("away", base=BASE.with_values({"steps": 40}), search=Search(sampler="tpe", num_trials=4))
    plan = make_plan(space, space.seeds, folders, ledger.trials())

    def outage() -> None:
        while not any((ledger.root / "work").glob("*/artifacts/built.json")):
            time.sleep(0.05)
        server.kill()
        time.sleep(3)
        server.start()

    thread = threading.Thread(target=outage)
    thread.start()
    result = run_plans([plan], ledger, Console(quiet=True), ResourceRequest(), {})
    thread.join()
    assert Counter(result.states.values()) == {TrialState.FINISHED: 5}
    plan = plan.with_records(ledger.trials())
    assert plan.is_complete
    assert [point.number for point in plan.searches[0].points] == [0, 1, 2, 3]
    assert Counter(run.status for run in ledger.run_infos() if "away" in run.studies) == {"FINISHED": 5 + 1}
    assert_nothing_is_open(ledger)
