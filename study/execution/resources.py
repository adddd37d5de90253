"""Resources of a trial: from a request on the command line to a grant of Ray's nodes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from revit.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ResourceRequest:
    """Resources that the command line requests for each trial.

    Attributes:
        cpus_per_trial: CPU threads; None for 1, or a GPU's part of its node's CPUs.
        gpus_per_trial: GPUs: a fraction of one, or a whole number; None for 1 where a node has any, else 0.
        share_gpus: choose the smallest fraction that every trial fits (`study.execution.gpu_share`).
        address: HOST:PORT of the Ray cluster to join, or `auto`; None to start Ray on this machine.

    Raises:
        InputError: more than one GPU, and not a whole number.
    """

    cpus_per_trial: int | None = None
    gpus_per_trial: float | None = None
    share_gpus: bool = False
    compiled: bool = False
    address: str | None = None

    def __post_init__(self) -> None:
        gpus = float(self.gpus_per_trial or 0)
        if not (gpus <= 1 or gpus.is_integer()):
            raise InputError(f"--gpus-per-trial = {gpus:g}: must be a fraction of one GPU, or a whole number")

    @property
    def num_workers(self) -> int:
        """Processes of one trial: one per GPU, where it has several."""
        return max(1, int(self.gpus_per_trial or 0))


@dataclass(frozen=True, kw_only=True)
class ResourceGrant:
    """Resources that one trial gets of Ray's nodes.

    Attributes:
        num_cpus: CPUs of each of its workers.
        num_gpus: GPUs reserved for each of its workers, may be fractional where there is one.
        max_cpus: CPUs of the largest node that can run a trial.
        max_concurrent_trials: trials that run at a time, over all nodes.
        compiled: compile the model; changes nothing but the time.
        excluded_nodes: ids of nodes that must not run the trial (`study.execution.node_pool`).
        num_workers: processes that train the trial together.
        on_one_node: all workers of a trial are on one node; else, on as few as have room.
    """

    num_cpus: int
    num_gpus: float
    max_cpus: int
    max_concurrent_trials: int
    compiled: bool = False
    excluded_nodes: tuple[str, ...] = ()
    num_workers: int = 1
    on_one_node: bool = True

    @property
    def device(self) -> str:
        """`cuda` or `cpu`."""
        return "cuda" if self.num_gpus else "cpu"

    @property
    def prepares_next(self) -> bool:
        """True if a worker prepares its next trial while it trains: on a GPU, which would be idle later.

        On a CPU the preparation would count as memory of the trial that trains.
        """
        return self.device == "cuda" and self.num_workers == 1 and self.reuses_workers

    @property
    def reuses_workers(self) -> bool:
        """True if a worker trains several trials.

        A compiled trial has a process of its own: on an H200 with torch 2.11, processes that compiled a second model
        died of segmentation faults (benchmarks/results.md).
        """
        return not self.compiled

    @property
    def bundles(self) -> list[dict[str, float]]:
        """Resources that Ray reserves together: one bundle per worker.

        Where there are several workers, the process that starts them has a bundle of its own, the first and empty one.
        """
        worker = {"CPU": self.num_cpus, "GPU": self.num_gpus}
        return [worker] if self.num_workers == 1 else [{}, *[worker] * self.num_workers]

    @property
    def strategy(self) -> str:
        """Strategy by which Ray places the bundles."""
        return "STRICT_PACK" if self.on_one_node else "PACK"

    @property
    def label_selectors(self) -> list[dict[str, str]]:
        """Labels by which Ray keeps each worker's bundle off excluded nodes."""
        selector = {"ray.io/node-id": f"!in({','.join(self.excluded_nodes)})"} if self.excluded_nodes else {}
        return [selector] * self.num_workers

    def exclusive(self) -> "ResourceGrant":
        """Return the grant of a trial that has its GPU, or its node, to itself; of one over several nodes, the same."""
        num_cpus = self.max_cpus // self.num_workers if self.on_one_node else self.num_cpus
        return replace(self, num_cpus=num_cpus, num_gpus=math.ceil(self.num_gpus))


class Node(NamedTuple):
    """CPUs and GPUs that one node of Ray offers to trials.

    Attributes:
        id: Ray's id of the node.
        name: what a person calls it.
    """

    cpus: float
    gpus: float
    id: str = ""
    name: str = ""

    def max_concurrent_trials(self, num_cpus: float, num_gpus: float) -> int:
        """Return how many trials of this size fit at a time."""
        fits = self.cpus / num_cpus
        return int(min(fits, self.gpus / num_gpus) if num_gpus else fits)


def grant_resources(request: ResourceRequest, nodes: Sequence[Node]) -> ResourceGrant:
    """Return what one trial gets of the nodes that Ray found.

    On a CPU, trials with a thread each train more images a second than one trial with all threads: see
    `python -m benchmarks cpu_slots`.

    Raises:
        InputError: the request fits no node.
    """
    gpu_nodes = [node for node in nodes if node.gpus]
    total_gpus = request.gpus_per_trial
    if total_gpus is None:
        total_gpus = 1.0 if gpu_nodes else 0.0
    num_workers = request.num_workers
    num_gpus = total_gpus / num_workers
    num_cpus = _cpus_of_worker(request, num_gpus, gpu_nodes)
    total_cpus = num_cpus * float(num_workers)
    able = [node for node in nodes if node.max_concurrent_trials(total_cpus, total_gpus)]
    on_one_node = bool(able)
    if on_one_node:
        max_concurrent_trials = sum(node.max_concurrent_trials(total_cpus, total_gpus) for node in able)
    else:
        able = [node for node in nodes if node.max_concurrent_trials(num_cpus, num_gpus)]
        max_concurrent_trials = sum(node.max_concurrent_trials(num_cpus, num_gpus) for node in able) // num_workers
    if not max_concurrent_trials:
        found = "; ".join(sorted({f"{node.cpus:g} and {node.gpus:g}" for node in nodes}))
        size = f"--cpus-per-trial = {total_cpus:g} and --gpus-per-trial = {total_gpus:g}"
        where = "no machine" if num_workers == 1 else "neither one machine nor all together"
        raise InputError(f"{size} fit {where}: CPUs and GPUs of each are {found}")
    return ResourceGrant(
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        max_cpus=int(max(node.cpus for node in able)),
        max_concurrent_trials=max_concurrent_trials,
        compiled=request.compiled,
        num_workers=num_workers,
        on_one_node=on_one_node,
    )


def _cpus_of_worker(request: ResourceRequest, num_gpus: float, gpu_nodes: Sequence[Node]) -> int:
    """Return the CPUs of each worker of a trial: those requested, or its GPU's part of its node's, or 1."""
    if request.cpus_per_trial is None:
        cpus_per_gpu = min(node.cpus / node.gpus for node in gpu_nodes) if num_gpus and gpu_nodes else 0.0
        return max(1, int(cpus_per_gpu * num_gpus))
    if request.cpus_per_trial < request.num_workers:
        right = f"must be at least {request.num_workers:g}, one for each of its GPUs"
        raise InputError(f"--cpus-per-trial = {request.cpus_per_trial}: {right}")
    return request.cpus_per_trial // request.num_workers
