"""Peak memory of a trial, estimated without its device.

`train_step` runs on fake tensors, which have shapes and no content, while their storages are counted. The peak equals
what the allocator of a real step has handed out (tests/revit/training/test_memory_estimate.py): the live tensors. A
process on a GPU needs more, see `study.forecast.gpu_fit`.
"""

import weakref
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import lru_cache
from typing import Any

import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from revit.config import FineTuneConfig
from revit.datasets.batches import Batch, to_input
from revit.datasets.mixing import Mix
from revit.models.build import empty_model
from revit.models.normalization import normalization_of
from revit.training.fine_tune import train_step
from revit.training.memory_shape import NUM_IMAGES, Lines, MemoryEstimate, Precision, batch_bytes, memory_config
from revit.training.optimizers import build_optimizer

CPU = torch.device("cpu")


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
    lines = trace_memory(memory_config(config), num_classes, channels, precision, on_gpu=on_gpu)
    return MemoryEstimate(lines, batch_bytes(config, channels))


@lru_cache(maxsize=1024)
def trace_memory(
    config: FineTuneConfig, num_classes: int, channels: int, precision: Precision, *, on_gpu: bool
) -> Lines:
    """Return the lines of a `MemoryEstimate`, of a config of `memory_config`: of a step that is not the first.

    The step has a micro-batch of NUM_IMAGES, or two. What is a multiple of this prime number belongs to the images.
    """
    model = empty_model(config, num_classes)
    pixel = torch.zeros(1, 3, 1, 1, dtype=torch.uint8)
    to_input(pixel, normalization_of(config), CPU)  # keeps constants for the process: they must not be fake
    with FakeTensorMode(allow_non_fake_inputs=True), _FusedSteps():  # type: ignore[no-untyped-call]  # torch leaves it untyped
        model.to_empty(device=CPU)
        network = model if precision == "fp32" else _Bf16(model)
        optimizer = build_optimizer(model, config.optimizer)
        if on_gpu:
            _take_kernels_of_a_gpu(optimizer)
        average = ModelEmaV3(model, config.ema_decay) if config.ema_decay else None
        _create_state(optimizer)
        batch = _batch(config, channels, config.batch_size)
        modules = [model, *([] if average is None else [average.module])]
        kept = [each for module in modules for each in (*module.parameters(), *module.buffers())]
        kept += [each for state in optimizer.state.values() for each in state.values() if isinstance(each, Tensor)]
        tracker = _Tracker(kept, of_batch=[batch.images, batch.labels])
        with tracker:
            train_step(network, optimizer, batch, config.optimizer.lr, config, CPU)
            if average is not None:
                average.update(model)
    return _upper_hull(tracker.moments)


def _create_state(optimizer: torch.optim.Optimizer) -> None:
    """Let an optimizer create what it keeps between steps, without a forward pass."""
    for parameter in (each for group in optimizer.param_groups for each in group["params"]):
        parameter.grad = torch.empty_like(parameter)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _upper_hull(moments: Iterable[tuple[int, int]]) -> Lines:
    """Return the moments of which each has the most bytes at some number of images, in the order of these."""
    hull: list[tuple[int, int]] = []
    for moment in sorted(moments, key=lambda each: (each[1], each[0])):
        while hull and hull[-1][0] <= moment[0]:
            hull.pop()
        while len(hull) > 1 and _crossing(hull[-2], moment) <= _crossing(hull[-2], hull[-1]):
            hull.pop()
        hull.append(moment)
    return tuple(hull)


def _crossing(flatter: tuple[int, int], steeper: tuple[int, int]) -> float:
    """Return the number of images from which the second line is the higher one."""
    return (flatter[0] - steeper[0]) / (steeper[1] - flatter[1])


class _Tracker(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Count the bytes of all live storages after each operation.

    As `torch.distributed._tools.mem_tracker.MemTracker`, which takes three times as long, as it keeps statistics of
    each module.

    Args:
        kept: tensors that exist before.
        of_batch: tensors that exist before and do not count.

    Attributes:
        moments: bytes at no image and for each image, of each operation.
    """

    def __init__(self, kept: Iterable[Tensor], of_batch: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.moments: set[tuple[int, int]] = set()
        self._fixed = self._of_image = 0
        self._seen = WeakIdKeyDictionary({each.untyped_storage(): None for each in of_batch})
        for each in kept:
            self._add(each)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            if isinstance(each, Tensor):
                self._add(each)
        self.moments.add((self._fixed, self._of_image))
        return result

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._seen:
            return
        self._seen[storage] = None
        num_bytes = storage.nbytes()
        self._count(num_bytes)
        weakref.finalize(storage, self._count, -num_bytes)

    def _count(self, num_bytes: int) -> None:
        if num_bytes % NUM_IMAGES:
            self._fixed += num_bytes
        else:
            self._of_image += num_bytes // NUM_IMAGES


class _FusedSteps(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Take the steps of fused optimizers, which work in place; PyTorch would run some of them on real tensors."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return None if func.__name__.startswith("_fused_") else func(*args, **(kwargs or {}))


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
