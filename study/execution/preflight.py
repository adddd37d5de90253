"""Checks of a launch before Ray starts."""

import os
from pathlib import Path

from rich.filesize import decimal

from revit.config import ModelConfig
from revit.errors import InputError
from revit.models.weights import PACKAGED
from study.execution.resources import ResourceRequest
from study.model_check import model_key
from study.plan import Trial

MIN_RAY_BYTES, MIN_RAY_INODES = 50_000_000, 1_000
"""Free space and inodes that Ray's logs and sockets need in its temporary folder."""


def check_runnable(trials: list[Trial], request: ResourceRequest) -> None:
    """Check what would fail after Ray has started.

    Models that the project does not ship are built and run once on the meta device, and compared with their weights.

    Raises:
        InputError: a model, its weights, the request or Ray's temporary folder is unfit.
    """
    unshipped = {model_key(trial.candidate.config): trial for trial in trials if not _is_shipped(trial)}
    for trial in unshipped.values():
        from revit.models.build import check_model

        check_model(trial.candidate.config, trial.weights)
    if request.gpus_per_trial is not None and request.gpus_per_trial > 1:
        one = "a trial trains on one GPU: request 1, or a fraction of it"
        raise InputError(f"--gpus-per-trial = {request.gpus_per_trial:g}: {one}")
    check_temporary_folder()
    if request.address is not None:
        return  # its nodes are known once it is joined
    if request.gpus_per_trial:
        import torch

        num_gpus = torch.cuda.device_count()
        if request.gpus_per_trial > num_gpus:
            raise InputError(f"--gpus-per-trial = {request.gpus_per_trial:g}: this machine has {num_gpus}")
    num_cpus = os.cpu_count() or 1
    if request.cpus_per_trial is not None and request.cpus_per_trial > num_cpus:
        raise InputError(f"--cpus-per-trial = {request.cpus_per_trial}: this machine has {num_cpus}")


def check_temporary_folder() -> None:
    """Raise InputError where Ray's temporary folder lacks space or inodes for its logs and sockets."""
    variable = next((name for name in ("RAY_TMPDIR", "TMPDIR") if name in os.environ), "")
    folder = Path(os.environ.get(variable, "/tmp"))
    disk = os.statvfs(next(each for each in (folder, *folder.absolute().parents) if each.exists()))
    free = disk.f_bavail * disk.f_frsize
    if free < MIN_RAY_BYTES or (disk.f_files > 0 and disk.f_favail < MIN_RAY_INODES):
        raise InputError(
            f"Ray's temporary folder {folder} has {decimal(free)} and {disk.f_favail} inodes left, and needs "
            f"{decimal(MIN_RAY_BYTES)} and {MIN_RAY_INODES}: free some, or name another with RAY_TMPDIR"
        )


def _is_shipped(trial: Trial) -> bool:
    plain = ModelConfig(name=trial.candidate.config.model.name)
    return trial.candidate.config.model == plain and trial.weights is not None and trial.weights.parent == PACKAGED
