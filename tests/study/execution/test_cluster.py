"""Connections to real Rays, each in a process of its own."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import psutil
import pytest
from ray.cluster_utils import Cluster
from ray.util.placement_group import placement_group, remove_placement_group

from revit.errors import InputError
from study import RAY_BEYOND_THIS_MACHINE
from study.execution import cluster
from study.execution.resources import Node
from study.system.signals import ENDING

ROOT = Path(__file__).parents[3]

JOIN_OR_START = """
import os, sys
import ray
from ray.cluster_utils import Cluster
from study.execution.cluster import start_ray

other = Cluster(initialize_head=True, head_node_args={"num_cpus": 3})
try:
    os.environ["RAY_ADDRESS"] = other.address
    start_ray()
    own = ray.get_runtime_context().gcs_address
    assert own != other.address, "joined without --address"
    ray.shutdown()
    start_ray(other.address)
    assert ray.get_runtime_context().gcs_address == other.address
    assert ray.cluster_resources()["CPU"] == 3
    ray.shutdown()
    assert other.list_all_nodes, "the cluster stays alive without us"
finally:
    other.shutdown()
"""


@pytest.mark.long
def test_a_cluster_is_joined_only_by_its_address(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", JOIN_OR_START], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr


BUSY = """
import threading, time
import psutil, ray
from study.execution.cluster import ray_is_alive, start_ray

def find_gcs():
    while True:
        for child in psutil.Process().children():
            if child.name().startswith("gcs_server"):
                return child
        time.sleep(0.01)

def freeze():
    gcs = find_gcs()
    gcs.suspend()
    time.sleep(15)
    gcs.resume()

threading.Thread(target=freeze).start()
start_ray()
assert ray_is_alive()
find_gcs().kill()
time.sleep(1)
assert not ray_is_alive()
ray.shutdown()
start_ray()
assert ray_is_alive()
"""


@pytest.mark.long
def test_a_gcs_that_is_slow_to_start_or_dies_does_not_end_the_driver() -> None:
    done = subprocess.run([sys.executable, "-c", BUSY], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("started", "dead", "alive"),
    [
        (["gcs_server", "raylet", "log_monitor"], [], True),
        (["gcs_server", "raylet", "log_monitor"], ["log_monitor"], True),
        (["gcs_server", "raylet", "log_monitor"], ["gcs_server"], False),
        (["gcs_server", "raylet", "log_monitor"], ["raylet", "log_monitor"], False),
        ([], [], True),
    ],
)
def test_ray_is_alive_while_its_own_processes_are(
    started: list[str], dead: list[str], alive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dead GCS of our own is not called: Ray would end this process. That of a joined cluster is."""
    node = SimpleNamespace(all_processes=started, dead_processes=lambda: [(kind, None) for kind in dead])
    monkeypatch.setattr(cluster.worker, "_global_node", node)
    monkeypatch.setattr(cluster, "find_nodes", lambda: [] if started else [Node(cpus=1, gpus=0)])
    assert cluster.ray_is_alive() == alive


def test_a_ray_that_was_shut_down_is_not_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.worker, "_global_node", None)
    assert not cluster.ray_is_alive()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_study_finishes_on_a_cluster_that_loses_a_node_and_gets_another(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nodes have none of our code, and neither they nor the driver a home folder that can be written."""
    monkeypatch.setenv("HOME", "/dev/null")
    (tmp_path / "revit").mkdir()
    (tmp_path / "revit" / "__init__.py").write_text("raise RuntimeError('the code of the node')\n")
    own = {"PYTHONPATH": str(tmp_path)}
    store = tmp_path / "mlruns"
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "env_vars": own})
    try:
        first = nodes.add_node(num_cpus=1, env_vars=own, runtime_env_dir_name="code-of-first")
        nodes.add_node(num_cpus=2, env_vars=own, runtime_env_dir_name="code-of-second")
        address = ["--address", nodes.address, "--store", str(store), "--cache-dir", str(cache_dir)]
        command = [sys.executable, str(ROOT / "run_study.py"), "run", "quickstart", "--seeds", "1", *address]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            while not list(store.glob("work/*/checkpoint.pt")):
                assert process.poll() is None, "it ended before a node could be removed"
                time.sleep(0.2)
            nodes.remove_node(first, allow_graceful=False)
            nodes.add_node(num_cpus=1, env_vars=own, runtime_env_dir_name="code-of-third")
            stdout, stderr = process.communicate(timeout=600)
        assert process.returncode == 0, stdout + stderr
        assert len(re.findall(r"  finished  ", stdout)) == 4
    finally:
        nodes.shutdown()


def free_cpus(nodes: Cluster) -> float:
    """Return the CPUs of a cluster that nothing has reserved."""
    return float(nodes.global_state.available_resources().get("CPU", 0.0))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_driver_that_is_interrupted_or_dies_leaves_nothing_running_on_the_cluster(
    tmp_path: Path, cache_dir: Path
) -> None:
    """The CPUs of all nodes are free again, and the same command resumes."""
    store = tmp_path / "mlruns"
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    folders = ["--store", str(store), "--cache-dir", str(cache_dir)]
    command = [sys.executable, str(ROOT / "run_study.py"), "run", "quickstart", "--seeds", "1", *folders]
    command += ["--address", nodes.address]
    try:
        for _ in range(2):
            nodes.add_node(num_cpus=1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
                while free_cpus(nodes):
                    assert process.poll() is None, process.communicate()[0]
                    time.sleep(0.2)
                process.send_signal(number)
                stdout, _ = process.communicate(timeout=120)
                assert process.returncode == (-number if number == signal.SIGKILL else 130), stdout
            deadline = time.monotonic() + 60
            while free_cpus(nodes) < 2:
                assert time.monotonic() < deadline, "actors of ours are left"
                time.sleep(0.2)
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        nodes.shutdown()


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing starts; what starting sets in the environment is put back."""
    monkeypatch.setattr(cluster.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(cluster.ray, "shutdown", lambda: None)
    monkeypatch.setattr(cluster.RayProcess, "started", [])  # those of the Ray that other tests share stay
    with mock.patch.dict(os.environ):
        yield


def test_the_cluster_of_ray_address_is_reported_and_ignored(no_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    monkeypatch.setattr(cluster.ray, "init", lambda address, **_: started.append(address))
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    lines: list[str] = []
    cluster.start_ray(log=lines.append)
    assert started == ["local"]
    assert lines == ["RAY_ADDRESS = 10.0.0.1:6379 is ignored: --address 10.0.0.1:6379 joins that cluster"]
    assert "RAY_ADDRESS" not in os.environ, "nor does a library of ours see it"


def test_auto_joins_the_cluster_of_ray_address_each_time(no_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study that loses its connection joins again."""
    joined: list[str] = []
    monkeypatch.setattr(cluster, "find_cluster", lambda address, named: f"{named} by {address}")
    monkeypatch.setattr(cluster.ray, "init", lambda address, runtime_env, **_: joined.append(address))
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    for _ in range(2):
        cluster.start_ray("auto", log=pytest.fail)
    assert joined == ["10.0.0.1:6379 by auto"] * 2


def test_a_cluster_that_refuses_the_connection_is_an_error_in_one_line(
    no_ray: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(*_: object, **__: object) -> None:
        raise ConnectionError("the head is gone\nsee the logs")

    monkeypatch.setattr(cluster, "find_cluster", lambda address, _: address)
    monkeypatch.setattr(cluster.ray, "init", init)
    with pytest.raises(InputError, match=r"^--address = HOST:1: the cluster cannot be joined: the head is gone$"):
        cluster.start_ray("HOST:1")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            RuntimeError("The current node timed out\nsee the logs"),
            "Ray cannot be started: The current node timed",
        ),
        (OSError(28, "No space left"), "No space left; its files are in .*, RAY_TMPDIR names another folder"),
    ],
)
def test_ray_is_started_up_to_three_times_before_it_is_an_error_in_one_line(
    error: Exception, message: str, no_ray: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy machine: its processes may time out."""
    failing: list[Exception] = []

    def init(*_: object, **__: object) -> None:
        if failing:
            raise failing.pop()

    monkeypatch.setattr(cluster.ray, "init", init)
    failing += [error] * (cluster.MAX_STARTS - 1)
    cluster.start_ray()
    failing += [error] * cluster.MAX_STARTS
    with pytest.raises(InputError, match=message):
        cluster.start_ray()
    assert failing == []


@pytest.mark.usefixtures("ray_cluster")
def test_a_private_ray_is_started_anew_where_an_earlier_launch_left_cpus_reserved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or a trial that requests all of them would never start in a notebook's second launch."""
    calls: list[str] = []
    cluster.start_ray()
    monkeypatch.setattr(cluster, "FREE_TIMEOUT_S", 0.5)
    monkeypatch.setattr(cluster.ray, "shutdown", lambda: calls.append("shutdown"))
    monkeypatch.setattr(cluster, "_start_private", lambda: calls.append("start"))
    left = placement_group([{"CPU": 1}])
    try:
        assert left.wait(60)
        cluster.start_ray()
    finally:
        remove_placement_group(left)
    assert calls == ["shutdown", "start"]
    monkeypatch.setattr(cluster, "FREE_TIMEOUT_S", 60)
    cluster.start_ray()
    assert calls == ["shutdown", "start"], "it is free again"


def test_processes_of_ray_ignore_signals_and_a_failed_start_leaves_none(
    no_ray: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[cluster.RayProcess] = []
    children: list[psutil.Process] = []

    def init(*_: object, **__: object) -> None:
        process = cluster.services.ConsolePopen(["bash", "-c", "sleep 100 & wait"])
        started.append(process)
        assert os.getpgid(process.pid) == process.pid, "a group of its own"
        for number in ENDING:
            process.send_signal(number)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        while not (found := psutil.Process(process.pid).children()):
            time.sleep(0.01)
        children.extend(found)
        raise RuntimeError("The current node timed out")

    monkeypatch.setattr(cluster.ray, "init", init)
    with pytest.raises(InputError, match="Ray cannot be started"):
        cluster.start_ray()
    assert len(started) == cluster.MAX_STARTS
    assert {process.poll() for process in started} == {-signal.SIGKILL}
    while any(map(is_alive, children)):  # or this test times out
        time.sleep(0.01)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) & set(ENDING) == set()


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_workers_use_the_cache_folder_of_the_launch_whatever_the_environment_says(
    no_ray: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver has read the variable, and its flag may have overridden it."""
    inherited: list[str | None] = []
    monkeypatch.setenv("REVIT_CACHE_DIR", "/of/the/driver")
    monkeypatch.setattr(cluster.ray, "init", lambda *_, **__: inherited.append(os.environ.get("REVIT_CACHE_DIR")))
    cluster.start_ray()
    assert inherited == [None]
    assert os.environ["REVIT_CACHE_DIR"] == "/of/the/driver"


def test_ray_keeps_its_secret_out_of_the_home_folder(no_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The home folder of a service account may be read-only."""
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setattr(cluster.ray, "init", lambda *_, **__: None)
    cluster.start_ray()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


def test_nodes_have_cpus_gpus_an_id_and_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head node may have no CPUs. Dead nodes are left out."""
    head = {"NodeID": "0123456789", "NodeManagerHostname": "head"}
    nodes = [
        {**head, "Alive": True, "Resources": {"memory": 1.0}},
        {**head, "Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}},
        {**head, "Alive": False, "Resources": {"CPU": 64.0}},
    ]
    monkeypatch.setattr(cluster.ray, "nodes", lambda: nodes)
    named = {"id": "0123456789", "name": "head (01234567)"}
    assert cluster.find_nodes() == [Node(cpus=0, gpus=0, **named), Node(cpus=8, gpus=2, **named)]


def test_a_ray_that_is_open_to_other_machines_is_warned_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RAY_BEYOND_THIS_MACHINE, "1")
    monkeypatch.setattr(cluster.ray, "is_initialized", lambda: True)
    with pytest.warns(UserWarning, match="Ray can be reached, and given code to run, from other machines"):
        cluster.start_ray()


PRINT = """
import sys
import study
from ray._private.worker import print_to_stdstream

for message in sys.argv[1:]:
    print_to_stdstream({"lines": [message], "pid": "raylet", "is_err": False}, ignore_prefix=True)
"""


def test_ray_prints_no_log_lines_of_nodes_that_die() -> None:
    """Messages as its agents and its GCS publish them. It reads the variable while it is imported."""
    deaths = [
        "Raylet is terminated. Termination is unexpected. Last 20 lines of the Raylet logs:\n    [state-dump] ...\n",
        "The node with node id: 01 and address: 10.0.0.1 and node name: a has been marked dead because the detector",
    ]
    command = [sys.executable, "-c", PRINT, *deaths, "a message of another kind"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_DEDUP_LOGS")}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env, cwd=ROOT)
    assert done.stdout == "a message of another kind\n"
    assert done.stderr == ""
