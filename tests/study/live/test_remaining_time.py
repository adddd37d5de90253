"""Time left of planned trials, with costs that are made up."""

import pytest

from study.forecast.trial_costs import TrialCosts
from study.live.remaining_time import RemainingTime
from study.plan import Folders, Plan
from tests.study.made_plans import plan_of


@pytest.fixture
def plan(folders: Folders) -> Plan:
    """Four trials of one shape, of five steps each."""
    return plan_of(folders)


def remaining(plan: Plan, num_slots: int = 2) -> RemainingTime:
    return RemainingTime(plan.all_trials, [plan], TrialCosts(plan.to_check), num_slots)


def test_without_a_measurement_nothing_is_known(plan: Plan) -> None:
    assert remaining(plan).eta_s(10.0) is None
    assert remaining(plan).share_done == 0


def test_times_of_earlier_trials_are_an_estimate_before_anything_runs(plan: Plan) -> None:
    costs = TrialCosts(plan.to_check)
    costs.measure(plan.trials[0], 5, 10.0, "cpu")
    found = RemainingTime(plan.all_trials, [plan], costs, 2).eta_s(0.0)
    assert found == pytest.approx(20.0, rel=0.7), "four trials of 10 s and their evaluations, two at a time"
    assert found is not None and found >= 20


def test_the_time_left_is_in_proportion_to_the_work_left(plan: Plan) -> None:
    time = remaining(plan)
    time.reach(plan.trials[0], 5)
    time.reach(plan.trials[1], 5)
    time.reach(plan.trials[2], 2)
    assert time.share_done == pytest.approx(12 / 20)
    assert time.eta_s(12.0) == pytest.approx(8.0)


def test_the_longest_running_trial_is_a_lower_bound(plan: Plan) -> None:
    time = remaining(plan)
    for trial in plan.trials[:3]:
        time.reach(trial, 5)
    time.reach(plan.trials[3], 1)
    assert time.eta_s(16.0, [plan.trials[3]]) == pytest.approx(8.0), "4 steps alone, at 16 s for 16 steps on two slots"


def test_earlier_steps_took_no_time(plan: Plan) -> None:
    time = remaining(plan, num_slots=1)
    time.reach(plan.trials[0], 5, is_earlier=True)
    time.reach(plan.trials[1], 5)
    assert time.share_done == pytest.approx(0.5)
    assert time.eta_s(10.0) == pytest.approx(20.0)


def test_a_trial_that_goes_back_to_its_checkpoint_is_not_done(plan: Plan) -> None:
    time = remaining(plan)
    time.reach(plan.trials[0], 5)
    time.reach(plan.trials[0], 0, is_earlier=True)
    assert time.share_done == 0


def test_trials_that_a_search_has_still_to_choose_count(folders: Folders) -> None:
    from search_spaces.framework.search import Search

    plan = plan_of(
        folders,
        scientific={"optimizer.name": ("sgd",)},
        nuisance={"optimizer.lr": (0.1, 0.2, 0.3)},
        search=Search(num_trials=3),
        seeds=(0,),
    )
    assert not plan.all_trials
    time = remaining(plan)
    time.reach(plan.trials[0], 5)
    assert time.share_done == pytest.approx(1 / (plan.num_unknown))
