"""Trials that wait for resources which nobody frees, on real Ray."""

import io
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import ray
from ray.util.placement_group import get_placement_group, placement_group, remove_placement_group
from rich.console import Console

from search_spaces.framework.space import SearchSpace
from study.execution import resource_wait, runner
from study.execution.failures import RayLostError
from study.execution.progress import StudyProgress
from study.execution.resource_wait import MAX_CHECKS, ResourceWait, find_waiting
from study.execution.resources import ResourceRequest
from study.execution.runner import run_plans
from study.ledger.states import TrialState
from tests.study.execution.stores import BASE, Studies
from tests.study.execution.test_scheduler import short_of_memory

KEEP_A_CPU = """
import sys
import ray
from ray.util.placement_group import placement_group
ray.init(sys.argv[1], namespace=sys.argv[2])
assert placement_group([{"CPU": 1}], name="left", lifetime="detached").wait(60)
"""
"""Program that leaves a placement group behind, as another user of a cluster may."""


@pytest.mark.usefixtures("ray_cluster")
def test_a_trial_waits_while_a_group_is_pending_and_none_has_its_resources() -> None:
    assert find_waiting() == {}
    waiting = placement_group([{"CPU": 1000.0}, {"CPU": 1.0, "GPU": 4.0}])
    granted = placement_group([{"CPU": 1.0}])
    try:
        assert granted.wait(60)
        assert find_waiting() == {}
        remove_placement_group(granted)
        assert find_waiting() == {"CPU": 1001.0, "GPU": 4.0}
    finally:
        remove_placement_group(granted)
        remove_placement_group(waiting)


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def check(lines: list[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Check a launch on four CPUs and a GPU so many times; `needed` is what one of its trials waits for."""
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 4.0, "GPU": 1.0})
    monkeypatch.setattr(ray, "available_resources", lambda: {"CPU": 1.0})
    wait = ResourceWait(lines.append)

    def check(num_times: int, needed: dict[str, float], *, is_private: bool) -> None:
        monkeypatch.setattr(resource_wait, "find_waiting", lambda: needed)
        monkeypatch.setattr(resource_wait, "is_private", lambda: is_private)
        for _ in range(num_times):
            wait.check()

    return check


LINE = "no trial runs: one waits for 1 CPUs and 1 GPUs, and of 4 CPUs and 1 GPUs, 1 CPUs and 0 GPUs are free; "
NEEDED = {"CPU": 1.0, "GPU": 1.0}


def test_a_private_ray_has_lost_what_a_trial_waits_for_too_long(check: Callable[..., None], lines: list[str]) -> None:
    check(MAX_CHECKS - 1, NEEDED, is_private=True)
    check(1, {}, is_private=True)  # it has started
    check(MAX_CHECKS - 1, NEEDED, is_private=True)
    assert lines == []
    with pytest.raises(RayLostError):
        check(1, NEEDED, is_private=True)
    assert lines == [LINE + "Ray has lost the others: it is started again, and the trials resume"]
    check(MAX_CHECKS - 1, NEEDED, is_private=True)
    with pytest.raises(RayLostError):
        check(1, NEEDED, is_private=True)


def test_on_a_cluster_trials_wait_for_others_and_say_so_once(check: Callable[..., None], lines: list[str]) -> None:
    check(3 * MAX_CHECKS, NEEDED, is_private=False)
    assert lines == [LINE + "it waits until others free enough; Ctrl-C stops"]
    check(1, {}, is_private=False)
    check(MAX_CHECKS, NEEDED, is_private=False)
    assert len(lines) == 2


@pytest.mark.long
@pytest.mark.parametrize("is_private", [True, False], ids=["private", "cluster"])
def test_a_trial_whose_resources_are_lost_in_mid_launch_finishes(
    studies: Studies, monkeypatch: pytest.MonkeyPatch, *, is_private: bool
) -> None:
    """One CPU is taken while the trial runs on another; then the trial needs all of them."""
    context = ray.get_runtime_context()
    former, suggest, show, lines = context.gcs_address, runner.TrialSearcher.suggest, StudyProgress.show, []

    def keep_a_cpu(searcher: Any, trial_id: str) -> Any:
        params = suggest(searcher, trial_id)
        if isinstance(params, dict) and params["task"].grant.num_cpus == 1:
            subprocess.run([sys.executable, "-c", KEEP_A_CPU, former, context.namespace], check=True)
        return params

    def show_and_free(progress: StudyProgress, line: str) -> None:
        lines.append(line)
        show(progress, line)
        if not is_private:
            remove_placement_group(get_placement_group("left"))

    monkeypatch.setattr("study.execution.ray_watch.RAY_CHECK_INTERVAL_S", 0.1)
    monkeypatch.setattr(resource_wait, "MAX_CHECKS", 20)
    monkeypatch.setattr(runner, "train_trial", short_of_memory)
    monkeypatch.setattr(runner.TrialSearcher, "suggest", keep_a_cpu)
    monkeypatch.setattr(StudyProgress, "show", show_and_free)
    if not is_private:
        monkeypatch.setattr(resource_wait, "is_private", lambda: False)
    rates = (0.0778 if is_private else 0.0779,)
    space = SearchSpace(name="lost", question="?", base=BASE, scientific={"optimizer.lr": rates}, seeds=(0,))
    plan = studies.plan(space)
    result = run_plans([plan], studies.ledger, Console(file=io.StringIO()), ResourceRequest(), {})
    assert set(result.states.values()) == {TrialState.FINISHED}
    [line] = lines
    assert ("started again" in line) == is_private
    assert (ray.get_runtime_context().gcs_address != former) == is_private
