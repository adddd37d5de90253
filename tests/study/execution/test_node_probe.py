"""A cluster of several nodes that is joined: its nodes are asked, and run the driver's code."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
import timm
from ray.cluster_utils import Cluster

from revit.errors import InputError
from revit.source import SOURCE
from study.execution import node_probe
from study.execution.autoscaling import grant_or_wait
from study.execution.cluster import find_nodes, ray_is_alive, start_ray
from study.execution.environment import library_versions
from study.execution.node_pool import NodePool
from study.execution.node_probe import NodeReport, ask_nodes, check_nodes, describe_node
from study.execution.resources import Node, ResourceRequest
from study.system.storage import Storage

OTHER_CODE = {
    "revit/__init__.py": "raise RuntimeError('the code of the node, not of the driver')\n",
    "timm-0.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: timm\nVersion: 0.1\n",
}
BROKEN = {"torch/__init__.py": "raise ImportError('libcudart.so.12: cannot open shared object file')\n"}


def write(folder: Path, files: dict[str, str]) -> dict[str, str]:
    """Write modules that a node finds; return its environment."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return {"PYTHONPATH": str(folder)}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A head without CPUs, a node with other code and versions, and one where PyTorch cannot be imported."""
    folder = tmp_path_factory.mktemp("nodes")
    had_ray = ray.is_initialized()
    other = write(folder / "other", OTHER_CODE)
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "env_vars": other})
    nodes.add_node(num_cpus=1, node_name="other", env_vars=other)
    nodes.add_node(num_cpus=2, node_name="broken", env_vars=write(folder / "broken", BROKEN))
    yield nodes
    ray.shutdown()
    nodes.shutdown()
    if had_ray:
        start_ray()


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A function of a user, by its import path."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "function_of_user.py").write_text("def answer(): return 42\n")
    sys.path.insert(0, str(folder))
    yield "function_of_user:answer"
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def joined(cluster: Cluster, user: str) -> Cluster:
    start_ray(cluster.address, [user])
    return cluster


def test_a_cluster_is_joined_from_its_head_without_cpus(joined: Cluster) -> None:
    assert ray.get_runtime_context().gcs_address == joined.address
    assert ray.get_runtime_context().get_node_id() == joined.head_node.node_id
    assert sorted(node.cpus for node in find_nodes()) == [0, 1, 2]
    assert ray_is_alive()


def test_what_fits_no_node_is_refused_in_one_line_with_their_sizes(joined: Cluster) -> None:
    """No autoscaler runs: there is nothing to wait for."""
    request = ResourceRequest(cpus_per_trial=3)
    with pytest.raises(
        InputError, match=r"^--cpus-per-trial = 3 and .*: CPUs and GPUs of each are 0 and 0; 1 and 0; 2 and 0$"
    ):
        grant_or_wait(NodePool(request, find_nodes), request, pytest.fail)


def test_workers_run_the_code_of_the_driver_and_import_functions_of_the_user(joined: Cluster, user: str) -> None:
    @ray.remote(num_cpus=1)
    def find() -> tuple[str, str, int]:
        import function_of_user

        import revit

        return str(Path.cwd()), str(revit.__file__), function_of_user.answer()

    folder, package, answer = ray.get(find.remote())
    assert package == f"{folder}/revit/__init__.py"
    assert not Path(__file__).is_relative_to(folder)
    assert answer == 42
    job = ray.get_runtime_context().get_job_id()
    start_ray(joined.address, [user])
    assert ray.get_runtime_context().get_job_id() == job, "it is joined already, with the same code"


def test_nodes_that_cannot_run_trials_are_left_out_with_the_reason(joined: Cluster, tmp_path: Path) -> None:
    lines: list[str] = []
    nodes = find_nodes()
    other, broken = (next(node for node in nodes if node.cpus == cpus) for cpus in (1, 2))
    pool = NodePool(ResourceRequest(), find_nodes)
    reports = check_nodes(pool, nodes, Storage(str(tmp_path)), lines.append)
    assert list(reports) == [other.id]
    assert reports[other.id].source == SOURCE
    assert sorted(lines) == sorted(
        [
            f"node {other.name} has timm 0.1, and the driver timm {timm.__version__}: numbers may differ by rounding",
            f"node {broken.name} is left out of this launch: "
            "ImportError: libcudart.so.12: cannot open shared object file",
        ]
    )
    grant = pool.grant()
    assert (grant.max_cpus, grant.excluded_nodes) == (1, (broken.id,))
    assert list(tmp_path.iterdir()) == [], "the storage is left as it was"


def test_a_node_that_does_not_answer_is_named(joined: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_probe, "PROBE_TIMEOUT_S", 0.0)
    assert ask_nodes([find_nodes()[0]], Storage(str(tmp_path))) == ["it did not answer in 0 s"]


def answering(answers: dict[str, NodeReport | str], monkeypatch: pytest.MonkeyPatch) -> list[Node]:
    """Let nodes of these names answer."""
    monkeypatch.setattr(node_probe, "ask_nodes", lambda nodes, _: [answers[node.name] for node in nodes])
    return [Node(cpus=1, gpus=0, id=name, name=name) for name in answers]


def report(**values: object) -> NodeReport:
    own = {"source": SOURCE, "versions": library_versions(), "gpu_bytes": (), "storage_fault": ""}
    return NodeReport(**{**own, **values})


def test_where_no_node_is_left_the_launch_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = answering({"a": report(source="0123"), "b": report(storage_fault="disk full"), "c": "died"}, monkeypatch)
    pool = NodePool(ResourceRequest(), lambda: nodes)
    lines: list[str] = []
    assert check_nodes(pool, nodes, Storage(str(tmp_path)), lines.append) == {}
    assert lines == [
        f"node a is left out of this launch: it imported other code in revit/ (0123) than this launch runs ({SOURCE})",
        "node b is left out of this launch: disk full",
        "node c is left out of this launch: died",
    ]
    with pytest.raises(InputError, match=r"no node is left that can run its trials: node a .*disk full; node c"):
        pool.grant()


def test_a_node_has_to_see_what_the_driver_writes(tmp_path: Path) -> None:
    """A folder of the same path on another disk can be written, too."""
    storage = Storage(str(tmp_path))
    storage.touch("marker")
    assert describe_node(storage, "marker") == report()
    fault = describe_node(storage, "of-another-disk").storage_fault
    assert fault.startswith(f"--storage = {tmp_path}: this node has another folder there than the driver; ")
    (tmp_path / "file").touch()
    assert describe_node(Storage(str(tmp_path / "file")), "x").storage_fault.startswith("--storage = ")
