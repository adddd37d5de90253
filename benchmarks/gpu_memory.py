"""Memory of trials on a GPU: the part of `python -m benchmarks gpu` that a shared GPU depends on.

A few training steps of the benchmark's trial: whether they synchronize, whether their peak is the estimated one, and
whether a worker gives its memory back. Then two processes train behind a fence of half a GPU each.
"""

import gc
import warnings
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import NamedTuple

import torch

from benchmarks.ratios import BenchmarkResult
from revit.config import FineTuneConfig
from revit.datasets.batches import Batch
from revit.models.build import build_model
from revit.training.device import has_bf16, to_device
from revit.training.fine_tune import train_step
from revit.training.memory_estimate import estimate_memory
from revit.training.memory_shape import Precision
from revit.training.optimizers import build_optimizer
from study.execution.gpu_share import set_memory_fence
from study.forecast.gpu_fit import CONTEXT_BYTES, RESERVED_SHARE, WORKSPACE_BYTES

NUM_CLASSES, CHANNELS = 10, 3
NUM_STEPS = 5
SHARE = 0.5
"""GPUs of each of two processes."""


class Peak(NamedTuple):
    """Memory of a process on a GPU at its peak, in bytes.

    Attributes:
        allocated: handed out by PyTorch's allocator.
        reserved: held by it.
        is_fenced: whether more than its share was refused.
    """

    allocated: int
    reserved: int
    is_fenced: bool


def memory_lines(config: FineTuneConfig, device: torch.device) -> list[BenchmarkResult]:
    """Return the lines of a config's training steps; of a CPU, the one on synchronization, which has none."""
    num_syncs = _train(config, device)
    lines = [_line("operators that synchronize in a training step, after the first", "none", num_syncs, 0.0)]
    if device.type == "cpu":
        return lines
    precision: Precision = "bf16" if has_bf16(device) else "fp32"
    expected = estimate_memory(config, NUM_CLASSES, CHANNELS, precision, on_gpu=True).peak_bytes(config.batch_size)
    allocated, reserved = torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device)
    gc.collect()
    torch.cuda.empty_cache()
    left = torch.cuda.memory_reserved(device)
    used = _used(device)
    halves = _two_processes(config)
    context = (halves[1] - used) / 2 - max(peak.reserved for peak in halves[0])
    return [
        *lines,
        _line("peak memory of training steps", "the estimate, and workspaces", allocated / (expected + WORKSPACE_BYTES),
              1.02, f"{allocated / 1e9:.4g} against {expected / 1e9:.4g} GB"),
        _line("memory reserved at the peak", "memory handed out", reserved / allocated, RESERVED_SHARE),
        _line("memory held after a trial", "at its peak", left / reserved, 0.05),
        _line("CUDA's context of a process", "its allowance", context / CONTEXT_BYTES, 1.0, f"{context / 1e6:.4g} MB"),
        _line("processes of two at half a GPU each that could take more", "none",
              sum(not peak.is_fenced for peak in halves[0]), 0.0),
    ]  # fmt: skip


def _line(what: str, against: str, ratio: float, target: float, details: str = "") -> BenchmarkResult:
    return BenchmarkResult(what=what, against=against, ratio=ratio, target=target, at_least=False, details=details)


def _train(config: FineTuneConfig, device: torch.device) -> int:
    """Train a few steps; return how many operators of them synchronized, after the first."""
    model = to_device(build_model(config, NUM_CLASSES, None), device).train()
    optimizer = build_optimizer(model, config.optimizer)
    side = config.resolution
    batch = Batch(
        torch.zeros(config.batch_size, CHANNELS, side, side, dtype=torch.uint8),
        torch.zeros(config.batch_size, dtype=torch.int64),
    )
    batch = batch.pinned() if device.type == "cuda" else batch
    train_step(model, optimizer, batch, config.optimizer.lr, config, device)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            torch.cuda.set_sync_debug_mode("warn")
        for _ in range(NUM_STEPS):
            train_step(model, optimizer, batch, config.optimizer.lr, config, device)
        if device.type == "cuda":
            torch.cuda.set_sync_debug_mode("default")
    return sum("called a synchronizing" in str(each.message) for each in caught)


def _used(device: torch.device) -> int:
    """Return the memory of a GPU that all processes hold."""
    free, total = torch.cuda.mem_get_info(device)
    return total - free


def _two_processes(config: FineTuneConfig) -> tuple[list[Peak], int]:
    """Train in two processes with half a GPU each; return their peaks, and the memory in use while both are there."""
    spawn = get_context("spawn")
    pipes = [spawn.Pipe() for _ in range(2)]
    processes = [spawn.Process(target=_train_behind_a_fence, args=(there, config)) for _, there in pipes]
    for process in processes:
        process.start()
    for _, there in pipes:
        there.close()
    peaks = [here.recv() for here, _ in pipes]
    used = _used(torch.device("cuda"))
    for here, _ in pipes:
        here.send("go on")
    for process in processes:
        process.join()
    return peaks, used


def _train_behind_a_fence(boss: Connection, config: FineTuneConfig) -> None:
    """Train with half a GPU, ask for more, and wait with what it has reserved."""
    device = torch.device("cuda", torch.cuda.current_device())
    set_memory_fence(SHARE)
    _train(config, device)
    total = torch.cuda.get_device_properties(device).total_memory
    peak = torch.cuda.max_memory_allocated(device)
    try:
        torch.empty(int(SHARE * total), dtype=torch.uint8, device=device)
        is_fenced = False
    except torch.OutOfMemoryError:  # it has emptied the cache before it gave up
        is_fenced = True
    boss.send(Peak(peak, torch.cuda.memory_reserved(device), is_fenced))
    boss.recv()
