from pathlib import Path

import pytest

from revit.config import FineTuneConfig
from revit.errors import InputError
from search_spaces.space import SearchSpace
from study.ledger import TrialRecord
from study.plan import Folders, Plan, make_plan

BASE = FineTuneConfig(dataset="digits", resolution=8, steps=5)


@pytest.fixture
def folders(tmp_path: Path, cache_dir: Path) -> Folders:
    return Folders(store=tmp_path, data=tmp_path, cache=cache_dir)


def plan_of(folders: Folders, records: dict[str, TrialRecord] | None = None, **changes: object) -> Plan:
    given = {"scientific": {"optimizer.lr": (0.1, 0.2)}, "seeds": (0, 1), "base": BASE, **changes}
    space = SearchSpace(name="example", question="?", **given)
    return make_plan(space, space.seeds, folders, records or {})


def record_of(identity: str, outcome: str | None) -> TrialRecord:
    return TrialRecord(
        run_id="r", identity=identity, outcome=outcome, last_step=0, metrics={}, studies=frozenset({"example"})
    )


@pytest.mark.parametrize(
    ("outcome", "state", "runs_again"),
    [
        ("finished", "finished", False),
        ("diverged", "diverged", False),
        ("failed", "failed", True),
        ("interrupted", "interrupted", True),
        (None, "running", True),
    ],
)
def test_what_is_settled_is_not_run_again(folders: Folders, outcome: str, state: str, runs_again: bool) -> None:
    fresh = plan_of(folders)
    assert [trial.state for trial in fresh.trials] == ["new"] * 4
    first = fresh.trials[0].identity
    plan = plan_of(folders, {first: record_of(first, outcome)})
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


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"data_fraction": 0.001}, "data_fraction = 0.001"),
        ({"dataset": "folder:/nowhere/at/all"}, "/nowhere/at/all"),
        ({"model.name": "vit_tiny_patch4_none"}, "weights are not on this machine"),
    ],
)
def test_what_a_trial_lacks_is_said_while_planning(folders: Folders, values: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        plan_of(folders, base=BASE.with_values(values))
