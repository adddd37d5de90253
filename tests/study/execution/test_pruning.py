"""Pruning of running trials: decisions on reports, and real launches on Ray."""

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import ray
from ray.exceptions import NodeDiedError
from ray.tune.search import Searcher

from search_spaces.framework.space import SearchSpace
from study.execution.callback import TuneCallback
from study.execution.pruning import LivePruning
from study.execution.recorder import RunResult
from study.execution.resources import ResourceRequest
from study.execution.runner import run_plans
from study.execution.searcher import TrialSearcher
from study.ledger.states import TrialState
from study.plan import Plan
from study.search.past_point import PastPoint
from study.search.pruners import CurvePruner
from tests.study.execution.fake_launch import SHARED
from tests.study.execution.stores import BASE, QUIET, Studies


def strict_pruner(num_points: int = 8) -> CurvePruner:
    """The pruner of a cell whose finished points were perfect after each of three validations."""
    pruner = CurvePruner("median", "accuracy")
    for number in range(num_points):
        curve = dict.fromkeys((4, 8, 12), 1.0)
        pruner.replay(PastPoint(number=number, values={}, state=TrialState.FINISHED, objectives=(1.0,), curve=curve))
    return pruner


def report(identity: str, *accuracies: float, is_last: bool = False, **more: Any) -> dict[str, Any]:
    """The report of a worker after as many validations, each after four steps; the rows between have no accuracy."""
    rows = [
        {"step": step, "train_loss": 1.0, **({} if step % 4 else {"val_accuracy": accuracies[step // 4 - 1]})}
        for step in range(1, 4 * len(accuracies) + 1)
    ]
    time_used = {} if is_last else {"train_time_s": 1.5}
    return {"identity": identity, "rows": rows, "is_replay": False, "saved": False, **time_used, **more}


def test_a_pruned_trial_has_its_end_in_its_report() -> None:
    pruning = LivePruning()
    pruning.begin("a", strict_pruner(), 8)
    result = report("a", 0.41)
    assert pruning.prune(result)
    assert (result["state"], result["message"]) == (TrialState.PRUNED, "pruned after step 4: val accuracy 41.00 %")
    assert result["rows"][-1] == {"step": 4, "train_time_s": 1.5}


def test_trials_of_other_studies_and_good_trials_go_on() -> None:
    pruning = LivePruning()
    pruning.begin("a", strict_pruner(), 8)
    for result in (report("b", 0.1), {"identity": "a", "tags": {}}, {}, report("a", 1.0), report("a", 1.0, 1.0)):
        before = dict(result)
        assert not pruning.prune(result)
        assert result == before
    assert ("a" in pruning, "b" in pruning) == (True, False)


def test_rows_between_validations_decide_nothing() -> None:
    pruning = LivePruning()
    pruning.begin("a", strict_pruner(), 8)
    result = report("a", 0.41)
    result["rows"].pop()
    assert not pruning.prune(result)


def test_of_several_validations_the_last_one_decides() -> None:
    """As the trial trained on after the others, it was not pruned there."""
    pruning = LivePruning()
    pruning.begin("a", strict_pruner(), 8)
    assert not pruning.prune(report("a", 0.41, 1.0, is_replay=True))


def test_a_trial_is_not_pruned_by_the_report_of_its_end() -> None:
    """Its last validation comes with its end, or just before: testing is all that is left."""
    pruning, pruner = LivePruning(), strict_pruner()
    for more in ({"state": TrialState.FINISHED}, {}):
        pruning.begin("a", pruner, 8)
        result = report("a", 0.41, is_last=True, **more)
        assert not pruning.prune(result)
        assert result.get("state") == more.get("state")
        assert pruner.report(8, 4, 0.0), "others are compared with it"
    pruning.end("a", TrialState.FINISHED)
    assert not pruning.prune(report("a", 0.41)), "Tune shows the last report of a trial twice"
    assert not pruner.report(8, 4, 0.0), "its cell knows its end"


def prune(launch: Any, trial: Any, *accuracies: float, **more: Any) -> bool:
    """Let Tune process a report as its controller does; return whether it stops the trial."""
    result = report(trial.config["task"].identity, *accuracies, **more)
    stops = bool(launch.stopper("id", result))
    launch.callback.on_trial_result(0, [], trial, result)
    assert sum("train_time_s" in row for row in result["rows"]) <= 1, "it is decided on once"
    return stops


def start(launch: Any, pruner: CurvePruner, number: int = 8) -> Any:
    trial = launch.start()
    launch.stopper.pruning.begin(trial.config["task"].identity, pruner, number)
    return trial


def test_a_pruned_trial_ends_and_the_study_goes_on(make_launch: Callable[..., Any]) -> None:
    launch = make_launch(SHARED)
    trial = start(launch, strict_pruner())
    assert prune(launch, trial, 0.41)
    assert launch.ended == [{"state": TrialState.PRUNED, "message": "pruned after step 4: val accuracy 41.00 %"}]
    assert launch.searcher.num_left == 1
    assert trial.config["task"].identity not in launch.stopper.pruning
    assert not launch.stopper.stopping


def test_a_study_with_a_pruned_trial_is_not_stopped_as_if_all_failed(
    make_launch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.execution.callback.MAX_SAME_FAILURES", 1)
    launch = make_launch(SHARED)
    bad, failing = start(launch, strict_pruner()), launch.start()
    assert prune(launch, bad, 0.41)
    launch.fail(failing, ValueError("shapes differ"))
    assert not launch.stopper.stopping


@pytest.mark.parametrize("saved", [True, False])
def test_a_trial_can_be_pruned_as_the_study_stops(make_launch: Callable[..., Any], *, saved: bool) -> None:
    launch = make_launch(SHARED)
    bad, good = start(launch, strict_pruner()), start(launch, strict_pruner(), 9)
    launch.stopper.stop()
    assert prune(launch, bad, 0.41, saved=saved)
    assert [end["state"] for end in launch.ended] == [TrialState.PRUNED]
    assert prune(launch, good, 1.0, saved=saved) == saved, "it goes on until it has saved its state"
    assert len(launch.ended) == 1, "the recorder marks the other as interrupted"
    assert launch.stopper.stop_all() == saved


def test_a_trial_that_loses_its_worker_is_decided_on_as_before(make_launch: Callable[..., Any]) -> None:
    """Meanwhile another point has passed; the repeated validation is not compared with it."""
    launch = make_launch(SHARED)
    pruner = CurvePruner("successive_halving", "accuracy")
    trial = start(launch, pruner, 0)
    assert not prune(launch, trial, 0.5)
    launch.fail(trial, NodeDiedError("gone"))
    assert launch.ended == []
    assert [pruner.report(1, step, 0.9) for step in (4, 8)] == [False, False]
    again = start(launch, pruner, 0)
    assert again.config["task"].identity == trial.config["task"].identity
    assert again.config["task"].is_prunable, "it is still known"
    assert not prune(launch, again, 0.5, is_replay=True)
    assert prune(launch, again, 0.5, 0.6)


def test_a_trial_whose_launch_was_killed_before_its_decision_is_pruned_when_it_resumes(
    make_launch: Callable[..., Any],
) -> None:
    """The ledger may have its validation, or not yet; the worker reports it again from its checkpoint."""
    for is_written in (True, False):
        launch, pruner = make_launch(SHARED), strict_pruner()
        if is_written:
            pruner.replay(PastPoint(number=8, values={}, state=TrialState.INTERRUPTED, curve={4: 0.41}))
        assert prune(launch, start(launch, pruner), 0.41, is_replay=True)


@pytest.fixture(scope="module")
def launched(studies: Studies) -> tuple[Plan, RunResult, dict[str, set[int]]]:
    """Four trials, one after the other; the first three of them are compared with perfect ones. And their processes."""
    space = SearchSpace(
        name="pruned",
        question="?",
        base=BASE.with_values({"num_evals": 3}),
        scientific={"optimizer.lr": (0.011, 0.012, 0.013, 0.014)},
        seeds=(0,),
    )
    plan, pruner = studies.plan(space), strict_pruner()
    numbers = {trial.identity: 8 + number for number, trial in enumerate(plan.trials[:3])}
    pids: defaultdict[str, set[int]] = defaultdict(set)
    suggest, on_trial_result = TrialSearcher.suggest, TuneCallback.on_trial_result

    def suggest_prunable(searcher: TrialSearcher, trial_id: str) -> Any:
        params = suggest(searcher, trial_id)
        if params is None or params == Searcher.FINISHED or params["task"].identity not in numbers:
            return params
        task = params["task"]
        searcher._stopper.pruning.begin(task.identity, pruner, numbers[task.identity])
        return {"task": replace(task, is_prunable=True)}

    def note_process(callback: TuneCallback, *, result: dict[str, Any], **more: Any) -> None:
        pids[result["identity"]].add(result["pid"])
        on_trial_result(callback, result=result, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrialSearcher, "suggest", suggest_prunable)
        patch.setattr(TuneCallback, "on_trial_result", note_process)
        num_cpus = int(ray.cluster_resources()["CPU"])
        result = run_plans([plan], studies.ledger, QUIET, ResourceRequest(cpus_per_trial=num_cpus), {})
    return plan.with_records(studies.ledger.trials()), result, pids


def test_the_process_of_a_pruned_trial_trains_the_next_one(
    launched: tuple[Plan, RunResult, dict[str, set[int]]],
) -> None:
    plan, result, pids = launched
    assert [result.states[trial.identity] for trial in plan.trials] == [*[TrialState.PRUNED] * 3, TrialState.FINISHED]
    assert set(pids) == {trial.identity for trial in plan.trials}
    assert len(set().union(*pids.values())) == 1


def test_a_pruned_trial_keeps_its_curve_its_time_and_what_was_built(
    studies: Studies, launched: tuple[Plan, RunResult, dict[str, set[int]]]
) -> None:
    plan, _, _ = launched
    for trial in plan.trials[:3]:
        record = trial.record
        assert record is not None
        assert (record.state, record.last_step) == (TrialState.PRUNED, 4)
        assert studies.client.get_run(record.run_id).info.status == "KILLED"
        [(step, accuracy)] = studies.ledger.curve(record.run_id, "val_accuracy")
        assert step == 4
        message = f"pruned after step 4: val accuracy {100 * accuracy:.2f} %"
        assert record.tags["message"] == message
        assert [step for step, _ in studies.ledger.curve(record.run_id, "train_loss")] == [1, 2, 3, 4]
        [(step, train_time_s)] = studies.ledger.curve(record.run_id, "train_time_s")
        assert step == 4
        assert train_time_s > 0
        files = {item.path for item in studies.client.list_artifacts(record.run_id)}
        assert files == {"config.json", "built.json"}
        config = json.loads(studies.ledger.artifacts.path(record.run_id, "config.json").read_text())
        assert config["optimizer"]["lr"] == trial.candidate.config.optimizer.lr


def test_nothing_is_left_of_a_pruned_trial_and_it_is_not_run_again(
    studies: Studies, launched: tuple[Plan, RunResult, dict[str, set[int]]]
) -> None:
    plan, _, _ = launched
    assert list((studies.folders.store / "work").iterdir()) == []
    assert list((studies.folders.store / "locks").iterdir()) == []
    assert studies.plan(plan.space).to_run == []
    [launch] = [run for run in studies.runs("launch") if run.data.tags["study"] == "pruned"]
    assert launch.info.status == "FINISHED"
    assert (launch.data.metrics["num_pruned"], launch.data.metrics["num_finished"]) == (3, 1)


def test_the_trial_after_pruned_ones_has_the_numbers_of_any_other(
    launched: tuple[Plan, RunResult, dict[str, set[int]]], train: Callable[..., Any]
) -> None:
    last = launched[0].trials[-1]
    assert last.record is not None
    outside, _ = train(last.candidate.config)
    assert last.record.metrics["test_accuracy"] == outside.metrics["test_accuracy"]
