"""Waiting for nodes of a fake autoscaler, and by command of Ray's own, which starts nodes on this machine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from revit.errors import InputError
from study.execution import autoscaling
from study.execution.autoscaling import autoscaler_runs, grant_or_wait
from study.execution.node_pool import NodePool
from study.execution.resources import Node, ResourceRequest

HEAD, WORKER = Node(cpus=0, gpus=0), Node(cpus=8, gpus=2)


class Autoscaler:
    """Adds a node of 8 CPUs and 2 GPUs after it was looked for a few times."""

    def __init__(self) -> None:
        self.requests: list[list[dict[str, float]]] = []
        self.num_looks = 0

    def request_resources(self, bundles: list[dict[str, float]]) -> None:
        self.requests.append(bundles)

    def find_nodes(self) -> list[Node]:
        self.num_looks += 1
        return [HEAD, WORKER] if self.num_looks > 3 else [HEAD]


@pytest.fixture
def autoscaler(monkeypatch: pytest.MonkeyPatch) -> Autoscaler:
    fake = Autoscaler()
    monkeypatch.setattr(autoscaling, "request_resources", fake.request_resources)
    monkeypatch.setattr(autoscaling, "autoscaler_runs", lambda: True)
    monkeypatch.setattr(autoscaling, "POLL_S", 0.0)
    return fake


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"cpus_per_trial": 2}, {"CPU": 2}),
        ({"gpus_per_trial": 0.5, "cpus_per_trial": 2}, {"CPU": 2, "GPU": 1}),
        ({"gpus_per_trial": 2, "cpus_per_trial": 8}, {"CPU": 8, "GPU": 2}),
    ],
)
def test_a_node_is_asked_for_and_waited_for(autoscaler: Autoscaler, options: dict, size: dict) -> None:
    request, lines = ResourceRequest(**options), list[str]()
    grant = grant_or_wait(NodePool(request, autoscaler.find_nodes), request, lines.append)
    assert (grant.max_cpus, autoscaler.num_looks) == (8, 4)
    assert autoscaler.requests == [[size], []], "the request ends with the wait"
    assert len(lines) == 1
    assert lines[0].endswith("waiting for the cluster's autoscaler to add a node that has them; Ctrl-C stops")
    assert "0 and 0" in lines[0]


def test_a_request_that_fits_is_granted_at_once(autoscaler: Autoscaler) -> None:
    request = ResourceRequest()
    grant_or_wait(NodePool(request, lambda: [WORKER]), request, pytest.fail)
    assert autoscaler.requests == []


def test_an_interrupted_wait_asks_for_no_node_any_more(autoscaler: Autoscaler, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(autoscaling.time, "sleep", interrupt)
    request = ResourceRequest(cpus_per_trial=4)
    with pytest.raises(KeyboardInterrupt):
        grant_or_wait(NodePool(request, autoscaler.find_nodes), request, lambda _: None)
    assert autoscaler.requests == [[{"CPU": 4}], []]


def test_without_an_autoscaler_what_fits_nowhere_is_refused(
    autoscaler: Autoscaler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autoscaling, "autoscaler_runs", lambda: False)
    request = ResourceRequest(gpus_per_trial=4)
    with pytest.raises(InputError, match=r"--gpus-per-trial = 4 fit .*: CPUs and GPUs of each are 0 and 0; 8 and 2"):
        grant_or_wait(NodePool(request, lambda: [HEAD, WORKER]), request, pytest.fail)


@pytest.mark.parametrize(
    ("types", "is_v2", "expected"),
    [
        (None, False, False),
        ({}, False, False),
        ({"0123": "node_0123", "4567": "node_4567"}, False, False),
        ({"10.0.0.1": "ray.head.default"}, False, True),
        (None, True, True),
    ],
)
def test_an_autoscaler_is_known_by_its_types_of_nodes(
    types: dict | None, is_v2: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster without one reports types, too: one for each node."""
    status = {"autoscaler_report": {"node_type_mapping": types}}
    monkeypatch.setattr(autoscaling, "_internal_kv_get", lambda _: None if types is None else json.dumps(status))
    monkeypatch.setattr(autoscaling, "is_autoscaler_v2", lambda *, fetch_from_server: is_v2)
    assert autoscaler_runs() == expected


LISTS = ("cluster_synced_files", "rsync_exclude", "rsync_filter", "initialization_commands", "setup_commands")
COMMANDS = ("head_setup_commands", "worker_setup_commands", "head_start_ray_commands", "worker_start_ray_commands")

WAIT = """
import sys
from study.execution.autoscaling import autoscaler_runs, grant_or_wait
from study.execution.cluster import find_nodes, start_ray
from study.execution.node_pool import NodePool
from study.execution.resources import ResourceRequest

start_ray(sys.argv[1], log=print)
request = ResourceRequest(cpus_per_trial=2)
if sys.argv[2] == "plain":
    assert not autoscaler_runs()
else:
    print(grant_or_wait(NodePool(request, find_nodes), request, print))
"""


@pytest.fixture(params=["autoscaling", "plain"])
def cluster(
    request: pytest.FixtureRequest, tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, str]]:
    """Address of a head without CPUs, with Ray's autoscaler, which adds nodes of 2 CPUs on this machine, or without."""
    address = f"127.0.0.1:{free_port}"
    worker = {"resources": {"CPU": 2}, "node_config": {}, "min_workers": 0, "max_workers": 1}
    config = {
        "cluster_name": "fake",
        "max_workers": 1,
        "provider": {"type": "fake_multinode", "gcs_address": address},
        "available_node_types": {
            "worker": worker,
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        },
        "head_node_type": "ray.head.default",
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 1.0,
        **{name: {} for name in ("auth", "docker", "file_mounts")},
        "file_mounts_sync_continuously": False,
        **{name: [] for name in (*LISTS, *COMMANDS)},
    }
    (tmp_path / "cluster.json").write_text(json.dumps(config))
    options = ["--autoscaling-config", str(tmp_path / "cluster.json")] if request.param == "autoscaling" else []
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--num-cpus=0", "--block", *options]
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # by default it depends on the home folder
    environment = {**os.environ, "RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    with subprocess.Popen(
        [*command, f"--port={free_port}", "--node-ip-address=127.0.0.1"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        yield address, request.param
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.long
def test_a_real_autoscaler_adds_a_node(cluster: tuple[str, str]) -> None:
    address, kind = cluster
    time.sleep(15)  # until its first report
    done = subprocess.run(
        [sys.executable, "-c", WAIT, address, kind], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    if kind == "autoscaling":
        message, grant = done.stdout.splitlines()
        assert "waiting for the cluster's autoscaler" in message
        assert "num_cpus=2" in grant
