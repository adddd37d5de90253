"""Requests to Ray Tune."""

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray import tune

from study.execution.cluster import start_ray
from study.execution.resources import ResourceGrant
from study.execution.tuner import placement_group, run_tune


def test_a_worker_that_waits_on_an_excluded_node_gets_no_further_trial() -> None:
    """Tune reuses a worker only for an equal request."""
    grant = ResourceGrant(num_cpus=1, num_gpus=0, max_cpus=1, max_concurrent_trials=1)
    before, after, again = (
        placement_group({"task": SimpleNamespace(grant=replace(grant, excluded_nodes=nodes))})
        for nodes in [(), ("a",), ("a",)]
    )
    assert before != after == again


def report_process(params: dict[str, Any]) -> None:
    tune.report({"pid": os.getpid()})


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("compiled", [False, True])
def test_a_compiled_trial_has_a_process_of_its_own(tmp_path: Path, *, compiled: bool) -> None:
    start_ray()  # anew, where some CPU is not free
    num_cpus = int(ray.cluster_resources()["CPU"])
    grant = ResourceGrant(num_cpus=num_cpus, num_gpus=0, max_cpus=num_cpus, max_concurrent_trials=1, compiled=compiled)
    pids: list[int] = []

    class Listener(tune.Callback):
        def on_trial_result(self, *, result: dict[str, Any], **_: Any) -> None:
            pids.append(result["pid"])

    tasks = tune.grid_search([SimpleNamespace(grant=grant, number=number) for number in range(2)])
    run_tune(report_process, Listener(), tmp_path / "tune", tasks=tasks, reuses_workers=grant.reuses_workers)
    assert len(pids) == 2
    assert len(set(pids)) == 1 + compiled
    assert not replace(grant, num_gpus=1, compiled=True).prepares_next
