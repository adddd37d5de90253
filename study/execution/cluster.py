"""The connection to Ray: a private instance on this machine, or a cluster to join."""

import logging
import os
import secrets
import signal
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import ray
from ray._common.utils import get_default_ray_temp_dir
from ray._private import services, worker
from ray._private import utils as ray_utils
from ray._private.runtime_env.packaging import get_uri_for_directory

from revit.errors import InputError, first_line
from study import RAY_BEYOND_THIS_MACHINE
from study.execution.cluster_address import AUTO, find_cluster
from study.execution.node_inputs import CACHE_VARIABLE
from study.execution.ray_log import drop_printer
from study.execution.resources import Node
from study.execution.shipped_code import staged_code
from study.system.limits import check_processes
from study.system.signals import ENDING, handlers_kept

QUIET_RAY = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_prestart_worker_first_driver": "0",  # Tune's workers have an environment of their own: it never uses these
    "RAY_health_check_period_ms": "1000",  # a dead raylet is seen after seconds, not after half a minute
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # the Stopper handles signals
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # the ledger is what a study resumes from
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}

WORKER_ENVIRONMENT = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Variables of workers on a cluster. Those of a private Ray have all variables of this process but its cache folder."""

ADDRESS = "RAY_ADDRESS"
"""Ray's variable: the cluster that `ray.init` joins by default. Everyone with access to it can run code."""

FREE_TIMEOUT_S = 10
"""Time that a private Ray has to end what an earlier launch of this process left."""

MAX_STARTS = 3
"""Attempts to start Ray: on a busy machine its processes may not find each other in time."""


def start_ray(
    address: str | None = None, functions: Iterable[str] = (), *, log: Callable[[str], None] = warnings.warn
) -> None:
    """Start a private Ray that only this machine can reach, or join a cluster.

    Without an address, does nothing where this process is connected to Ray already. A private Ray whose CPUs or GPUs
    are not free is started anew: in rare cases Ray never frees those of a placement group that it removed
    (github.com/ray-project/ray/issues/64693). With an address, connects anew unless it is connected to that cluster,
    with the same code.

    Args:
        address: HOST:PORT of the cluster to join, or `auto`.
        functions: import paths of the user's functions, which a cluster needs.
        log: called with a line for the user where Ray's variables expose it to others, or name a cluster.

    Raises:
        InputError: no cluster can be joined at that address, or Ray cannot be started on this machine.
    """
    os.environ.update(QUIET_RAY)
    if os.environ[RAY_BEYOND_THIS_MACHINE] != "0":
        log(f"{RAY_BEYOND_THIS_MACHINE} is set: Ray can be reached, and given code to run, from other machines")
    named = os.environ.get(ADDRESS)
    if named and address not in (named, AUTO):
        del os.environ[ADDRESS]  # nor does a library of ours see it
        log(f"{ADDRESS} = {named} is ignored: --address {named} joins that cluster")
    if address is not None:
        _join(find_cluster(address, named), functions)
    elif not ray.is_initialized():
        _start_private()
    elif is_private() and not _is_free():
        ray.shutdown()
        _start_private()


def _join(address: str, functions: Iterable[str]) -> None:
    """Join a cluster, and ship the code to its nodes."""
    with staged_code(functions) as folder:
        if ray.is_initialized():
            if _is_joined(address, folder):
                return
            ray.shutdown()
        os.environ["RAY_OVERRIDE_JOB_RUNTIME_ENV"] = "1"  # the code of `ray job submit` is what this process ships
        try:
            _init(address, {"working_dir": str(folder), "env_vars": WORKER_ENVIRONMENT})
        except Exception as error:
            raise InputError(f"--address = {address}: the cluster cannot be joined: {first_line(error)}") from error


def _is_joined(address: str, code: Path) -> bool:
    """Return whether this process is connected to a cluster with the code in a folder."""
    context = ray.get_runtime_context()
    uri = get_uri_for_directory(str(code), include_gitignore=True)
    return bool(context.gcs_address == address and context.runtime_env.get("working_dir") == uri)


def _is_free() -> bool:
    """Return whether all CPUs and GPUs are free, at once or after a while."""
    end = time.monotonic() + FREE_TIMEOUT_S
    while True:
        free = ray.available_resources()  # type: ignore[no-untyped-call]  # Ray leaves it so
        total = ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray leaves it so
        if all(free.get(kind) == total.get(kind) for kind in ("CPU", "GPU")):
            return True
        if time.monotonic() > end:
            return False
        time.sleep(0.1)


def _start_private() -> None:
    check_processes()
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex())  # by default Ray keeps one in the home folder
    for left in reversed(range(MAX_STARTS)):
        try:
            with _hidden(CACHE_VARIABLE):  # workers use the driver's folder, which --cache-dir may have named
                _init("local", None)
        except Exception as error:  # whatever Ray raises where its processes time out or die
            _shut_down_half_started()
            if not left:
                folder = get_default_ray_temp_dir()  # type: ignore[no-untyped-call]  # Ray leaves it so
                advice = f"its files are in {folder}, RAY_TMPDIR names another folder"
                raise InputError(f"Ray cannot be started: {first_line(error)}; {advice}") from error
        else:
            return


@contextmanager
def _hidden(variable: str) -> Iterator[None]:
    """Keep a variable of this process from those that it starts."""
    value = os.environ.pop(variable, None)
    try:
        yield
    finally:
        if value is not None:
            os.environ[variable] = value


def _shut_down_half_started() -> None:
    """End the processes of a failed start, also those that Ray itself does not know of yet."""
    ray.shutdown()
    for process in RayProcess.started:
        if process.poll() is None:
            process.terminate()
            process.wait()
    RayProcess.started.clear()


class RayProcess(services.ConsolePopen):
    """A process of Ray that signals to the study do not reach, nor its children.

    Schedulers signal a whole process group, or every process of a job. Trials can be saved only while Ray is alive.
    """

    started: ClassVar[list["RayProcess"]] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        former = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            super().__init__(*args, process_group=0, **kwargs)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, former)
        self.started.append(self)

    def terminate(self) -> None:
        """Kill the process and its group: SIGTERM is blocked in it."""
        os.killpg(self.pid, signal.SIGKILL)


def _init(address: str, runtime_env: dict[str, Any] | None) -> None:
    with (  # Ray has no options for these
        handlers_kept(),
        patch.object(services, "ConsolePopen", RayProcess),
        patch.object(ray_utils, "set_sigterm_handler"),
    ):
        ray.init(
            address,
            runtime_env=runtime_env,
            include_dashboard=False,
            logging_level=logging.WARNING,
        )
        drop_printer()


def is_private() -> bool:
    """Return whether Ray runs that `start_ray` started on this machine."""
    return any(process.poll() is None for process in RayProcess.started)


def ray_is_alive() -> bool:
    """Return whether the processes of a private Ray are alive, or any node of a joined cluster."""
    node = worker._global_node
    if node is None:
        return False
    if node.all_processes:  # private: a dead GCS would not answer, and Ray would end this process
        return not any(kind in ("gcs_server", "raylet") for kind, _ in node.dead_processes())  # trials need no other
    return bool(find_nodes())


def find_nodes() -> list[Node]:
    """Return the nodes of Ray that are alive. A head node may have no CPUs."""
    return [
        Node(
            cpus=node["Resources"].get("CPU", 0.0),
            gpus=node["Resources"].get("GPU", 0.0),
            id=node["NodeID"],
            name=f"{node['NodeManagerHostname']} ({node['NodeID'][:8]})",  # a machine may have several
        )
        for node in ray.nodes()  # type: ignore[no-untyped-call]  # Ray leaves it so
        if node["Alive"]
    ]
