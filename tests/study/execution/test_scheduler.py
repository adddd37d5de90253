"""Trials that wait for nodes that are gone, on real Ray. What nodes there are is made up."""

from types import SimpleNamespace
from typing import Any

import pytest
from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from search_spaces.framework.space import SearchSpace
from study.execution import runner
from study.execution.resources import Node
from study.execution.scheduler import TrialOrder
from study.layout import NEEDED_FILES
from study.ledger.states import TrialState
from tests.study.execution.stores import BASE, Studies


def short_of_memory(params: dict[str, Any]) -> None:
    """Finish where the trial has its node to itself."""
    task = params["task"]
    if task.grant.num_cpus == 1:
        raise MemoryError
    artifacts = task.storage.folder / task.work / "artifacts"
    artifacts.mkdir(parents=True)
    for name in NEEDED_FILES:
        (artifacts / name).touch()
    rows = [{"step": 12, "train_time_s": 1.0, "selected_val_accuracy": 0.5}]
    state = {"rows": rows, "is_replay": False, "saved": False, "state": TrialState.FINISHED}
    tune.report({"identity": task.identity, "peak_bytes": 0, **state})


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


class Controller:
    """A controller whose trials must not be looked through."""

    def get_trials(self) -> list[Any]:
        raise AssertionError("a look at every trial at each event takes longer the more have ended")

    get_live_trials = get_trials


def test_the_trial_that_has_waited_longest_starts_first() -> None:
    searcher: Any = SimpleNamespace(is_too_large=lambda task: False)
    scheduler, controller = TrialOrder(searcher), Controller()
    assert scheduler.choose_trial_to_run(controller) is None
    trials: list[Any] = [SimpleNamespace(status=TuneTrial.PENDING, config={"task": None}) for _ in range(3)]
    first, second, third = trials
    for trial in (first, second):
        scheduler.on_trial_add(controller, trial)
    assert scheduler.choose_trial_to_run(controller) is first, "it waits until a worker has started it"
    assert scheduler.choose_trial_to_run(controller) is first
    first.status = TuneTrial.RUNNING
    assert scheduler.choose_trial_to_run(controller) is second
    scheduler.on_trial_add(controller, third)
    second.status = TuneTrial.ERROR
    assert scheduler.choose_trial_to_run(controller) is third
    third.status = TuneTrial.TERMINATED
    assert scheduler.choose_trial_to_run(controller) is None
