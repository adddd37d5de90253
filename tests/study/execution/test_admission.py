"""Admission to nodes that are made up."""

import os
from pathlib import Path

import pytest

from study.execution.admission import admit
from study.execution.resources import Node, ResourceRequest
from study.system.storage import Storage


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> list[Node]:
    monkeypatch.setenv("TUNE_MAX_PENDING_TRIALS_PG", "0")
    nodes = [Node(cpus=8, gpus=2), Node(cpus=4, gpus=1)]
    monkeypatch.setattr("study.execution.admission.find_nodes", lambda: nodes)
    return nodes


def test_trials_keep_their_size_while_nodes_come_or_go(nodes: list[Node], tmp_path: Path) -> None:
    pool, grant = admit(ResourceRequest(), [], Storage(str(tmp_path)), print)
    assert (grant.num_cpus, grant.num_gpus, grant.max_concurrent_trials) == (4, 1, 3)
    assert os.environ["TUNE_MAX_PENDING_TRIALS_PG"] == "3"
    nodes.append(Node(cpus=64, gpus=4))
    assert (pool.grant().num_cpus, pool.grant().max_concurrent_trials) == (4, 7)
