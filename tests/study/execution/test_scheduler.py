"""Order of trials: which of them starts, on which worker, on real Ray. What nodes there are is made up."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from search_spaces.framework.space import SearchSpace
from study.execution import runner
from study.execution.resources import Node
from study.execution.scheduler import TrialOrder
from study.execution.trial_task import TrialTask
from study.layout import NEEDED_FILES
from study.ledger.states import TrialState
from tests.study.execution.stores import BASE, Studies


def finish(task: TrialTask) -> None:
    artifacts = task.storage.folder / task.work / "artifacts"
    artifacts.mkdir(parents=True)
    for name in NEEDED_FILES:
        (artifacts / name).touch()
    rows = [{"step": 12, "train_time_s": 1.0, "selected_val_accuracy": 0.5}]
    state = {"rows": rows, "is_replay": False, "saved": False, "state": TrialState.FINISHED}
    tune.report({"identity": task.identity, "peak_bytes": 0, **state})


def short_of_memory(params: dict[str, Any]) -> None:
    """Finish where the trial has its node to itself."""
    if params["task"].grant.num_cpus == 1:
        raise MemoryError
    finish(params["task"])


def test_a_trial_that_needs_a_node_to_itself_gets_the_largest_that_is_left_when_that_node_dies(
    studies: Studies, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node of a thousand CPUs dies while the trial waits for it; the one of two remains."""
    is_alive = {"large": True}

    def find_nodes() -> list[Node]:
        large = [Node(cpus=1000, gpus=0, id="large")] if is_alive["large"] else []
        return [*large, Node(cpus=2, gpus=0, id="small")]

    suggest = runner.TrialSearcher.suggest

    def kill_once_handed_out(searcher: Any, trial_id: str) -> Any:
        params = suggest(searcher, trial_id)
        if isinstance(params, dict) and params["task"].grant.num_cpus == 1000:
            is_alive["large"] = False
        return params

    monkeypatch.setattr("study.execution.ray_watch.RAY_CHECK_INTERVAL_S", 0.1)
    monkeypatch.setattr("study.execution.admission.find_nodes", find_nodes)
    monkeypatch.setattr(runner, "train_trial", short_of_memory)
    monkeypatch.setattr(runner.TrialSearcher, "suggest", kill_once_handed_out)
    space = SearchSpace(name="wide", question="?", base=BASE, scientific={"optimizer.lr": (0.0777,)}, seeds=(0,))
    _, result = studies.run(space)
    assert set(result.states.values()) == {TrialState.FINISHED}
    assert not is_alive["large"]


def slow_to_start(folder: Path) -> Callable[[dict[str, Any]], None]:
    """Return a trial that ends at once, or, after three, when two workers train. The second worker starts slowly.

    What is nested, Ray takes along by value.
    """
    driver = os.getpid()

    def load() -> Any:
        if os.getpid() == driver:
            return Slow()  # for Tune, which copies its function
        (folder / f"started {os.getpid()}").touch()
        try:
            (folder / "first").mkdir()
        except FileExistsError:
            time.sleep(4)
        return None

    class Slow:
        def __reduce__(self) -> Any:
            return load, ()

    slow = Slow()

    def train(params: dict[str, Any]) -> None:
        assert slow is None, "this worker has loaded it"
        (folder / f"trained {os.getpid()}").touch()
        (folder / f"trial {params['task'].identity}").touch()
        until = time.monotonic() + 120
        while len(list(folder.glob("trained *"))) < 2 and len(list(folder.glob("trial *"))) > 3:
            assert time.monotonic() < until, "no second worker starts"
            time.sleep(0.02)
        finish(params["task"])

    return train


def test_a_worker_that_starts_is_not_stopped_for_one_that_has_ended_a_trial(
    studies: Studies, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Else a node would never start while others end trials faster than a worker starts."""
    monkeypatch.setattr("study.execution.admission.find_nodes", lambda: [Node(cpus=2, gpus=0)])
    monkeypatch.setattr(runner, "train_trial", slow_to_start(tmp_path))
    space = SearchSpace(
        name="short", question="?", base=BASE, scientific={"optimizer.lr": (0.01,)}, seeds=tuple(range(10))
    )
    _, result = studies.run(space)
    assert set(result.states.values()) == {TrialState.FINISHED}
    assert len(list(tmp_path.glob("trained *"))) == 2, "both train"
    assert len(list(tmp_path.glob("started *"))) == 2, "and none was begun in vain"


def train_until_stopped(folder: Path) -> Callable[[dict[str, Any]], None]:
    """Return a trial that goes on until the study stops. Seed 0 goes on until another trial could have begun."""

    def train(params: dict[str, Any]) -> None:
        task = params["task"]
        seed = task.config["seed"]
        (folder / str(seed)).touch()
        until = time.monotonic() + 120
        while not (task.storage.folder / task.stop_file).exists():
            assert time.monotonic() < until, "the study does not stop"
            time.sleep(0.02)
        time.sleep(0 if seed else 3)
        report = {"rows": [{"step": 1}], "is_replay": False, "saved": True}
        tune.report({"identity": task.identity, "peak_bytes": 0, **report})

    return train


def test_a_trial_that_waits_for_a_worker_does_not_start_once_the_study_stops(
    studies: Studies, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Tune has three of four trials; the third waits for one of two workers."""
    handed_out: list[str] = []
    suggest, begin_step = runner.TrialSearcher.suggest, runner.TuneCallback.on_step_begin

    def count(searcher: Any, trial_id: str) -> Any:
        params = suggest(searcher, trial_id)
        handed_out.extend([trial_id] if isinstance(params, dict) else [])
        return params

    def stop_while_one_waits(callback: Any, *arguments: Any, **named: Any) -> None:
        if len(handed_out) == 3 and len(list(tmp_path.joinpath("begun").iterdir())) == 2:
            callback.stop("test")
        begin_step(callback, *arguments, **named)

    (tmp_path / "begun").mkdir()
    monkeypatch.setattr("study.execution.admission.find_nodes", lambda: [Node(cpus=2, gpus=0)])
    monkeypatch.setattr(runner, "train_trial", train_until_stopped(tmp_path / "begun"))
    monkeypatch.setattr(runner.TrialSearcher, "suggest", count)
    monkeypatch.setattr(runner.TuneCallback, "on_step_begin", stop_while_one_waits)
    space = SearchSpace(
        name="stopped", question="?", base=BASE, scientific={"optimizer.lr": (0.0888,)}, seeds=(0, 1, 2, 3)
    )
    _, result = studies.run(space)
    assert len(handed_out) == 3
    assert sorted(result.states.values()) == [TrialState.INTERRUPTED] * 2
    assert {path.name for path in (tmp_path / "begun").iterdir()} == {"0", "1"}


class Controller:
    """A controller whose trials must not be looked through. Workers start for some of them."""

    def __init__(self) -> None:
        self.starting: list[Any] = []
        self._tune_controller = self
        self._actor_manager = SimpleNamespace(is_actor_started=self.starting.__contains__)

    @property
    def _trial_to_actor(self) -> dict[Any, Any]:
        return {trial: trial for trial in self.starting}

    def get_trials(self) -> list[Any]:
        raise AssertionError("a look at every trial at each event takes longer the more have ended")

    get_live_trials = get_trials


class Waiting:
    """A trial of Tune that waits."""

    def __init__(self) -> None:
        self.status: str = TuneTrial.PENDING
        self.config: dict[str, Any] = {"task": None}


def test_the_trial_that_has_waited_longest_starts_first() -> None:
    searcher: Any = SimpleNamespace(is_too_large=lambda task: False)
    stopper: Any = SimpleNamespace(stopping=False)
    scheduler, controller = TrialOrder(searcher, stopper), Controller()
    assert scheduler.choose_trial_to_run(controller) is None
    trials: list[Any] = [Waiting() for _ in range(3)]
    first, second, third = trials
    for trial in (first, second):
        scheduler.on_trial_add(controller, trial)
    assert scheduler.choose_trial_to_run(controller) is first, "it waits until a worker has started it"
    assert scheduler.choose_trial_to_run(controller) is first
    controller.starting.append(first)
    assert scheduler.choose_trial_to_run(controller) is second, "the first one has a worker"
    controller.starting.append(second)
    assert scheduler.choose_trial_to_run(controller) is first, "no other one waits"
    controller.starting.clear()
    first.status = TuneTrial.RUNNING
    assert scheduler.choose_trial_to_run(controller) is second
    scheduler.on_trial_add(controller, third)
    second.status = TuneTrial.ERROR
    assert scheduler.choose_trial_to_run(controller) is third
    third.status = TuneTrial.TERMINATED
    assert scheduler.choose_trial_to_run(controller) is None
