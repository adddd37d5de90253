"""Ray: starting one of our own, quiet and closed to others, or joining a cluster; and seeing whether it lives."""

import logging
import os
import socket
import warnings
from collections.abc import Callable

import ray

from revit.errors import InputError, first_line
from study import RAY_BEYOND_THIS_MACHINE

QUIET_RAY = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "10",  # without its GCS Ray ends this process: rather soon than late
    "RAY_prestart_worker_first_driver": "0",  # Tune's workers have an environment of their own: it never uses these
    "RAY_health_check_period_ms": "1000",  # a dead raylet is seen after seconds, not after half a minute
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Stopper listens
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # the ledger is what a study resumes from
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}


ADDRESS = "RAY_ADDRESS"
"""Ray's variable: the cluster that `ray.init` joins, unless told otherwise, and with it whoever can write to it."""

CONNECT_TIMEOUT_S = 10.0
"""How long to wait for a cluster's answer: Ray itself would wait for minutes."""


def start_ray(address: str | None = None, *, tell: Callable[[str], None] = warnings.warn) -> None:
    """Start a Ray of our own that only this machine can reach, or join a cluster.

    Does nothing where Ray runs in this process already.

    Args:
        address: HOST:PORT of the cluster to join.
        tell: called with a line for the user where Ray's variables open it to others, or name a cluster.

    Raises:
        InputError: no cluster can be joined at that address.
    """
    os.environ.update(QUIET_RAY)
    if os.environ[RAY_BEYOND_THIS_MACHINE] != "0":
        tell(f"{RAY_BEYOND_THIS_MACHINE} is set: Ray can be reached, and given code to run, from other machines")
    named = os.environ.pop(ADDRESS, None)
    if named and named != address:
        tell(f"{ADDRESS} = {named} is ignored: --address {named} joins that cluster")
    if ray.is_initialized():
        return
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failed trials are told of by their outcome
    if address is not None:
        _check_reachable(address)
    try:
        ray.init(address or "local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        if address is None:
            raise
        raise InputError(f"--address = {address}: the cluster cannot be joined: {first_line(error)}") from error


def _check_reachable(address: str) -> None:
    """Raise InputError where nobody listens at HOST:PORT."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        raise InputError(f"--address = {address}: must be HOST:PORT of a Ray cluster, as `ray start --head` prints it")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"--address = {address}: no Ray cluster answers there: {error}") from error


def ray_is_alive() -> bool:
    """Whether Ray has a node that it hears of. Where its GCS is dead, Ray ends this process instead, within seconds."""
    return any(node["Alive"] for node in ray.nodes())  # type: ignore[no-untyped-call]  # Ray leaves it so
