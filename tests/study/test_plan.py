from pathlib import Path

import pytest
from PIL import Image

from revit.config import FineTuneConfig
from revit.errors import InputError
from search_spaces.space import SearchSpace
from study.ledger import TrialRecord
from study.plan import Folders, Plan, make_plan, outline

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
        run_id="r",
        identity=identity,
        outcome=outcome,
        last_step=0,
        metrics={},
        studies=frozenset({"example"}),
        surroundings={},
        failure="",
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


def test_what_is_told_of_a_trial_before_its_data_is_here_is_so_once_it_is(folders: Folders) -> None:
    """Digits are here: the steps from the registry's sizes are those of the real plan."""
    base = BASE.with_values({"steps": None, "epochs": 3.0, "batch_size": 32})
    axes = {"data_fraction": (1.0, 0.5, 0.1), "epoch_images": ("used", "all")}
    space = SearchSpace(name="example", question="?", base=base, scientific=axes, seeds=(0, 1))
    told = outline(space, space.seeds)
    planned = make_plan(space, space.seeds, folders, {})
    assert [each.candidate for each in told] == [trial.candidate for trial in planned.trials]
    assert [each.num_steps for each in told] == [trial.num_steps for trial in planned.trials]


def test_two_budgets_that_come_to_the_same_are_one_trial(folders: Folders) -> None:
    base = BASE.with_values({"steps": None, "epochs": 2.0, "batch_size": 100})
    axes = {"data_fraction": (1.0, 0.5), "epoch_images": ("used", "all")}
    plan = plan_of(folders, base=base, scientific=axes, seeds=(0,))
    assert len(plan.trials) == 4
    assert len(plan.to_run) == 3, "at the whole fraction, as many epochs and as many steps are one"


def test_a_plan_passes_on_what_is_to_be_known_of_its_datasets(folders: Folders, tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name, gray in (("dark", 10), ("light", 200)):
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for number in range(12):
                Image.new("RGB", (8, 8), (gray, gray, number * (split == "train"))).save(folder / f"{number}.png")
    dataset = f"folder:{tmp_path / 'photos'}"
    plan = plan_of(folders, base=BASE.with_values({"dataset": dataset}))
    assert plan.remarks == [f"dataset {dataset}: 24 of its 24 test images are training images too, pixel by pixel"]
    assert plan_of(folders).remarks == []
