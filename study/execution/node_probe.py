"""The check of a cluster's nodes before trials start: each imports the code that it got, then uses the storage."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from revit.errors import InputError
from revit.source import SOURCE, import_all
from study.execution.environment import library_versions, version_difference
from study.execution.failures import summarize
from study.execution.node_pool import NodePool
from study.execution.resources import Node
from study.execution.work_folder import OTHER_FOLDER
from study.system.storage import Storage

PROBE_TIMEOUT_S = 120.0
"""Maximum time to wait for all nodes: importing PyTorch from a busy shared disk takes a minute."""


@dataclass(frozen=True, kw_only=True)
class NodeReport:
    """Answer of a node that could import the code.

    Attributes:
        source: digest of the code that it imported; empty if files changed meanwhile.
        versions: see `study.execution.environment.library_versions`.
        gpu_bytes: memory of each of its GPUs.
        storage_fault: why it cannot use the storage; empty if it can.
    """

    source: str
    versions: Mapping[str, str]
    gpu_bytes: tuple[int, ...]
    storage_fault: str

    @property
    def fault(self) -> str:
        """Reason that the node cannot run trials; empty if it can."""
        if self.source != SOURCE:
            return f"it imported other code in revit/ ({self.source or 'changing'}) than this launch runs ({SOURCE})"
        return self.storage_fault


def check_nodes(
    pool: NodePool, nodes: Sequence[Node], storage: Storage, log: Callable[[str], None]
) -> dict[str, NodeReport]:
    """Leave out the nodes that cannot run trials, each with a line for the user; warn of versions that differ.

    Args:
        nodes: those that are alive. One without CPUs runs no trials, and is not asked.

    Returns:
        The reports of the others, by the node's id.
    """
    nodes = [node for node in nodes if node.cpus]
    reports = {}
    for node, answer in zip(nodes, ask_nodes(nodes, storage), strict=True):
        fault = answer if isinstance(answer, str) else answer.fault
        if isinstance(answer, str) or fault:
            log(pool.exclude(node.id, fault))
            continue
        reports[node.id] = answer
        if difference := version_difference(answer.versions, library_versions()):
            log(f"node {node.name} has {difference}: numbers may differ by rounding")
    return reports


def ask_nodes(nodes: Sequence[Node], storage: Storage) -> list[NodeReport | str]:
    """Return the report of each node, or why there is none. All are asked at the same time."""
    with _marker(storage) as marker:
        strategies = [NodeAffinitySchedulingStrategy(node.id, soft=False) for node in nodes]
        remote = ray.remote(num_cpus=0, max_calls=1, max_retries=0)(describe_node)
        answers = [remote.options(scheduling_strategy=each).remote(storage, marker) for each in strategies]
        ready, _ = ray.wait(answers, num_returns=len(answers), timeout=PROBE_TIMEOUT_S) if answers else ([], [])
        return [_result(each) if each in ready else f"it did not answer in {PROBE_TIMEOUT_S:.0f} s" for each in answers]


@contextmanager
def _marker(storage: Storage) -> Iterator[str]:
    """Keep a file in the storage that every node has to see, while the context is active."""
    name = f".nodes-{uuid4().hex}"
    storage.touch(name)
    try:
        yield name
    finally:
        storage.delete(name)


def _result(answer: "ray.ObjectRef[NodeReport]") -> NodeReport | str:
    try:
        report: NodeReport = ray.get(answer)
    except Exception as error:  # whatever its code can raise, or Ray
        return summarize(getattr(error, "cause", None) or error)
    return report


def describe_node(storage: Storage, marker: str) -> NodeReport:
    """Import what a trial needs, use the storage, and return what this node has. Runs in a worker there.

    Args:
        marker: name of a file that the driver has put into the storage.
    """
    source = import_all()
    import torch

    gpus = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return NodeReport(
        source=source,
        versions=library_versions(),
        gpu_bytes=tuple(gpu.total_memory for gpu in gpus),
        storage_fault=_storage_fault(storage, marker),
    )


def _storage_fault(storage: Storage, marker: str) -> str:
    try:
        storage.check()
        if not storage.exists(marker):
            return f"--storage = {storage.address}: {OTHER_FOLDER}"
    except (InputError, OSError) as error:
        return str(error)
    return ""
