"""Several studies in one launch: one queue, a run of the launch for each."""

from dataclasses import replace
from pathlib import Path

from search_spaces.framework.search import Search
from study.execution.resources import ResourceRequest
from study.execution.runner import run_plans
from study.ledger.states import TrialState
from tests.study.execution.fake_launch import SHARED, FakeLaunch
from tests.study.execution.fake_launch import SPACE as FAKED
from tests.study.execution.stores import QUIET, SPACE, Studies

RATES = replace(SPACE, name="rates", scientific={"optimizer.lr": (0.1, 0.2)}, seeds=(0,))
SHARING = replace(RATES, name="sharing", scientific={"optimizer.lr": (0.1, 0.3)})
SEARCHING = replace(
    RATES, name="searching", scientific={"optimizer.name": ("sgd",)}, nuisance={"optimizer.lr": (0.1, 0.2)}
)


def test_studies_of_one_launch_train_what_they_share_once_and_each_has_a_run_of_the_launch(
    studies: Studies, one_slot: None
) -> None:
    spaces = [RATES, SHARING, replace(SEARCHING, search=Search(sampler="grid"))]
    plans = [studies.plan(space) for space in spaces]
    result = run_plans(plans, studies.ledger, QUIET, ResourceRequest(), {"command": "test"})
    plans = [plan.with_records(studies.ledger.trials()) for plan in plans]
    assert all(plan.is_complete for plan in plans[::2])
    [shared], [own] = [
        [trial for trial in plans[1].trials if trial.candidate.config.optimizer.lr == lr] for lr in (0.1, 0.3)
    ]
    assert shared.identity == plans[0].trials[0].identity
    assert set(result.states.values()) == {TrialState.FINISHED}
    assert own.state == shared.state == TrialState.FINISHED
    launches = {
        run.data.tags["study"]: run
        for run in studies.runs("launch")
        if run.data.tags["study"] in ("rates", "sharing", "searching")
    }
    assert {run.info.status for run in launches.values()} == {"FINISHED"}
    assert len({run.info.run_id for run in launches.values()}) == 3
    trained = [
        run
        for run in studies.runs("trial")
        if run.data.tags["mlflow.parentRunId"] in {each.info.run_id for each in launches.values()}
    ]
    assert len(trained) == len(result.states) == len({run.data.tags["identity"] for run in trained})
    of_first = [run for run in trained if run.data.tags["mlflow.parentRunId"] == launches["rates"].info.run_id]
    assert len(of_first) == launches["rates"].data.metrics["num_finished"] == 2
    assert launches["sharing"].data.metrics["num_finished"] == 1, "the trial at .1 counts in the first"


def test_a_study_whose_first_trials_all_fail_is_stopped_and_others_go_on_with_what_they_share(
    tmp_path: Path, cache_dir: Path
) -> None:
    failing = replace(FAKED, name="failing", scientific={"optimizer.lr": (0.1, 0.2, 0.3, 0.4, 0.5)})
    sharing = replace(FAKED, name="sharing", scientific={"optimizer.lr": (0.5, 0.6)})
    launch = FakeLaunch(tmp_path, cache_dir, SHARED, [failing, sharing])
    for _ in range(3):
        launch.fail(launch.start(), ValueError("a broken model"))
    assert (
        "the study failing was stopped: its first trials all failed for the same reason" in launch.callback.stop_reason
    )
    assert not launch.stopper.stopping
    rates = {launch.start().config["task"].config["optimizer"]["lr"] for _ in range(2)}
    assert rates == {0.5, 0.6}, "the trial at .4 is of nobody else"
    assert not launch.searcher.is_complete(launch.plans[0])


def test_a_study_alone_that_fails_so_stops_the_launch(tmp_path: Path, cache_dir: Path) -> None:
    failing = replace(FAKED, scientific={"optimizer.lr": (0.1, 0.2, 0.3, 0.4)})
    launch = FakeLaunch(tmp_path, cache_dir, SHARED, [failing])
    for _ in range(3):
        launch.fail(launch.start(), ValueError("a broken model"))
    assert launch.stopper.stopping
    assert "the study was stopped: its first trials all failed" in launch.callback.stop_reason
