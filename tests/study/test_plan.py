"""Plans of a study: what is to be run."""

import pytest

from search_spaces.framework.space import SearchSpace
from study.ledger.states import TrialState
from study.plan import Folders, preview
from study.planning import make_plan
from study.report.caveats import duplicate_caveats
from tests.study.made_plans import BASE, plan_of, record_of, searched, space_of


@pytest.mark.parametrize(
    ("state", "runs_again"),
    [
        (TrialState.FINISHED, False),
        (TrialState.PRUNED, False),
        (TrialState.DIVERGED, False),
        (TrialState.FAILED, True),
        (TrialState.INTERRUPTED, True),
        (TrialState.RUNNING, True),
    ],
)
def test_a_trial_in_a_terminal_state_is_not_run_again(folders: Folders, state: TrialState, runs_again: bool) -> None:
    fresh = plan_of(folders)
    assert [trial.state for trial in fresh.trials] == [TrialState.NEW] * 4
    first = fresh.trials[0].identity
    plan = plan_of(folders, {first: record_of(fresh.trials[0], state)})
    assert plan.trials[0].state == state
    assert (first in {trial.identity for trial in plan.to_run}) is runs_again
    assert len(plan.to_run) == 3 + runs_again


def test_two_names_of_one_trial_are_trained_once(folders: Folders) -> None:
    levels = {"one": {"optimizer.lr": 0.1}, "other": {"optimizer.lr": 0.1}}
    plan = plan_of(folders, scientific={"pace": levels}, seeds=(0,))
    assert len(plan.trials) == 2
    assert len(plan.to_run) == 1


def test_a_plan_knows_steps_and_test_images(folders: Folders) -> None:
    epochs = {"base": BASE.with_values({"steps": None, "epochs": 2.0, "batch_size": 100})}
    [trial, *_] = plan_of(folders, **epochs).trials
    assert trial.num_steps == 2 * 13  # 1,294 training images are 13 batches
    assert trial.num_test == 359


def test_a_preview_without_data_equals_the_plan_with_data(folders: Folders) -> None:
    """Digits are here: the steps from the registry's sizes are those of the real plan."""
    base = BASE.with_values({"steps": None, "epochs": 3.0, "batch_size": 32})
    axes = {"data_fraction": (1.0, 0.5, 0.1), "epoch_images": ("used", "all")}
    space = SearchSpace(name="example", question="?", base=base, scientific=axes, seeds=(0, 1))
    previews = preview(space, space.seeds)
    planned = make_plan(space, space.seeds, folders, {})
    assert [each.candidate for each in previews] == [trial.candidate for trial in planned.trials]
    assert [each.num_steps for each in previews] == [trial.num_steps for trial in planned.trials]


def test_two_budgets_that_come_to_the_same_are_one_trial(folders: Folders) -> None:
    base = BASE.with_values({"steps": None, "epochs": 2.0, "batch_size": 100})
    axes = {"data_fraction": (1.0, 0.5), "epoch_images": ("used", "all")}
    plan = plan_of(folders, base=base, scientific=axes, seeds=(0,))
    assert len(plan.trials) == 4
    assert len(plan.to_run) == 3, "at the whole fraction, as many epochs and as many steps are one"
    assert duplicate_caveats(plan) == ["epoch_images used and all: 1 of 2 trials are identical, trained once"]
    in_steps = plan_of(folders, scientific=axes, seeds=(0, 1))
    assert duplicate_caveats(in_steps) == ["epoch_images used and all: 4 of 4 trials are identical, trained once"]
    assert duplicate_caveats(plan_of(folders)) == []


TUNED = {"scientific": {"schedule.name": ("cosine", "linear")}, "nuisance": {"optimizer.lr": (0.1, 0.2, 0.3)}}


def test_a_plan_counts_what_depends_on_results(folders: Folders) -> None:
    """3 points per cell; then a tested trial per cell and seed."""
    plan = plan_of(folders, **TUNED)
    assert (len(plan.trials), plan.to_run, plan.num_unknown) == (4, [], 2 * 3 + 2 * 2)
    assert not plan.is_complete
    records = searched(space_of(**TUNED), folders, lambda config: config.optimizer.lr)
    over = plan.with_records(records)
    assert (len(over.to_run), over.num_unknown, len(over.all_trials)) == (4, 0, 2 * 3 + 4)
    assert not over.is_complete
    done = plan.with_records(records | {trial.identity: record_of(trial) for trial in over.trials})
    assert done.is_complete
    assert done.to_run == []
