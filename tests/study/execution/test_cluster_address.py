"""Addresses of clusters, with no cluster behind them. One is joined in `test_node_probe.py`."""

import re
import socket
import sys
import time
from collections.abc import Iterator

import pytest
import ray

from revit.errors import InputError
from study.execution import cluster_address
from study.execution.cluster_address import find_cluster


@pytest.fixture
def silent_address() -> Iterator[str]:
    """A port of this machine where somebody listens, and does not answer."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("address", ["local", "somewhere", "127.0.0.1:port", "", "http://127.0.0.1:6379"])
def test_an_address_is_a_host_and_a_port(address: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"--address = {address}: must be auto, or HOST:PORT")):
        find_cluster(address)


@pytest.mark.parametrize("address", ["ray://10.0.0.1:10001", "ray://10.0.0.1", "ray://"])
def test_ray_client_is_refused_with_what_does_the_same(address: str) -> None:
    host = "10.0.0.1" if "10.0" in address else "HOST"
    advice = f"`ray start --address={host}:6379 --num-cpus=0 --num-gpus=0`, then use --address {host}:6379"
    with pytest.raises(InputError, match=f"^--address = {address}: .*away from this ledger; .*{advice}$"):
        find_cluster(address)
    with pytest.raises(InputError, match=f"^--address = {address}: "):
        find_cluster("auto", named=address)


def test_auto_without_a_cluster_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_address.services, "find_gcs_addresses", set)
    monkeypatch.setattr(cluster_address.services, "find_bootstrap_address", lambda _: None)
    with pytest.raises(InputError, match="--address = auto: no Ray cluster runs on this machine, and RAY_ADDRESS is"):
        find_cluster("auto")


def test_a_port_that_is_closed_is_an_error_at_once(free_port: int) -> None:
    address = f"127.0.0.1:{free_port}"
    with pytest.raises(InputError, match=f"--address = {address}: no Ray cluster answers there: .*refused"):
        find_cluster(address)


def test_a_port_that_does_not_answer_is_an_error_in_time(silent_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray itself would wait for more than a minute."""
    assert cluster_address.CONNECT_TIMEOUT_S <= 10
    monkeypatch.setattr(cluster_address, "CONNECT_TIMEOUT_S", 1.0)
    begin_s = time.monotonic()
    with pytest.raises(InputError, match=f"--address = {silent_address}: no Ray cluster answers there within 1 s"):
        find_cluster(silent_address)
    assert time.monotonic() - begin_s < 60


PYTHON = ".".join(map(str, sys.version_info[:3]))


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        (
            {"ray_version": "2.9.0", "python_version": "3.10.1"},
            f"the cluster runs Ray 2.9.0 on Python 3.10.1, and this process Ray {ray.__version__} on Python {PYTHON}",
        ),
        ({"python_version": "3.11.99"}, f"on Python 3.11.99, and .* on Python {PYTHON}: they must be equal"),
        ({"has_this_machine": False}, "not a node of that cluster; `ray start --address=HOST:1 --num-cpus=0 "),
    ],
)
def test_a_cluster_that_this_process_cannot_join_is_refused(
    cluster: dict, message: str, silent_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"ray_version": ray.__version__, "python_version": PYTHON, "has_this_machine": True}
    monkeypatch.setattr(cluster_address, "_ask", lambda _: {**found, **cluster})
    with pytest.raises(InputError, match=message):
        find_cluster("HOST:1")
    monkeypatch.setattr(cluster_address, "_ask", lambda _: found)
    assert find_cluster("HOST:1") == find_cluster("auto", named="HOST:1") == "HOST:1"


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import sys; sys.exit('Error: the wire is cut')", "the cluster cannot be joined: Error: the wire is cut"),
        ("raise RuntimeError('InvalidAuthToken: it is missing')", "it needs a token: set RAY_AUTH_MODE=token, and "),
    ],
)
def test_a_cluster_that_refuses_is_an_error_in_one_line(
    program: str, message: str, silent_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_address, "_QUESTION", program)
    with pytest.raises(InputError, match=message):
        find_cluster(silent_address)
