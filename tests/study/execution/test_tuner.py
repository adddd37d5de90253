"""Requests to Ray Tune."""

from dataclasses import replace
from types import SimpleNamespace

from study.execution.resources import ResourceGrant
from study.execution.tuner import placement_group


def test_a_worker_that_waits_on_an_excluded_node_gets_no_further_trial() -> None:
    """Tune reuses a worker only for an equal request."""
    grant = ResourceGrant(num_cpus=1, num_gpus=0, max_cpus=1, max_concurrent_trials=1)
    before, after, again = (
        placement_group({"task": SimpleNamespace(grant=replace(grant, excluded_nodes=nodes))})
        for nodes in [(), ("a",), ("a",)]
    )
    assert before != after == again
