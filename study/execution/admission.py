"""Admission of trials to Ray's nodes: what each of them gets, before anything starts."""

import os
from collections.abc import Callable, Sequence

from study.execution.autoscaling import grant_or_wait
from study.execution.cluster import find_nodes
from study.execution.gpu_share import gpu_bytes_here, share_gpus
from study.execution.input_upload import upload_inputs
from study.execution.node_pool import NodePool
from study.execution.node_probe import check_nodes
from study.execution.resources import ResourceGrant, ResourceRequest
from study.system.storage import Storage
from study.trial import Trial


def admit(
    request: ResourceRequest, trials: Sequence[Trial], storage: Storage, log: Callable[[str], None]
) -> tuple[NodePool, ResourceGrant]:
    """Return the nodes of a running Ray, and what each trial gets of them.

    Nodes of a cluster that cannot run trials are left out, and what others lack is uploaded.

    Raises:
        InputError: the request fits no node.
    """
    pool = NodePool(request, find_nodes)
    grant_or_wait(pool, request, log)
    if request.address is not None:
        gpu_bytes = _prepare_nodes(pool, trials, storage, log)
    else:
        gpu_bytes = gpu_bytes_here() if request.share_gpus else []
    pool.request = share_gpus(request, trials, find_nodes(), gpu_bytes, log)
    grant = pool.grant()
    pool.keep_size(grant)
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(grant.max_concurrent_trials)  # workers that may start at a time
    return pool, grant


def _prepare_nodes(pool: NodePool, trials: Sequence[Trial], storage: Storage, log: Callable[[str], None]) -> list[int]:
    """Leave out nodes of a cluster that cannot run trials; upload what others lack, also those that come later.

    Returns:
        The memory of each of their GPUs.
    """
    reports = check_nodes(pool, find_nodes(), storage, log)
    pool.grant()  # some are left
    upload_inputs(trials, storage, log)
    return [num_bytes for report in reports.values() for num_bytes in report.gpu_bytes]
