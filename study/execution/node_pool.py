"""The nodes that trials of a launch may run on."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from revit.errors import InputError
from study.execution.resources import Node, ResourceGrant, ResourceRequest, grant_resources


class NodePool:
    """Nodes of Ray, less those that were found unfit. A new launch tries all of them again.

    Args:
        request: resources for each trial.
        find_nodes: returns the nodes that are alive.

    Attributes:
        request: resources for each trial.
        unfit: line for the user on each node that is left out, by the node's id.
    """

    def __init__(self, request: ResourceRequest, find_nodes: Callable[[], Sequence[Node]]) -> None:
        self.unfit: dict[str, str] = {}
        self.request = request
        self._find_nodes = find_nodes
        self._alive: set[str] = set()

    def exclude(self, node_id: str, reason: str) -> str:
        """Leave a node out; return a line for the user, empty where it was left out before."""
        if node_id in self.unfit:
            return ""
        names = {node.id: node.name for node in self._find_nodes()}
        self.unfit[node_id] = f"node {names.get(node_id, node_id)} is left out of this launch: {reason}"
        return self.unfit[node_id]

    def has_changed(self) -> bool:
        """Return whether nodes came or went since this was asked before."""
        before, self._alive = self._alive, {node.id for node in self._find_nodes()}
        return before != self._alive

    def keep_size(self, grant: ResourceGrant) -> None:
        """Let later grants have the size of this one, whichever nodes come or go."""
        cpus, gpus = grant.num_cpus * grant.num_workers, grant.num_gpus * grant.num_workers
        self.request = replace(self.request, cpus_per_trial=cpus, gpus_per_trial=gpus)

    def grant(self) -> ResourceGrant:
        """Return what one trial gets of the nodes that are left.

        Raises:
            InputError: the request fits no node, or none that is left.
        """
        nodes = self._find_nodes()
        grant = grant_resources(self.request, nodes)
        if not self.unfit:
            return grant
        self.keep_size(grant)
        try:
            left = grant_resources(self.request, [node for node in nodes if node.id not in self.unfit])
        except InputError as error:
            lines = "; ".join(self.unfit.values())
            raise InputError(f"no node is left that can run its trials: {lines}") from error
        return replace(left, excluded_nodes=tuple(sorted(self.unfit)))
