"""Decisions about failures, on a real plan with real locks. Tune, the recorder and the display are fakes."""

import errno
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock, call

import pytest
import torch
from ray.exceptions import ActorDiedError, NodeDiedError, OutOfMemoryError
from ray.tune.experiment import Trial as TuneTrial

from revit.source import SOURCE
from study.execution.failures import MAX_LOSSES, CodeChangedError, NodeUnfitError
from study.execution.searcher import TrialSearcher
from study.ledger.states import TrialState
from study.system.signals import handled
from tests.study.execution.fake_launch import SHARED, WHOLE
from tests.study.execution.recorded_trials import Store

NO_MEMORY = torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("error", [NO_MEMORY, OutOfMemoryError("the node was running low on memory")])
def test_a_trial_out_of_memory_runs_exclusively_once(make_launch: Any, error: Exception) -> None:
    launch = make_launch(SHARED)
    trial = launch.start()
    task = trial.config["task"]
    assert (task.grant.num_cpus, task.grant.num_gpus) == (4, 0.5)
    launch.fail(trial, error)
    assert launch.ended == []
    again = launch.start()
    assert again.config["task"] == replace(task, grant=replace(task.grant, num_cpus=8, num_gpus=1))
    launch.fail(again, error)
    [end] = launch.ended
    assert end["failure"].endswith("out of memory")
    assert str(error) in end["traceback"]
    assert launch.searcher.num_left == 1, "the other trial goes on"


def test_an_exclusive_trial_out_of_memory_fails(make_launch: Any) -> None:
    launch = make_launch(WHOLE)
    launch.fail(launch.start(), NO_MEMORY)
    assert [end["failure"] for end in launch.ended] == ["device out of memory"]


def test_a_trial_that_loses_its_worker_resumes_while_it_makes_progress(make_launch: Any) -> None:
    launch = make_launch(SHARED)
    first = launch.start().config["task"].identity
    launch.searcher.requeue(first)
    for step in range(1, 10):
        trial = launch.start()
        assert trial.config["task"].identity == first
        launch.reach(trial, step)
        launch.fail(trial, NodeDiedError("gone"))
    assert launch.ended == []
    for _ in range(MAX_LOSSES):
        launch.fail(launch.start(), NodeDiedError("gone"))
    assert [end["failure"] for end in launch.ended] == ["lost worker"]


def test_a_trial_stays_finished_if_its_worker_dies_after_the_last_report(make_launch: Any) -> None:
    launch = make_launch(SHARED)
    trial = launch.start()
    launch.callback.on_trial_result(0, [], trial, {"state": TrialState.FINISHED})
    launch.fail(trial, ActorDiedError())
    assert launch.ended == [{"state": TrialState.FINISHED, "message": ""}]
    assert launch.resumed == []
    assert launch.searcher.num_left == 1, "the other trial"


def test_failures_of_code_and_data_are_not_retried(make_launch: Any) -> None:
    launch = make_launch(SHARED)
    for error in (ValueError("shapes differ"), FileNotFoundError(2, "gone")):
        launch.fail(launch.start(), error)
    assert [end["failure"] for end in launch.ended] == ["code", "data"]
    assert launch.searcher.num_left == 0


def test_a_stopping_study_does_not_retry(make_launch: Any) -> None:
    launch = make_launch(SHARED)
    trial = launch.start()
    launch.stopper.stop()
    assert not launch.stopper.stop_all(), "it has not saved its state"
    launch.fail(trial, NO_MEMORY)
    assert [end["failure"] for end in launch.ended] == ["device out of memory"]
    assert launch.stopper.stop_all()
    assert launch.searcher.suggest("") == TrialSearcher.FINISHED


def test_a_worker_that_the_kernel_killed_for_memory_is_reported_as_out_of_memory(
    make_launch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = [4]  # before this launch
    monkeypatch.setattr("study.execution.callback.num_killed_for_memory", lambda: killed[0])
    monkeypatch.setattr("study.execution.callback.memory_limit", lambda: 1_500_000_000)
    launch = make_launch(SHARED)
    launch.fail(launch.start(), ActorDiedError())
    trial = launch.start()
    assert trial.config["task"].grant.num_cpus == 4, "a lost worker's trial runs again beside others"
    for _ in range(2):
        killed[0] += 1
        launch.fail(trial, ActorDiedError())
        trial = launch.start() if not launch.ended else trial
    [end] = launch.ended
    assert end["failure"] == "host out of memory"
    assert end["message"].startswith("memory is short: 1.5 GB here, and a trial takes 900.0 MB or more")
    trial = launch.start()
    launch.callback.on_trial_result(0, [], trial, {"peak_bytes": 950_000_000})
    killed[0] += 1
    launch.fail(trial, ActorDiedError())
    killed[0] += 1
    launch.fail(launch.start(), ActorDiedError())
    assert "a trial takes 950.0 MB or more" in launch.ended[-1]["message"]


def test_a_trial_whose_worker_the_stopping_signal_reached_is_interrupted(make_launch: Any) -> None:
    launch = make_launch(SHARED)
    trial = launch.start()
    launch.stopper.stop()
    launch.fail(trial, NodeDiedError("gone"))
    assert launch.ended == [], "the recorder marks it as interrupted"
    assert launch.stopper.stop_all()


def test_a_trial_that_no_worker_started_is_ended_with_the_error_of_its_worker(make_launch: Any) -> None:
    launch = make_launch(WHOLE)
    while (params := launch.searcher.suggest("")) is None:
        pass
    launch.fail(SimpleNamespace(config=params), ValueError("the worker's environment cannot be set up"))
    [end] = launch.ended
    assert (end["state"], end["message"]) == (
        TrialState.FAILED,
        "ValueError: the worker's environment cannot be set up",
    )


def test_a_worker_with_other_code_stops_the_study_with_its_trial_interrupted(make_launch: Any) -> None:
    launch = make_launch(SHARED)
    first, second = launch.start(), launch.start()
    launch.fail(first, CodeChangedError("a worker found other code"))
    assert launch.stopper.stopping
    assert [end["state"] for end in launch.ended] == [TrialState.INTERRUPTED]
    assert launch.callback.stop_reason == "the study was stopped: a worker found other code"
    assert not launch.stopper.stop_all(), "the other trial saves its state first"
    assert second.config["task"].source == SOURCE


@pytest.mark.parametrize("whose", ["recorder", "searcher"])
def test_an_error_of_the_store_stops_the_study_with_one_line(make_launch: Any, whose: str) -> None:
    launch = make_launch(SHARED)
    getattr(launch, whose).error = "the experiment was deleted"
    launch.callback.on_step_begin(0, [])
    assert launch.stopper.stopping
    assert launch.callback.stop_reason == "the study was stopped: the experiment was deleted"


def test_an_unfit_node_is_named_once_and_its_trials_run_elsewhere(make_launch: Any) -> None:
    launch = make_launch(SHARED)
    for trial in [launch.start(), launch.start()]:
        launch.fail(trial, NodeUnfitError("one", "its disk is full"))
    assert launch.resumed == ["node gpu1 is left out of this launch: its disk is full", ""]
    grants = [launch.start().config["task"].grant for _ in range(2)]
    assert [(grant.excluded_nodes, grant.max_cpus) for grant in grants] == [(("one",), 4)] * 2
    assert launch.ended == []
    assert launch.callback.stop_reason == ""


def test_a_study_stops_where_no_node_is_left_and_its_trials_are_interrupted(make_launch: Any) -> None:
    launch = make_launch(SHARED)
    launch.fail(launch.start(), NodeUnfitError("one", "its disk is full"))
    launch.fail(launch.start(), NodeUnfitError("two", "its cache cannot be written"))
    assert launch.callback.stop_reason == (
        "the study was stopped: no node is left that can run its trials: "
        "node gpu1 is left out of this launch: its disk is full; "
        "node gpu2 is left out of this launch: its cache cannot be written"
    )
    assert launch.stopper.stopping
    assert launch.ended == [], "the recorder closes them as interrupted"
    assert launch.searcher.num_left == 2


def test_an_unfit_node_is_not_named_once_the_study_stops(make_launch: Any) -> None:
    launch = make_launch(SHARED)
    trial = launch.start()
    launch.stopper.stop()
    launch.fail(trial, NodeUnfitError("one", "its disk is full"))
    assert (launch.resumed, launch.ended, launch.pool.unfit) == ([], [], {})


def test_the_display_sees_what_workers_report(make_launch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    launch = make_launch(SHARED)
    shown = Mock()
    monkeypatch.setattr(launch.callback, "_progress", shown)
    trial = launch.start()
    identity = trial.config["task"].identity
    launch.callback.on_step_begin(0, [])
    launch.callback.on_trial_result(0, [], trial, {"tags": {"device": "cpu", "built": "1"}})
    launch.reach(trial, 7)
    launch.fail(trial, FileNotFoundError("x.png"))
    assert shown.mock_calls == [
        call.start_trial(identity),
        call.refresh(),
        call.begin_training(),
        call.add_rows(identity, [{"step": 7}], is_replay=False),
        call.end_trial(identity, TrialState.FAILED, None, failure="data", message="FileNotFoundError: x.png"),
    ]


def test_tune_forgets_what_a_trial_reported_once_it_has_ended(make_launch: Any) -> None:
    """Otherwise the driver of a launch of 10,000 trials holds the last rows of each, and every metric's statistics."""
    launch = make_launch(SHARED)
    trial = TuneTrial("", stub=True, config=launch.start().config)
    trial.update_last_result({"rows": [{"step": 1}], "peak_bytes": 1, "training_iteration": 1, "done": True})
    assert "peak_bytes" in trial.metric_analysis
    launch.callback.on_trial_complete(0, [trial], trial)
    assert trial.last_result == {"identity": trial.config["task"].identity, "trial_id": trial.trial_id}
    assert not trial.metric_analysis
    assert not trial.metric_n_steps


def wait_until(holds: Callable[[], bool]) -> None:
    while not holds():
        time.sleep(0.01)


def test_tunes_loop_waits_while_too_many_events_wait_for_a_store(
    make_launch: Any, tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is away, and is retried. The loop goes on once it is back, or at Ctrl-C."""
    most, num_steps = 8, 20
    monkeypatch.setattr("study.execution.recorder.MAX_BACKLOG", most)
    monkeypatch.setattr("study.execution.recorder.WRITE_INTERVAL_S", 0.0)
    monkeypatch.setattr("study.execution.ray_watch.RAY_CHECK_INTERVAL_S", 1e9)
    monkeypatch.setattr("study.system.retry.MIN_WAIT_S", 0.01)
    monkeypatch.setattr("study.system.retry.MAX_WAIT_S", 0.05)
    launch, store, is_away = make_launch(SHARED), Store(tmp_path / "store", cache_dir), threading.Event()
    recorder, log, [trial, _] = store.recorder, store.ledger.log, store.trials
    monkeypatch.setattr(launch.callback, "_recorder", recorder)

    def log_or_fail(*arguments: Any) -> None:
        if is_away.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        log(*arguments)

    monkeypatch.setattr(store.ledger, "log", log_or_fail)
    recorder.start_trial(trial.identity)
    lengths: list[int] = []

    def report_steps() -> None:
        for _ in range(num_steps):
            launch.callback.on_step_begin(0, [])
            recorder.add_rows(trial.identity, [{"step": len(lengths) + 1, "lr": 0.1}])
            lengths.append(recorder.backlog)

    is_away.set()
    loop = threading.Thread(target=report_steps)
    loop.start()
    wait_until(lambda: recorder.is_full)
    time.sleep(0.5)
    assert loop.is_alive()
    assert len(lengths) <= most + 1, "one may be written, or is being retried"
    is_away.clear()
    loop.join()
    assert len(lengths) == num_steps
    assert max(lengths) == most
    wait_until(lambda: recorder.backlog == 0)
    run_id = store.ledger.find(trial.identity).run_id
    assert store.ledger.curve(run_id, "lr") == [(step, 0.1) for step in range(1, num_steps + 1)]

    is_away.set()
    with handled(launch.stopper.handle_signal):
        interrupt = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
        interrupt.start()
        report_steps()  # what workers report while they stop
        interrupt.join()
    assert launch.stopper.interrupted
    assert len(lengths) == 2 * num_steps
    recorder.close(interrupted=True)
    assert recorder.backlog == 0
