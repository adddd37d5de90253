"""Waiting for a cluster that its autoscaler can let grow."""

import json
import math
import time
from collections.abc import Callable

from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
from ray.autoscaler._private.util import format_readonly_node_type
from ray.autoscaler.sdk import request_resources
from ray.autoscaler.v2.utils import is_autoscaler_v2
from ray.experimental.internal_kv import _internal_kv_get

from revit.errors import InputError
from study.execution.node_pool import NodePool
from study.execution.resources import ResourceGrant, ResourceRequest

POLL_S = 1.0
"""Time between looks at the nodes of a cluster that grows."""


def grant_or_wait(pool: NodePool, request: ResourceRequest, log: Callable[[str], None]) -> ResourceGrant:
    """Return what one trial gets of the nodes; wait for a node that it fits where an autoscaler can add one.

    Ray does not say which nodes an autoscaler can add, so that this may wait until the user interrupts it.

    Raises:
        InputError: the request fits no node, and no autoscaler runs.
    """
    try:
        return pool.grant()
    except InputError as error:
        if not autoscaler_runs():
            raise
        log(f"{error}; waiting for the cluster's autoscaler to add a node that has them; Ctrl-C stops")
    size = {"CPU": request.cpus_per_trial or 1, "GPU": math.ceil(request.gpus_per_trial or 0)}
    try:
        request_resources(bundles=[{name: number for name, number in size.items() if number}])
        while True:
            time.sleep(POLL_S)
            try:
                return pool.grant()
            except InputError:
                continue
    finally:
        request_resources(bundles=[])  # from now on, trials that wait are what it adds nodes for


def autoscaler_runs() -> bool:
    """Return whether the cluster that this process has joined has an autoscaler that can add nodes.

    Without one, Ray reports nodes in its place, by types that it derives from their ids.
    """
    if is_autoscaler_v2(fetch_from_server=True):
        return True
    status = json.loads(_internal_kv_get(DEBUG_AUTOSCALING_STATUS) or "{}")
    types = status.get("autoscaler_report", {}).get("node_type_mapping") or {}
    return any(name != format_readonly_node_type(node) for node, name in types.items())
