"""Fractions of a GPU: the number of trials that fit one, each behind a fence."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from revit.training.memory_shape import Precision, micro_batch_of, shape_memory
from study.execution.resources import Node, ResourceRequest
from study.forecast.gpu_fit import CONTEXT_BYTES, trials_that_fit
from study.trial import Trial

RAY_PRECISION = 1e4
"""Ray counts resources in units of 1 / RAY_PRECISION."""


def share_gpus(
    request: ResourceRequest,
    trials: Iterable[Trial],
    nodes: Sequence[Node],
    gpu_bytes: Sequence[int],
    log: Callable[[str], None],
) -> ResourceRequest:
    """Return the request with the smallest fraction of a GPU on which every trial fits, if it asks for that.

    There are at most as many trials on a GPU as its part of its node's CPUs has room for. One line says the number and
    why.

    Args:
        trials: those to be run; of several sizes, the largest decides.
        gpu_bytes: memory of every GPU that they may run on; the smallest decides.
        log: called with the line.
    """
    gpu_nodes = [node for node in nodes if node.gpus]
    if not request.share_gpus or not gpu_nodes:
        return request
    cpus = min(node.cpus / node.gpus for node in gpu_nodes)
    num_by_cpus = max(1, int(cpus / (request.cpus_per_trial or 1)))
    if not gpu_bytes:
        log("one trial per GPU: the memory of the GPUs is not known; --gpus-per-trial .5 lets two trials share one")
        return replace(request, gpus_per_trial=1.0)
    trial_bytes = max(peak_bytes(trial) for trial in trials)
    num = max(1, min(num_by_cpus, trials_that_fit(trial_bytes, min(gpu_bytes))))
    why = f"the largest needs {trial_bytes / 1e9:.3g} GB by the estimate, the GPU has {min(gpu_bytes) / 1e9:.3g} GB"
    limit = f", with {cpus:g} CPUs for each GPU" if num == num_by_cpus else ""
    log(f"{'one trial' if num == 1 else f'{num} trials'} per GPU: {why}{limit}")
    num_cpus = request.cpus_per_trial or max(1, int(cpus / num))
    return replace(request, gpus_per_trial=math.floor(RAY_PRECISION / num) / RAY_PRECISION, cpus_per_trial=num_cpus)


def peak_bytes(trial: Trial) -> int:
    """Return the estimated peak memory of a trial on a GPU, in the precision of this machine's, else in fp32."""
    import torch

    from revit.training.device import has_bf16

    precision: Precision = "bf16" if torch.cuda.is_available() and has_bf16(torch.device("cuda")) else "fp32"
    assert trial.images is not None
    config = trial.candidate.config
    estimate = shape_memory(config, _num_classes(trial.images), precision, on_gpu=True)
    return estimate.peak_bytes(micro_batch_of(config))


@cache
def _num_classes(images: Path) -> int:
    from revit.datasets.image_store import ImageStore

    return len(ImageStore(images).manifest.class_names)


def gpu_bytes_here() -> list[int]:
    """Return the memory of each GPU of this machine."""
    import torch

    return [torch.cuda.get_device_properties(index).total_memory for index in range(torch.cuda.device_count())]


def set_memory_fence(num_gpus: float) -> None:
    """Limit this process to its fraction of the current GPU, less its context; with a whole GPU, lift the limit.

    A trial that reaches the limit is out of memory, and continues with a smaller micro-batch; those beside it do not
    notice. The limit is that of PyTorch's allocator, as a fraction of all memory of the GPU. It does not count CUDA's
    context, which each process needs beside it (docs of `torch.cuda.set_per_process_memory_fraction`).
    """
    import torch

    fraction = 1.0
    if num_gpus < 1:
        total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
        fraction = max(num_gpus / 2, num_gpus - CONTEXT_BYTES / total)
    torch.cuda.set_per_process_memory_fraction(fraction)
