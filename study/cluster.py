"""Ray on this machine: starting it, quiet and closed to others, and seeing whether it lives."""

import logging
import os
import warnings

import ray

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


def start_ray() -> None:
    """Join the Ray that is running in this process, or start one that only this machine can reach.

    Warns where the user has told Ray to listen beyond it: whoever reaches its ports can run code here.
    """
    os.environ.update(QUIET_RAY)
    if os.environ[RAY_BEYOND_THIS_MACHINE] != "0":
        beyond = f"{RAY_BEYOND_THIS_MACHINE} is set: Ray can be reached, and given code to run, from other machines"
        warnings.warn(beyond, stacklevel=2)
    if not ray.is_initialized():
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failed trials are told of by their outcome
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)


def ray_is_alive() -> bool:
    """Whether Ray has a node that it hears of. Where its GCS is dead, Ray ends this process instead, within seconds."""
    return any(node["Alive"] for node in ray.nodes())  # type: ignore[no-untyped-call]  # Ray leaves it so
