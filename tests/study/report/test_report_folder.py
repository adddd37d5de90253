"""Folders of reports: their names, no loss of results."""

from dataclasses import replace
from pathlib import Path

import pytest

import search_spaces
from search_spaces.framework.sequential_design import SequentialDesign
from study.analysis.results import trial_table
from study.ledger.records import study_tags
from study.plan import Folders, Plan
from study.planning import make_plan
from study.report.caveats import plan_caveats, stale_caveats
from study.report.report_folder import TRIALS, ReportKeptError, check_loses_nothing, folder_name
from tests.study.example_plan import SPACE, finished_record, make_example
from tests.study.searched_study import SPACE as SEARCHED
from tests.study.searched_study import at_best_lr, make_planner, searched_plan


@pytest.fixture
def plan(tmp_path: Path, cache_dir: Path) -> Plan:
    return make_example(tmp_path, cache_dir)


@pytest.fixture
def finished(plan: Plan) -> Plan:
    return plan.with_records({trial.identity: finished_record(trial.identity, {}) for trial in plan.trials})


def test_each_recipe_scale_and_number_of_seeds_has_a_folder_of_its_own(plan: Plan) -> None:
    paper = Plan(space=search_spaces.load("pos_embed"), trials=plan.trials)
    nano = replace(paper, space=paper.space.variant(scale="nano", recipe="authors"))
    folders = [folder_name(each) for each in (plan, replace(plan, trials=plan.trials[:1]), paper, nano)]
    reread = folder_name(replace(plan, space=plan.space.about("loss")))
    assert reread == "example-metric-loss"
    assert folders == ["example", "example-seeds-1", "pos_embed-paper-paper-seeds-2", "pos_embed-authors-nano-seeds-2"]


def test_seeds_that_looks_add_are_of_one_report(plan: Plan, folders: Folders) -> None:
    more = make_plan(SPACE, (0, 1, 2), folders, {})
    assert folder_name(more) == "example-seeds-3"
    assert folder_name(replace(more, seeds=SPACE.seeds, design=SequentialDesign.between(2, 4))) == folder_name(plan)


def test_a_report_with_results_that_the_new_one_lacks_is_kept(plan: Plan, finished: Plan, tmp_path: Path) -> None:
    check_loses_nothing(plan, tmp_path)
    trial_table(finished).to_parquet(tmp_path / TRIALS)
    check_loses_nothing(finished, tmp_path)
    with pytest.raises(ReportKeptError, match="of 4 results: this store has 0 of them"):
        check_loses_nothing(plan, tmp_path)
    other = replace(plan, space=replace(SPACE, scientific={"schedule.name": ("cosine", "linear")}))
    trials = [
        replace(each, candidate=replace(each.candidate, cell={"schedule.name": "cosine"})) for each in plan.trials
    ]
    with pytest.raises(ReportKeptError, match="this store has 0 of them"):
        check_loses_nothing(replace(other, trials=trials), tmp_path)


def test_a_report_is_kept_while_a_search_goes_on(tmp_path: Path, cache_dir: Path) -> None:
    """With a larger budget, the tested trials await more points; once tested, another point may have been chosen."""
    done = searched_plan(make_planner(tmp_path, cache_dir), at_best_lr(3e-3))
    trial_table(done).to_parquet(tmp_path / TRIALS)
    more = replace(SEARCHED, search=replace(SEARCHED.search, num_trials=12))
    records = {trial.identity: trial.record for trial in done.all_trials if trial.record is not None}
    going_on = make_planner(tmp_path, cache_dir, more).plan(records)
    assert {trial.awaits for trial in going_on.trials} == {"search at 6 of 12 points"}
    with pytest.raises(ReportKeptError, match="of 4 results: this store has 0 of them"):
        check_loses_nothing(going_on, tmp_path)
    check_loses_nothing(searched_plan(make_planner(tmp_path, cache_dir, more), at_best_lr(3e-3)), tmp_path)


def test_results_that_are_no_longer_planned_may_go(finished: Plan, tmp_path: Path) -> None:
    trial_table(finished).to_parquet(tmp_path / TRIALS)
    check_loses_nothing(replace(finished, trials=finished.trials[:2]), tmp_path)


def test_a_report_from_before_the_data_changed_is_kept_with_the_reason(
    plan: Plan, finished: Plan, tmp_path: Path, cache_dir: Path
) -> None:
    before = {
        f"other{number}": replace(
            finished_record(f"other{number}", {
                **study_tags("example", cell=trial.candidate.cell, point=trial.candidate.point),
                **{f"digest.{name}": digest for name, digest in trial.input_digests.items()},
                "seed": str(trial.candidate.config.seed), "digest.data": "before",
            }),
            params={path: str(value) for path, value in trial.candidate.config.flat().items()},
        )
        for number, trial in enumerate(plan.trials)
    }  # fmt: skip
    after = make_plan(SPACE, SPACE.seeds, Folders(store=tmp_path, data=tmp_path, cache=cache_dir), before)
    [line] = stale_caveats(after)
    assert line in plan_caveats(after)
    assert line == "stale: 4 of 4 trials have results of an earlier setup: data changed; plan lists them"
    trial_table(finished).to_parquet(tmp_path / TRIALS)
    with pytest.raises(ReportKeptError, match=r"stale: 4 of 4 trials .* data changed"):
        check_loses_nothing(after, tmp_path)
