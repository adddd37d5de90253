"""What is done about failures: real plan, queue and leases; what Tune, the recorder and the display do is played."""

import errno
import pickle
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ray.exceptions import ActorDiedError, NodeDiedError, OutOfMemoryError

from revit.config import FineTuneConfig
from revit.source import SOURCE
from search_spaces.framework.space import SearchSpace
from study.execution.callback import TuneCallback
from study.execution.failures import MAX_LOSSES, CodeChangedError
from study.execution.resources import ResourceGrant
from study.execution.searcher import TrialSearcher
from study.execution.stopper import Stopper
from study.execution.trial_task import make_task
from study.ledger.locks import Locks
from study.ledger.states import TrialState
from study.plan import Folders, make_plan

SPACE = SearchSpace(
    name="example",
    question="?",
    base=FineTuneConfig(dataset="digits", resolution=8, steps=100),
    scientific={"optimizer.lr": (0.1, 0.2)},
    seeds=(0,),
)


class Played:
    """A launch on a GPU of which trials get a share, without Tune; it keeps what the recorder is told of ends."""

    def __init__(self, root: Path, cache_dir: Path, grant: ResourceGrant) -> None:
        self.root = root
        plan = make_plan(SPACE, SPACE.seeds, Folders(store=root, data=root, cache=cache_dir), {})
        task_of = partial(make_task, work=root / "work", stop_file=root / "stop", kept_seed=0)
        self.stopper = Stopper(SimpleNamespace(print=print), root / "stop")
        locks = Locks(root / "locks")
        ledger = SimpleNamespace(find=lambda identity: None)
        self.searcher = TrialSearcher(plan.to_run, grant, task_of, locks, ledger, self.stopper)
        self.ended: list[dict[str, Any]] = []
        self.started: list[str] = []
        quiet = {name: lambda *_: None for name in ("add_rows", "update_step", "resume_trial", "requeue_trial")}
        self.recorder = recorder = SimpleNamespace(
            **quiet,
            error="",
            start_trial=lambda identity, record: self.started.append(identity),
            end_trial=lambda identity, state, **told: self.ended.append({"state": state, **told}),
        )
        progress = SimpleNamespace(**quiet, start_trial=lambda *_: None, end_trial=lambda *_: None)
        self.events = TuneCallback(recorder, progress, plan, self.searcher, self.stopper, locks, root / "work")

    def start(self) -> Any:
        """Tune asks for a trial, and a worker begins it."""
        while (params := self.searcher.suggest("")) is None:
            pass
        trial = SimpleNamespace(config=params, pickled_error_file=None, error_file=None)
        self.events.on_trial_start(0, [], trial)
        return trial

    def reach(self, trial: Any, step: int) -> None:
        self.events.on_trial_result(0, [], trial, {"rows": [{"step": step}], "is_replay": False, "saved": False})

    def fail(self, trial: Any, error: BaseException) -> None:
        trial.pickled_error_file = self.root / "error.pkl"
        trial.pickled_error_file.write_bytes(pickle.dumps(error))
        self.events.on_trial_error(0, [], trial)


@pytest.fixture
def play(tmp_path: Path, cache_dir: Path) -> Any:
    return lambda grant: Played(tmp_path, cache_dir, grant)


SHARED = ResourceGrant(num_cpus=4, num_gpus=0.5, max_cpus=8, max_concurrent_trials=2)
WHOLE = ResourceGrant(num_cpus=8, num_gpus=1.0, max_cpus=8, max_concurrent_trials=1)
NO_MEMORY = torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("error", [NO_MEMORY, OutOfMemoryError("the node was running low on memory")])
def test_a_trial_without_memory_runs_once_more_with_the_whole_device_and_machine(play: Any, error: Exception) -> None:
    played = play(SHARED)
    trial = played.start()
    task = trial.config["task"]
    assert (task.grant.num_cpus, task.grant.num_gpus) == (4, 0.5)
    played.fail(trial, error)
    assert played.ended == []
    again = played.start()
    assert again.config["task"] == replace(task, grant=replace(task.grant, num_cpus=8, num_gpus=1))
    played.fail(again, error)
    [told] = played.ended
    assert told["failure"].endswith("out of memory")
    assert str(error) in told["traceback"]
    assert played.searcher.num_left == 1, "the other trial goes on"


def test_where_it_had_all_of_them_it_has_failed(play: Any) -> None:
    played = play(WHOLE)
    played.fail(played.start(), NO_MEMORY)
    assert [told["failure"] for told in played.ended] == ["device out of memory"]


def test_a_lost_trial_goes_on_as_long_as_it_gets_anywhere(play: Any) -> None:
    played = play(SHARED)
    first = played.start().config["task"].identity
    played.searcher.requeue(first)
    for step in range(1, 10):
        trial = played.start()
        assert trial.config["task"].identity == first
        played.reach(trial, step)
        played.fail(trial, NodeDiedError("gone"))
    assert played.ended == []
    for _ in range(MAX_LOSSES):
        played.fail(played.start(), NodeDiedError("gone"))
    assert [told["failure"] for told in played.ended] == ["lost worker"]


def test_what_is_no_matter_of_memory_or_luck_is_not_repeated(play: Any) -> None:
    played = play(SHARED)
    for error in (ValueError("shapes differ"), FileNotFoundError(2, "gone")):
        played.fail(played.start(), error)
    assert [told["failure"] for told in played.ended] == ["code", "data"]
    assert played.searcher.num_left == 0


def test_once_the_study_stops_nothing_runs_again(play: Any) -> None:
    played = play(SHARED)
    trial = played.start()
    played.stopper.stop()
    assert not played.stopper.stop_all(), "it has not saved its state"
    played.fail(trial, NO_MEMORY)
    assert [told["failure"] for told in played.ended] == ["device out of memory"]
    assert played.stopper.stop_all()
    assert played.searcher.suggest("") == TrialSearcher.FINISHED


def test_a_worker_that_the_kernel_killed_for_memory_is_told_of_as_such(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = [4]  # of others, before this launch
    monkeypatch.setattr("study.execution.callback.num_killed_for_memory", lambda: killed[0])
    monkeypatch.setattr("study.execution.callback.memory_limit", lambda: 1_500_000_000)
    played = play(SHARED)
    played.fail(played.start(), ActorDiedError())
    trial = played.start()
    assert trial.config["task"].grant.num_cpus == 4, "a worker that was lost runs again beside others"
    for _ in range(2):
        killed[0] += 1
        played.fail(trial, ActorDiedError())
        trial = played.start() if not played.ended else trial
    [told] = played.ended
    assert told["failure"] == "host out of memory"
    assert told["message"].startswith("memory is short: 1.5 GB here, and a trial takes more than 900.0 MB")
    trial = played.start()
    played.events.on_trial_result(0, [], trial, {"peak_bytes": 950_000_000})
    killed[0] += 1
    played.fail(trial, ActorDiedError())
    killed[0] += 1
    played.fail(played.start(), ActorDiedError())
    assert "a trial takes up to 950.0 MB" in played.ended[-1]["message"]


def test_a_worker_that_the_stopping_signal_reached_leaves_its_trial_interrupted(play: Any) -> None:
    played = play(SHARED)
    trial = played.start()
    played.stopper.stop()
    played.fail(trial, NodeDiedError("gone"))
    assert played.ended == [], "the recorder marks it as interrupted"
    assert played.stopper.stop_all()


def test_a_trial_that_no_worker_came_to_begin_is_begun_before_it_is_ended(play: Any) -> None:
    """Else its end could not be written, and its failure would be that instead of the worker's."""
    played = play(WHOLE)
    while (params := played.searcher.suggest("")) is None:
        pass
    played.fail(SimpleNamespace(config=params), ValueError("the worker's environment cannot be set up"))
    assert played.started == [params["task"].identity]
    [told] = played.ended
    assert (told["state"], told["message"]) == (
        TrialState.FAILED,
        "ValueError: the worker's environment cannot be set up",
    )


def test_a_worker_with_other_code_stops_the_study_and_its_trial_has_not_failed(play: Any) -> None:
    played = play(SHARED)
    first, second = played.start(), played.start()
    played.fail(first, CodeChangedError("1234", 2, "abcd", 1))
    assert played.stopper.stopping
    assert [told["state"] for told in played.ended] == [TrialState.INTERRUPTED]
    [line] = played.events.stop_reason.splitlines()
    assert "source 1234, training version 2" in line
    assert "source abcd, training version 1" in line
    assert not played.stopper.stop_all(), "the other trial saves its state first"
    assert second.config["task"].source == SOURCE


@pytest.mark.parametrize("whose", ["recorder", "searcher"])
def test_what_no_trial_can_go_on_from_stops_the_study_with_one_line(play: Any, whose: str) -> None:
    played = play(SHARED)
    getattr(played, whose).error = "the experiment was deleted"
    played.events.on_step_begin(0, [])
    assert played.stopper.stopping
    assert played.events.stop_reason == "the study was stopped: the experiment was deleted"


def test_tune_s_loop_does_not_wait_for_a_server_that_is_slow_to_give_a_lease(play: Any) -> None:
    played = play(SHARED)
    answered = threading.Event()
    asked_in: list[str] = []

    def find(identity: str) -> None:
        asked_in.append(threading.current_thread().name)
        answered.wait()

    played.searcher._ledger.find = find
    assert [played.searcher.suggest("") for _ in range(3)] == [None, None, None]
    assert len(asked_in) == 1, "nor is it asked again meanwhile"
    assert asked_in[0] != threading.current_thread().name
    answered.set()
    assert played.start().config["task"].identity in played.events._trials


def test_a_store_that_refuses_a_lease_for_good_is_a_fault_and_one_that_is_away_is_asked_again(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.execution.searcher.LOCK_POLL_S", 0.0)
    played = play(SHARED)
    errors = iter([OSError(errno.ESTALE, "Stale file handle"), ValueError("no such run\nat all")])

    def find(identity: str) -> None:
        raise next(errors)

    played.searcher._ledger.find = find
    while not played.searcher.error:
        assert played.searcher.suggest("") is None
    assert played.searcher.error == "no trial can be started: no such run"
    assert next(errors, None) is None
    assert played.searcher.num_left == 2, "none is taken for done"
