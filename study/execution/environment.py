"""The environment of a trial: devices, precision, threads, versions. It affects last bits, but not the identity."""

import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from study.execution.resources import ResourceRequest
from study.ledger import schema

if TYPE_CHECKING:
    import torch


def describe(device: "torch.device", *, num_threads: int, compiled: bool, num_workers: int) -> dict[str, str]:
    """Return the environment of a trial on this machine, by the names in ENVIRONMENT_TAGS."""
    import timm
    import torch

    from revit.training.device import device_name, has_bf16

    return {
        schema.DEVICE_TAG: device_name(device),
        schema.PRECISION_TAG: "bf16" if has_bf16(device) else "fp32",
        schema.COMPILED_TAG: "yes" if compiled else "no",
        schema.WORKERS_TAG: str(num_workers),
        schema.THREADS_TAG: str(num_threads),
        schema.TORCH_TAG: str(torch.__version__),  # of a class of its own, for which the driver would import PyTorch
        schema.TIMM_TAG: timm.__version__,
    }


@cache
def library_versions() -> Mapping[str, str]:
    """Return the versions of this process that can change the last bits of a trial's numbers, by name.

    Ray itself keeps other versions of Ray or Python out of a cluster.
    """
    return {"Python": platform.python_version(), **{name: _version(name) for name in ("torch", "timm")}}


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "none"


def version_difference(there: Mapping[str, str], driver: Mapping[str, str]) -> str:
    """Return the versions of a node that differ from the driver's, beside these; empty where none do."""
    differing = [name for name in driver if there[name] != driver[name]]
    one, other = (", ".join(f"{name} {versions[name]}" for name in differing) for versions in (there, driver))
    return f"{one}, and the driver {other}" if differing else ""


def expected(request: ResourceRequest) -> dict[str, str]:
    """Return the environment of the next trial on this machine."""
    import torch

    on_gpu = torch.cuda.is_available() and request.gpus_per_trial != 0
    num_threads = 1 if on_gpu else request.cpus_per_trial or 1
    device = torch.device("cuda" if on_gpu else "cpu")
    return describe(device, num_threads=num_threads, compiled=request.compiled, num_workers=request.num_workers)
