"""Searches in words and tables."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from revit.config import FineTuneConfig
from search_spaces.framework.ranges import Range
from search_spaces.framework.search import Search
from search_spaces.framework.space import SearchSpace
from study.ledger.states import TrialState
from study.plan import Plan
from study.report.caveats import plan_caveats
from study.report.searches import (
    describe_search,
    edge_caveats,
    front_table,
    kept_validation,
    search_table,
    tuning_caveats,
)
from tests.study.report.small_study import finish
from tests.study.searched_study import BASE, SPACE, Outcome, at_best_lr, make_planner, searched_plan

MakePlan = Callable[..., Plan]


@pytest.fixture
def make_plan(tmp_path: Path, cache_dir: Path) -> MakePlan:
    def make(space: SearchSpace = SPACE, outcome: Outcome = at_best_lr(3e-3), num_points: int | None = None) -> Plan:  # noqa: B008  (it is immutable)
        return searched_plan(make_planner(tmp_path, cache_dir, space), outcome, num_points)

    return make


def one_ends_badly(config: FineTuneConfig) -> tuple[TrialState, Mapping[str, float]]:
    state = TrialState.DIVERGED if config.optimizer.lr == 0.00505 else TrialState.FINISHED
    return state, at_best_lr(3e-3)(config)[1]


def test_a_row_of_a_cell_has_what_was_chosen_and_how_far_the_search_is(make_plan: MakePlan) -> None:
    table = search_table(make_plan(outcome=one_ends_badly))
    assert list(table.columns) == [
        "optimizer.name", "points", "chosen optimizer.lr", "chosen optimizer.weight_decay", "training, s",
        "best validation accuracy, %",
    ]  # fmt: skip
    assert table.iloc[0].tolist() == ["sgd", "6 of 6: 5 finished, 1 diverged", "0.00469", "-", "12", "87.80"]
    under_way = search_table(make_plan(num_points=4))
    assert under_way.iloc[0].tolist()[1:4] == ["4 of 6: 4 finished, 2 to come", "-", "-"]
    assert search_table(make_plan(num_points=0)).iloc[0].tolist()[1:] == ["0 of 6: 6 to come", "-", "-", "0", "-"]


def test_a_value_that_the_scale_changes_is_shown_both_ways(make_plan: MakePlan) -> None:
    space = SearchSpace(
        name="scaled", question="?", scientific={"resolution": (224, 384)},
        nuisance={"optimizer.lr": (0.001, 0.003, 0.01)}, fixed={"dataset": "flowers"}, scale="nano", seeds=(0,),
    )  # fmt: skip
    plan = make_plan(space, at_best_lr(0.03))
    assert search_table(plan)["chosen optimizer.lr"].tolist() == ["0.003 (trained: 0.03)"] * 2
    assert "over 0.001, 0.003, 0.01, at paper scale." in describe_search(plan)[0]


def test_a_space_that_has_no_more_points_says_so(make_plan: MakePlan) -> None:
    """Two values of the momentum are one where it has no effect."""
    nuisance = {"optimizer.lr": (0.001, 0.01), "optimizer.momentum": (0.0, 0.9)}
    plan = make_plan(replace(SPACE, nuisance={"optimizer.lr": nuisance["optimizer.lr"]}, search=Search(num_trials=9)))
    assert search_table(plan)["points"].tolist() == ["2 of 2: 2 finished"] * 2
    budget = replace(SPACE, search=Search(sampler="random", num_trials=6, time_budget_s=5.0))
    assert search_table(make_plan(budget))["points"].tolist() == ["3 of 6: 3 finished, its time is used"] * 2


def test_the_sentences_name_sampler_budget_pruner_seeds_objectives(make_plan: MakePlan) -> None:
    text = " ".join(describe_search(make_plan()))
    assert "optimizer.lr in Range(0.0001, 0.1, log=True), optimizer.weight_decay in Range(" in text
    assert "It tries random points." in text
    assert "The budget is the same in every cell: 6 points. Each point is trained with seed 0." in text
    assert "compared by validation accuracy, without the test images." in text
    assert "training and validation images with each seed of the study, and tested once" in text
    assert "Optuna" not in text
    search = Search(sampler="tpe", num_trials=3, pruner="wilcoxon", seeds=(0, 1, 2, 3, 4), time_budget_s=60.0)
    text = " ".join(describe_search(make_plan(replace(SPACE, search=search), num_points=0)))
    assert "points that Optuna's TPESampler chooses near what has been good." in text
    assert "3 points, and at most 60 s of training." in text
    assert (
        "Each point is trained with the seeds 0, 1, 2, 3, 4, and its value is their mean. Optuna's Wilcoxon pruner"
        in text
    )
    search = Search(num_trials=3, objectives=("accuracy", "train_time_s"))
    text = " ".join(describe_search(make_plan(replace(SPACE, search=search), num_points=0)))
    assert "compared by validation accuracy and training time, without" in text
    assert "The best accuracy chooses." in text


def test_a_budget_that_is_not_equal_is_explained(make_plan: MakePlan) -> None:
    warmup = Range(0, 2, integer=True, when={"optimizer.name": "adamw"})
    space = replace(SPACE, nuisance={"optimizer.lr": (0.001, 0.01), "schedule.warmup": warmup}, search=Search())
    plan = make_plan(space)
    expected = "The budget is 6 points in a cell; where the space has no more, 2 in optimizer=sgd."
    assert describe_search(plan)[1].startswith(expected)
    assert search_table(plan)["points"].tolist() == ["2 of 2: 2 finished", "6 of 6: 6 finished"]
    assert tuning_caveats(plan)[0].startswith(
        "tuned in each cell by a search on validation images (quasi_random, 2 to 6 "
    )


def test_cells_with_nothing_to_tune_are_counted(make_plan: MakePlan) -> None:
    space = replace(SPACE, nuisance={"optimizer.weight_decay": SPACE.nuisance["optimizer.weight_decay"]})
    plan = make_plan(space)
    expected = "The budget is the same in every tuned cell: 6 points. 1 of 2 cells have nothing to tune. Each"
    assert describe_search(plan)[1].startswith(expected)
    assert search_table(plan)["optimizer.name"].tolist() == ["adamw"]
    assert tuning_caveats(plan)[0].startswith(
        "tuned in 1 of 2 cells by a search on validation images (random, 6 points"
    )
    untuned = make_plan(replace(space, cells={"optimizer.name": ("sgd",)}))
    assert len(untuned.searches) == 1
    assert search_table(untuned).empty
    assert tuning_caveats(untuned) == []


def test_cells_that_keep_their_validation_images_are_named(make_plan: MakePlan) -> None:
    axes = {"scientific": {"schedule.name": ("cosine", "plateau")}, "nuisance": {"optimizer.lr": (0.001, 0.01)}}
    space = replace(SPACE, search=Search(), **axes)
    plan = make_plan(space)
    [line] = kept_validation(plan)
    assert line.startswith("schedule plateau needs the validation images: 1 of ")
    assert line in describe_search(plan)
    assert line in plan_caveats(plan)
    assert [trial.candidate.config.val_fraction > 0 for trial in plan.trials[:2]] == [False, True]
    all_of_them = replace(space, base=BASE.with_values({"selection": "best_val"}))
    assert [line.partition(" needs")[0] for line in kept_validation(make_plan(all_of_them))] == [
        "selection best_val",
        "schedule plateau",
    ]
    assert kept_validation(make_plan()) == []


def test_edges_are_caveats_with_the_wider_axis_to_paste(make_plan: MakePlan) -> None:
    space = replace(SPACE, nuisance={"optimizer.lr": Range(1e-5, 0.1, log=True)}, search=Search(
        sampler="random", num_trials=1, enqueue=({"optimizer.lr": 0.0955},)
    ))  # fmt: skip
    expected = (
        "best optimizer.lr at the edge of Range(1e-05, 0.1, log=True) in optimizer=sgd (0.0955), "
        "optimizer=adamw (0.0955): the range is too narrow for a fair comparison; wider: Range(1e-05, 10, log=True)"
    )
    assert edge_caveats(make_plan(space)) == [expected]
    assert expected in plan_caveats(make_plan(space))
    grid = replace(space, nuisance={"optimizer.lr": (0.001, 0.003, 0.01)}, search=Search())
    assert edge_caveats(make_plan(grid, at_best_lr(1.0)))[0].endswith(
        "(0.01): the range is too narrow for a fair comparison; wider: (0.001, 0.003, 0.01, 0.033)"
    )
    assert edge_caveats(make_plan(grid)) == []


def test_a_study_without_a_search_has_no_lines() -> None:
    plan = finish(replace(SPACE, nuisance={}, search=Search()), (0,), [0.9, 0.8])
    assert tuning_caveats(plan) == edge_caveats(plan) == kept_validation(plan) == []


def test_stale_searches_are_counted_by_reason(make_plan: MakePlan) -> None:
    plan = make_plan()
    searches = [replace(search, staleness_reason="data changed") for search in plan.searches]
    assert tuning_caveats(replace(plan, searches=searches))[-1] == (
        "stale: 2 of 2 searches have points of an earlier setup: data changed; they begin anew"
    )


def test_the_front_of_two_objectives_is_listed(make_plan: MakePlan) -> None:
    def outcome(config: FineTuneConfig) -> tuple[TrialState, Mapping[str, float]]:
        state, metrics = at_best_lr(3e-3)(config)
        return state, {**metrics, "train_time_s": 100 * config.optimizer.lr}

    space = replace(SPACE, search=Search(sampler="random", num_trials=6, objectives=("accuracy", "train_time_s")))
    plan = make_plan(space, outcome)
    table = front_table(plan)
    assert list(table.columns) == [
        "optimizer.name", "point", "optimizer.lr", "optimizer.weight_decay", "validation accuracy, %",
        "training time, s", "tested",
    ]  # fmt: skip
    sgd = table[table["optimizer.name"] == "sgd"]
    assert sgd["tested"].tolist()[0] == "yes"
    assert sgd["optimizer.lr"].tolist() == ["0.00162", "0.00153", "0.00133"]
    assert front_table(make_plan()).empty
