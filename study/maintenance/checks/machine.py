"""Checks of this machine: versions, processors, memory, disks."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from rich.filesize import decimal

from revit.errors import InputError
from study.maintenance.checks import CheckResult
from study.system.limits import check_processes, free_bytes, memory_limit

PACKAGE = "revit-study"
SHOWN_PACKAGES = ("torch", "timm", "ray", "mlflow", "optuna")

SHARED_MEMORY = Path("/dev/shm")
MIN_FREE_DISK_BYTES = 5e9
"""The models and checkpoints of one study at paper scale may need as much."""
MIN_SHARED_MEMORY_BYTES = 512e6
"""A container has 64 MB by default; Ray then keeps its objects on a disk."""


def check_versions() -> Iterator[CheckResult]:
    """Check the installed packages against this project's requirements, by `pip check`."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    ours = [line for line in done.stdout.splitlines() if line.startswith(f"{PACKAGE} ")]
    for line in (*ours, *done.stderr.splitlines()[-1:]):
        yield CheckResult("error", f"versions: {line}")
    shown = ", ".join(f"{name} {version(name)}" for name in SHOWN_PACKAGES)
    yield CheckResult("ok", f"versions: Python {platform.python_version()}, {shown}")


def check_devices() -> Iterator[CheckResult]:
    """Report the processors and GPUs with their memory."""
    import torch

    from revit.training.device import has_bf16

    yield CheckResult("ok", f"devices: {os.cpu_count()} CPUs, {decimal(memory_limit())} memory")
    gpus = [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    for gpu in gpus:
        free, total = torch.cuda.mem_get_info(gpu)
        bf16 = "bf16" if has_bf16(gpu) else "no bf16"
        name = torch.cuda.get_device_name(gpu)
        yield CheckResult("ok", f"devices: {gpu} {name}, {decimal(free)} of {decimal(total)} free, {bf16}")
    if not gpus:
        yield CheckResult("ok", "devices: no GPU, trials train on CPUs")


def check_limits() -> Iterator[CheckResult]:
    """Check that the limits on processes let Ray start."""
    try:
        check_processes()
    except InputError as error:
        yield CheckResult("error", f"processes: {error}")


def check_disks(folders: Mapping[str, Path]) -> Iterator[CheckResult]:
    """Check the free space of each folder, given by its option, and of shared memory."""
    for option, folder in folders.items():
        free = free_bytes(folder)
        if free < MIN_FREE_DISK_BYTES:
            advice = f"free some, or name another folder with {option}"
            yield CheckResult("warn", f"disks: only {decimal(free)} free for {folder}: {advice}")
        else:
            yield CheckResult("ok", f"disks: {decimal(free)} free for {folder}")
    if SHARED_MEMORY.is_dir():
        size = shutil.disk_usage(SHARED_MEMORY).total
        if size < MIN_SHARED_MEMORY_BYTES:
            advice = "start the container with --shm-size=2g"
            yield CheckResult("warn", f"disks: {SHARED_MEMORY} has only {decimal(size)}: {advice}")
