"""Reproducibility checklist."""

from dataclasses import replace
from pathlib import Path

import pytest

from search_spaces.framework.ranges import Range
from study.plan import Folders, Plan
from study.report.checklist import AUTHOR, Item, fill_checklist
from tests.study.made_plans import plan_of, searched, space_of
from tests.study.report.methods_plans import BASE, methods_of, plan_of_configs
from tests.study.report.methods_plans import SPACE as MADE
from tests.study.report.small_study import SPACE, finish
from tests.study.report.test_methods import launch, ran


def by_topic(plan: Plan, **tags: str) -> dict[str, Item]:
    items = fill_checklist(methods_of(plan, [launch("l", 0, **tags)]), [])
    assert len(items) == 16, "as many questions as the conference has"
    return {each.topic: each for each in items}


def test_what_a_study_cannot_know_is_left_to_the_author() -> None:
    items = by_topic(plan_of_configs({"a": BASE}))
    left = {topic for topic, each in items.items() if each.answer == AUTHOR}
    assert left == {
        "Claims", "Limitations", "Data and code", "Ethics", "Impact", "Safeguards", "New assets", "People",
        "Review board", "Language models",
    }  # fmt: skip


def test_a_complete_study_of_committed_code_is_reproducible() -> None:
    plan = ran(plan_of_configs({"a": BASE}), "l")
    commit = {"mlflow.source.git.commit": "abc", "git_dirty": "false"}
    assert by_topic(plan, **commit)["Reproducibility"].answer == "yes"
    assert by_topic(plan, **{**commit, "git_dirty": "true"})["Reproducibility"].answer == "no"
    assert by_topic(plan)["Reproducibility"].answer == "no", "no commit is known"
    assert by_topic(plan_of_configs({"a": BASE}), **commit)["Reproducibility"].answer == "no", "trials are missing"


def test_limitations_are_the_caveats_of_the_study() -> None:
    plan = replace(plan_of_configs({"a": BASE}), caveats=["dataset x: seen twice"])
    assert "dataset x: seen twice" in by_topic(plan)["Limitations"].reason
    assert by_topic(plan)["Limitations"].answer == "yes"


def test_error_bars_say_what_they_are_over_and_how_they_are_computed() -> None:
    item = by_topic(finish(SPACE, (0, 1), [0.9] * 12))["Statistics"]
    assert item.answer == "yes"
    assert "over seeds and test images" in item.reason
    assert "Clopper and Pearson" in item.reason
    assert "2 seeds" in item.reason
    of_loss = by_topic(plan_of_configs({"a": BASE}, replace(MADE, metric="loss")))
    assert "bootstrap" in of_loss["Statistics"].reason
    of_time = by_topic(plan_of_configs({"a": BASE}, replace(MADE, metric="train_time_s")))
    assert of_time["Statistics"].answer == "no"


def test_compute_needs_recorded_times() -> None:
    plan = ran(plan_of_configs({"a": BASE}), "l")
    assert by_topic(plan)["Compute"].answer == "no"
    [trial] = plan.trials
    assert trial.record is not None
    timed = replace(plan, trials=[replace(trial, record=replace(trial.record, start_s=1, end_s=8))])
    assert "7 s each, 7 s in all" in by_topic(timed)["Compute"].reason


@pytest.mark.parametrize("dataset", ["faces", "flowers102_nelorth", "weapons", "plant_health"])
def test_licenses_that_are_not_clear_are_left_to_the_author(dataset: str) -> None:
    assert by_topic(plan_of_configs({"a": BASE}))["Licenses"].answer == "yes"
    item = by_topic(plan_of_configs({"a": BASE.with_values({"dataset": dataset})}))["Licenses"]
    assert item.answer == AUTHOR
    assert item.reason.endswith(f"Clear up {dataset}.")


def test_settings_are_open_until_searches_are_over(tmp_path: Path, cache_dir: Path) -> None:
    folders = Folders(store=tmp_path, data=tmp_path, cache=cache_dir)
    changes = {
        "scientific": {"schedule.name": ("cosine", "constant")},
        "nuisance": {"optimizer.lr": Range(0.01, 0.1, log=True)},
    }
    assert by_topic(plan_of(folders, **changes))["Settings"].answer == "no"
    records = searched(space_of(**changes), folders, lambda config: config.optimizer.lr)
    item = by_topic(plan_of(folders, records, **changes))["Settings"]
    assert (item.answer, "never on test images" in item.reason) == ("yes", True)
