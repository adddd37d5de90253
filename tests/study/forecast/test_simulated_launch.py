"""Launches that only count seconds; tests/benchmarks/test_packing.py has whole studies."""

from pathlib import Path

import pytest

import search_spaces
from search_spaces.framework.ranges import Range
from search_spaces.framework.search import Search
from study.forecast.queue import TrialQueue
from study.forecast.simulated_launch import SimulatedLaunch, SimulatedStudy, simulated_plan, simulated_study
from study.forecast.trial_costs import TrialCosts
from study.plan import Folders
from study.trial import Trial
from tests.study.made_plans import plan_of, record_of


@pytest.fixture
def folders(tmp_path: Path, cache_dir: Path) -> Folders:
    return Folders(store=tmp_path, data=tmp_path, cache=cache_dir)


def seconds_on(study: SimulatedStudy, num_devices: int) -> float:
    costs = TrialCosts(study.all_trials)

    def seconds(trial: Trial) -> float:
        return 10.0

    return SimulatedLaunch(study, TrialQueue(costs), costs, seconds).run(num_devices)


def test_trials_share_the_devices(folders: Folders) -> None:
    study = simulated_plan(plan_of(folders))
    assert [seconds_on(study, count) for count in (1, 2, 3, 4, 9)] == [40, 20, 20, 10, 10]


def test_only_what_is_left_is_simulated(folders: Folders) -> None:
    plan = plan_of(folders)
    records = {trial.identity: record_of(trial) for trial in plan.trials[:3]}
    assert simulated_plan(plan_of(folders, records)).all_trials == plan_of(folders, records).to_run


@pytest.mark.parametrize("test_sets", [(), ("mnist_5k",)])
def test_tested_trials_wait_for_their_search(folders: Folders, test_sets: tuple[str, ...]) -> None:
    """Two cells of three points and two seeds each: points, then the tested trials. Points read no further test set."""
    plan = plan_of(
        folders,
        fixed={"test_sets": test_sets},
        scientific={"schedule.name": ("cosine", "constant")},
        nuisance={"optimizer.lr": Range(1e-3, 1e-1, log=True)},
        search=Search(num_trials=3),
    )
    study = simulated_plan(plan)
    assert len(study.all_trials) == len(plan.to_run) + plan.num_unknown == 10
    assert len({trial.identity for trial in study.all_trials}) == 10
    assert [seconds_on(study, count) for count in (1, 100)] == [100, 20]


def test_a_trial_of_two_studies_is_trained_once_also_where_its_data_is_missing() -> None:
    space = search_spaces.load("resolution")
    whole = simulated_study([space, space])
    assert len(whole.all_trials) == len(simulated_study([space]).all_trials) == 30
    assert len(simulated_study([space], num_seeds=1).all_trials) == 10
