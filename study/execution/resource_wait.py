"""Waiting of all trials of a launch for resources that nobody frees."""

from collections.abc import Callable

import ray
from ray.util import placement_group_table

from study.execution.cluster import is_private
from study.execution.failures import RayLostError

MAX_CHECKS = 90
"""Checks in a row after which a wait is too long: three minutes of `study.execution.ray_watch.RAY_CHECK_INTERVAL_S`.

Checks are counted, not minutes: Tune's loop may wait for a store, and does not see meanwhile what Ray has granted.
"""


class ResourceWait:
    """Count of the checks at which trials of a launch have waited for resources, and none has had any.

    Args:
        log: called with a line for the user.
    """

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._num_checks = 0

    def check(self) -> None:
        """Report a wait that is too long, once. Call it while no trial runs.

        Nobody else uses a private Ray: it has lost the resources, which is a bug of Ray
        (github.com/ray-project/ray/issues/64693). On a cluster, others may use them: trials wait.

        Raises:
            RayLostError: a private Ray has lost the resources.
        """
        needed = find_waiting()
        self._num_checks = self._num_checks + 1 if needed else 0
        if self._num_checks != MAX_CHECKS:
            return
        free, total = ray.available_resources(), ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray's
        size, left, whole = (
            f"{each.get('CPU', 0):g} CPUs and {each.get('GPU', 0):g} GPUs" for each in (needed, free, total)
        )
        line = f"no trial runs: one waits for {size}, and of {whole}, {left} are free"
        if is_private():
            self._num_checks = 0  # of the next Ray
            self._log(f"{line}; Ray has lost the others: it is started again, and the trials resume")
            raise RayLostError
        self._log(f"{line}; it waits until others free enough; Ctrl-C stops")


def find_waiting() -> dict[str, float]:
    """Return the CPUs and GPUs that a trial of this process waits for; empty if none waits, or one has any."""
    job = ray.get_runtime_context().get_job_id()
    groups = [group for name, group in placement_group_table().items() if name.endswith(job)]
    waiting = [group["bundles"].values() for group in groups if group["state"] == "PENDING"]
    if not waiting or any(group["state"] in ("PREPARED", "CREATED") for group in groups):
        return {}
    return {kind: sum(bundle.get(kind, 0.0) for bundle in waiting[0]) for kind in ("CPU", "GPU")}
