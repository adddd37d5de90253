"""What this machine has to train with: versions, processors, memory, disks."""

import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from rich.filesize import decimal

from revit.errors import InputError
from study.maintenance.checks import CheckResult
from study.system.limits import check_processes, memory_limit

PACKAGE = "revit-study"
SHOWN = ("torch", "timm", "ray", "mlflow", "optuna")
"""Packages whose versions are told even where they will do."""

SHARED_MEMORY = Path("/dev/shm")
LITTLE_DISK = 5e9
"""Bytes: of a study at the paper's scale, the models and checkpoints alone may need as many."""
LITTLE_SHARED_MEMORY = 512e6
"""Bytes: a container has 64 MB unless told otherwise, and Ray then keeps its objects on a disk."""


def check_versions() -> Iterator[CheckResult]:
    """Hold what is installed against what this project asks for."""
    python = platform.python_version()
    wanted_python = metadata(PACKAGE)["Requires-Python"]
    if python not in SpecifierSet(wanted_python):
        yield CheckResult("look", f"versions: Python {python} is installed, {wanted_python} is needed")
    needed = [Requirement(text) for text in requires(PACKAGE) or ()]
    for each in needed:
        if each.marker is not None and not each.marker.evaluate({"extra": ""}):
            continue
        installed = _installed(each.name)
        if not each.specifier.contains(installed, prereleases=True):
            wanted = f"{each.name}{each.specifier}"
            yield CheckResult("look", f"versions: {installed} of {each.name} is installed: pip install '{wanted}'")
    told = ", ".join(f"{name} {_installed(name)}" for name in SHOWN)
    yield CheckResult("ok", f"versions: Python {python}, {told}")


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "0"


def check_devices() -> Iterator[CheckResult]:
    """Tell the processors and GPUs, and their memory."""
    import torch

    from revit.training.device import uses_bf16

    yield CheckResult("ok", f"devices: {os.cpu_count()} CPUs, {decimal(memory_limit())} of memory")
    gpus = [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    for gpu in gpus:
        free, total = torch.cuda.mem_get_info(gpu)
        bf16 = "bf16" if uses_bf16(gpu) else "no bf16"
        name = torch.cuda.get_device_name(gpu)
        yield CheckResult("ok", f"devices: {gpu} {name}, {decimal(free)} of {decimal(total)} free, {bf16}")
    if not gpus:
        yield CheckResult("ok", "devices: no GPU, so trials train on CPUs")


def check_limits() -> Iterator[CheckResult]:
    """Tell of limits that do not let Ray start."""
    try:
        check_processes()
    except InputError as error:
        yield CheckResult("look", f"processes: {error}")


def check_disks(folders: Mapping[str, Path]) -> Iterator[CheckResult]:
    """Tell the space for each folder, by the option that names another."""
    for option, folder in folders.items():
        free = shutil.disk_usage(_existing(folder)).free
        if free < LITTLE_DISK:
            advice = f"clear some, or name another with {option}"
            yield CheckResult("look", f"disks: only {decimal(free)} free for {folder}: {advice}")
        else:
            yield CheckResult("ok", f"disks: {decimal(free)} free for {folder}")
    if SHARED_MEMORY.is_dir():
        size = shutil.disk_usage(SHARED_MEMORY).total
        if size < LITTLE_SHARED_MEMORY:
            advice = "start the container with --shm-size=2g"
            yield CheckResult("look", f"disks: {SHARED_MEMORY} has only {decimal(size)}: {advice}")


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.exists())
