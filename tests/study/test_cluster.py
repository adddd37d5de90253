"""Which Ray a study runs on: real Rays, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from revit.errors import InputError
from study import cluster

JOIN_OR_START = """
import os, sys
import ray
from ray.cluster_utils import Cluster
from study.cluster import start_ray

other = Cluster(initialize_head=True, head_node_args={"num_cpus": 3})
try:
    os.environ["RAY_ADDRESS"] = other.address
    start_ray()
    own = ray.get_runtime_context().gcs_address
    assert own != other.address, "joined without being asked"
    ray.shutdown()
    start_ray(other.address)
    assert ray.get_runtime_context().gcs_address == other.address
    assert ray.cluster_resources()["CPU"] == 3
    ray.shutdown()
    assert other.list_all_nodes, "the cluster goes on without us"
finally:
    other.shutdown()
"""


@pytest.mark.long
def test_a_cluster_is_joined_only_where_it_is_asked_for(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", JOIN_OR_START], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_cluster_that_ray_would_join_by_itself_is_told_of_and_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    monkeypatch.setattr(cluster.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(cluster.ray, "init", lambda address, **_: started.append(address))
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    told: list[str] = []
    cluster.start_ray(tell=told.append)
    assert started == ["local"]
    assert told == ["RAY_ADDRESS = 10.0.0.1:6379 is ignored: --address 10.0.0.1:6379 joins that cluster"]
    assert "RAY_ADDRESS" not in os.environ, "nor does a library of ours see it"


@pytest.mark.parametrize("address", ["auto", "local", "ray://127.0.0.1:10001", "somewhere", "127.0.0.1:port"])
def test_an_address_is_a_host_and_a_port(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.ray, "is_initialized", lambda: False)
    with pytest.raises(InputError, match=f"--address = {address}: "):
        cluster.start_ray(address)


def test_a_cluster_that_does_not_answer_is_told_at_once(free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.ray, "is_initialized", lambda: False)
    with pytest.raises(
        InputError, match=rf"--address = 127.0.0.1:{free_port}: no Ray cluster answers there: .*refused"
    ):
        cluster.start_ray(f"127.0.0.1:{free_port}")
