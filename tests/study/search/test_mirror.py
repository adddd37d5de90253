"""The mirror for optuna-dashboard: as a reader of its file or its pages finds it."""

import json
import urllib.request
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from revit.errors import InputError
from search_spaces.framework.search import Search
from study.ledger.states import TrialState
from study.plan import Plan
from study.planning import Planner
from study.search.mirror import open_mirror, serve
from study.search.optuna_study import OPTUNA_STATES
from tests.study.searched_study import SPACE, at_best_lr, make_planner, search_points

NAMES = ("searched: optimizer=sgd", "searched: optimizer=adamw")
TWO = replace(SPACE, search=Search(sampler="random", num_trials=6, objectives=("accuracy", "train_time_s")))


@pytest.fixture
def planner(tmp_path: Path, cache_dir: Path) -> Planner:
    return make_planner(tmp_path, cache_dir, TWO)


def read(path: Path) -> dict[str, list[optuna.trial.FrozenTrial]]:
    storage = JournalStorage(JournalFileBackend(str(path)))
    names = [study.study_name for study in storage.get_all_studies()]
    return {name: optuna.load_study(study_name=name, storage=storage).trials for name in names}


def with_state(planner: Planner, state: TrialState, num_points: int = 3) -> Plan:
    """Return the plan once the last point of sgd is in a state, and the others have finished."""
    records = search_points(planner, at_best_lr(3e-3), num_points)
    last = planner.plan(records).searches[0].points[-1].trials[0].identity
    return planner.plan({**records, last: replace(records[last], state=state)})


def test_a_running_point_is_completed_in_its_place(planner: Planner, tmp_path: Path) -> None:
    path = tmp_path / "optuna" / "searched.journal"
    with open_mirror(path) as mirror:
        for state in (TrialState.RUNNING, TrialState.RUNNING, TrialState.FINISHED):
            plan = with_state(planner, state)
            mirror.update(dict(zip(NAMES, plan.searches, strict=True)))
            found = read(path)
            assert tuple(found) == NAMES
            for search, trials in zip(plan.searches, found.values(), strict=True):
                past = search.history
                states = [OPTUNA_STATES.get(each.state, optuna.trial.TrialState.RUNNING) for each in past]
                assert [trial.state for trial in trials] == states
                assert [trial.params for trial in trials] == [each.values for each in past]
                assert [tuple(trial.values or ()) for trial in trials] == [each.objectives for each in past]
                assert [trial.intermediate_values for trial in trials] == [each.curve for each in past]


def test_a_failed_point_that_is_trained_again_is_a_further_trial(planner: Planner, tmp_path: Path) -> None:
    path = tmp_path / "searched.journal"
    with open_mirror(path) as mirror:
        for state in (TrialState.FAILED, TrialState.RUNNING, TrialState.FINISHED):
            mirror.update({NAMES[0]: with_state(planner, state).searches[0]})
    assert [trial.state.name for trial in read(path)[NAMES[0]]] == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE"]


def test_a_mirror_replaces_an_earlier_one(planner: Planner, tmp_path: Path) -> None:
    path = tmp_path / "searched.journal"
    for num_points in (3, 1):
        with open_mirror(path) as mirror:
            mirror.update({NAMES[0]: with_state(planner, TrialState.FINISHED, num_points).searches[0]})
    assert {name: len(trials) for name, trials in read(path).items()} == {NAMES[0]: 1}


def test_two_dashboards_of_a_study_do_not_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "searched.journal"
    with open_mirror(path), pytest.raises(InputError, match=r"open already: it writes .*searched\.journal"):
        open_mirror(path).__enter__()


def test_the_dashboard_answers_on_loopback_with_named_objectives(planner: Planner, tmp_path: Path) -> None:
    with open_mirror(tmp_path / "searched.journal") as mirror, serve(mirror, 0) as address:
        mirror.update(dict(zip(NAMES, with_state(planner, TrialState.DIVERGED).searches, strict=True)))
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{address}/api/studies/0") as answer:
            study = json.load(answer)
        assert study["name"] == NAMES[0]
        assert study["directions"] == ["maximize", "minimize"]
        assert study["objective_names"] == ["validation accuracy", "training time"]
        assert [trial["state"] for trial in study["trials"]] == ["Complete", "Complete", "Fail"]
        with urllib.request.urlopen(f"{address}/dashboard") as answer:
            assert b"<title>Optuna Dashboard" in answer.read()
        port = int(address.rpartition(":")[2])
        with pytest.raises(InputError, match=f"--port = {port}: cannot be listened on: Address already in use"):
            serve(mirror, port).__enter__()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(address)
