"""Watch over the Ray that trials run on. Tune would wait for a dead one forever."""

import time
from collections.abc import Callable

from study.execution.cluster import ray_is_alive
from study.execution.failures import RayLostError
from study.execution.resource_wait import ResourceWait

RAY_CHECK_INTERVAL_S = 2.0
"""Time between checks that Ray is alive."""


class RayWatch:
    """Checks of Ray, for each step of Tune.

    Args:
        log: called with a line for the user.
    """

    def __init__(self, log: Callable[[str], None]) -> None:
        self._resource_wait = ResourceWait(log)
        self._checked_s = time.monotonic()

    def check(self, *, is_idle: bool) -> bool:
        """Check Ray, if it is time for that, and return whether it was.

        Args:
            is_idle: no trial runs.

        Raises:
            RayLostError: Ray is dead, or has lost the resources that trials wait for.
        """
        if time.monotonic() - self._checked_s <= RAY_CHECK_INTERVAL_S:
            return False
        if not ray_is_alive():
            raise RayLostError
        if is_idle:
            self._resource_wait.check()
        self._checked_s = time.monotonic()
        return True
