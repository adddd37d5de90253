"""Peak memory of a trial, estimated without its device.

`train_step` runs on fake tensors, which have shapes and no content, under PyTorch's memory tracker. The peak equals
what the allocator of a real step has handed out (tests/revit/training/test_memory_estimate.py): the live tensors. A
process on a GPU needs more, see `study.execution.gpu_share`.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from revit.config import FineTuneConfig
from revit.datasets.batches import Batch
from revit.datasets.mixing import Mix
from revit.models.build import empty_model
from revit.training.fine_tune import train_step
from revit.training.optimizers import build_optimizer

Precision = Literal["fp32", "bf16"]
CPU = torch.device("cpu")
SMALLEST = 2
"""Smallest micro-batch that is traced, in images: BatchNorm needs two."""
WITHOUT_EFFECT: dict[str, Any] = {
    "seed": 0, "subset_seed": 0, "data_fraction": 1.0, "steps": 1, "epochs": None, "optimizer.lr": 1.0,
    "model.pretrained": False, "model.weights": None, "num_evals": 1, "eval_every": None,
}  # fmt: skip
"""Fields with values that leave the memory as it is, so that trials that differ in them are traced once."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Peak memory of the steps of a trial, as a function of its micro-batch.

    Attributes:
        least_bytes: needed whatever the micro-batch: model, gradients, optimizer state, and what its step needs.
        lines: of forward and backward passes, bytes at no image and for each image of the micro-batch. Memory is
            linear, but for where in the step its peak is: the largest of the lines counts. They are exact at the
            micro-batch of the config and at its double, and a little high in between and below.
        batch_bytes: of the uint8 images and labels of the whole batch.
    """

    least_bytes: int
    lines: tuple[tuple[int, int], ...]
    batch_bytes: int

    def peak_bytes(self, micro_batch: int) -> int:
        """Return the peak memory with a micro-batch of so many images; of one image, at most that of two."""
        return self.batch_bytes + max(self.least_bytes, *(base + image * micro_batch for base, image in self.lines))

    def largest_micro_batch(self, limit_bytes: int) -> int:
        """Return the largest micro-batch whose peak is at most the limit; 0 if not even one image fits."""
        left = limit_bytes - self.batch_bytes
        return max(0, min((left - base) // image for base, image in self.lines)) if left >= self.least_bytes else 0


def estimate_memory(
    config: FineTuneConfig, num_classes: int, channels: int, precision: Precision, *, on_gpu: bool
) -> MemoryEstimate:
    """Estimate the peak memory of a config; takes seconds, once for configs that need the same.

    Args:
        channels: of the stored images, 1 or 3.
        precision: of matrix products and activations, as `revit.training.device.autocast` chooses it.
        on_gpu: whether optimizers take the kernels that they take on a GPU.

    Raises:
        InputError: the model does not exist, or does not take the resolution.
    """
    accumulates = config.micro_batch is not None and config.micro_batch < config.batch_size
    values = {**WITHOUT_EFFECT, "batch_size": 2, "micro_batch": 1 if accumulates else None}
    size = max(SMALLEST, min(config.micro_batch or config.batch_size, config.batch_size))
    least, lines = _traced(config.with_values(values), num_classes, channels, precision, on_gpu, size)
    batch_bytes = config.batch_size * (channels * config.resolution**2 + torch.int64.itemsize)
    return MemoryEstimate(least, lines, batch_bytes)


@lru_cache(maxsize=1024)
def _traced(
    config: FineTuneConfig, num_classes: int, channels: int, precision: Precision, on_gpu: bool, size: int
) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Return least bytes and lines (see `MemoryEstimate`), through traces of a few images, `size`, and its double."""
    sizes = sorted({SMALLEST, size, 2 * size})
    traces = [_trace(config, num_classes, channels, precision, on_gpu, each) for each in sizes]
    lines = []
    for (low, until_low), (high, until_high) in pairwise(zip(sizes, (until for until, _ in traces), strict=True)):
        image_bytes = (until_high - until_low) // (high - low)
        lines.append((until_high - high * image_bytes, image_bytes))
    return traces[0][1], tuple(lines)


def _trace(
    config: FineTuneConfig, num_classes: int, channels: int, precision: Precision, on_gpu: bool, size: int
) -> tuple[int, int]:
    """Return the peaks of a second step, without its batch: until its gradients are there, and to its end.

    Args:
        size: images of a micro-batch, of which there are two where the config has any.
    """
    num_images = size if config.micro_batch is None else 2 * size
    config = config.with_values({"batch_size": num_images, "micro_batch": size if config.micro_batch else None})
    model = empty_model(config, num_classes)
    peaks: list[int] = []
    with FakeTensorMode(allow_non_fake_inputs=True), _FusedSteps():  # type: ignore[no-untyped-call]
        model.to_empty(device=CPU)
        network = model if precision == "fp32" else _Bf16(model)
        optimizer = build_optimizer(model, config.optimizer)
        if on_gpu:
            _take_kernels_of_a_gpu(optimizer)
        average = ModelEmaV3(model, config.ema_decay) if config.ema_decay else None
        batch = _batch(config, channels, num_images)

        def step() -> None:
            train_step(network, optimizer, batch, config.optimizer.lr, config, CPU)
            if average is not None:
                average.update(model)

        step()
        optimizer.zero_grad(set_to_none=True)
        tracker = _Tracker()
        of_batch = [batch.images, batch.labels, *([] if batch.erased is None else [batch.erased])]
        tracker.track_external(model, optimizer, *of_batch, *([] if average is None else [average.module]))

        def note(*_: object) -> None:
            whole = tracker.get_tracker_snapshot("peak")[CPU]["Total"]
            peaks.append(whole - sum(each.untyped_storage().nbytes() for each in of_batch))

        with optimizer.register_step_pre_hook(note), tracker:
            step()
            note()
    until, whole = peaks
    return until, whole


class _FusedSteps(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Take the steps of fused optimizers, which work in place; PyTorch would run some of them on real tensors."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return None if func.__name__.startswith("_fused_") else func(*args, **(kwargs or {}))


class _Tracker(MemTracker):
    """Memory tracker of the whole device: of modules that run in each micro-batch, and of frozen parameters.

    PyTorch's also keeps statistics of each module, which would allow neither.
    """

    def _pre_fw_hook(self, module: nn.Module, inputs: Any) -> None:
        self.memory_tracking.pop(module, None)  # type: ignore[no-untyped-call]
        super()._pre_fw_hook(module, inputs)

    def _track_module_params_and_buffers(self, module: nn.Module, *_: object, **__: object) -> tuple[int, int]:
        return super()._track_module_params_and_buffers(module, install_grad_hooks=False)


def _batch(config: FineTuneConfig, channels: int, count: int) -> Batch:
    """Return a batch with what the config has: a partner for each image, boxes to be erased."""
    side = config.resolution
    images = torch.zeros(count, channels, side, side, dtype=torch.uint8)
    labels = torch.zeros(count, dtype=torch.int64)
    box = None if config.mixup else (0, 0, side // 2, side // 2)
    mix = Mix(labels, 0.5, box) if config.mixup or config.cutmix else None
    return Batch(images, labels, mix, torch.zeros(count, 4, dtype=torch.int64) if config.random_erasing else None)


def _take_kernels_of_a_gpu(optimizer: torch.optim.Optimizer) -> None:
    """Choose fused kernels, else those for many tensors at a time, as torch and timm do on a GPU."""
    for group in optimizer.param_groups:
        if "fused" in group:
            group["fused"] = True
        elif "foreach" in group:
            group["foreach"] = True


class _Bf16(nn.Module):
    """A network under autocast to bf16, with the types that it has on a GPU."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        with ExitStack() as contexts:
            contexts.enter_context(torch.autocast("cpu", dtype=torch.bfloat16))
            contexts.enter_context(_Float32Islands())
            logits: Tensor = self.network(images)
        return logits


FLOAT32: tuple[Callable[..., Tensor], ...] = (F.layer_norm, F.group_norm, F.rms_norm, F.softmax, F.log_softmax)
"""Functions that autocast runs in float32 on a GPU and not on a CPU, of those that networks call (PyTorch's table of
CUDA ops that autocast to float32, docs.pytorch.org/docs/stable/amp.html). Their inputs are kept in float32, too."""


class _Float32Islands(TorchFunctionMode):
    """Run FLOAT32 in float32."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in FLOAT32:
            args = tuple(each.float() if isinstance(each, Tensor) else each for each in args)
        return func(*args, **(kwargs or {}))
