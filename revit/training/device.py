"""GPU settings: number formats, compiled kernels. On a CPU nothing changes.

Two settings that are often recommended are not used:

- Channels-last memory speeds up convolutions (PyTorch's tutorial on memory formats). A ViT has one, its first layer. On
  a GPU, the GroupNorm of BiT copies its input to the default format (`native_group_norm`), around each convolution.
- A second stream would hide the copies of batches. Training on batches in pinned memory has .997 of the speed of
  training on tensors that are on the GPU (2,609 of 2,616 images/s, benchmarks/results.md).
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch import nn

from revit.errors import InputError

DEVICES = ("cpu", "cuda")
"""Devices by name."""


def find_device(name: str | None) -> torch.device:
    """Return a device by its name; without one, a GPU where there is one.

    Raises:
        InputError: another name, or a GPU that PyTorch cannot use.
    """
    has_gpu = torch.cuda.is_available()
    if name is None:
        return torch.device("cuda" if has_gpu else "cpu")
    if name not in DEVICES:
        raise InputError(f"device = {name}: must be {' or '.join(DEVICES)}")
    if name == "cuda" and not has_gpu:
        raise InputError(f"device = {name}: PyTorch finds no GPU on this machine; take cpu")
    return torch.device(name)


def to_device(model: nn.Module, device: torch.device) -> nn.Module:
    """Move a model to the device that it trains on.

    On a GPU, matrix products that autocast leaves in float32 use TF32, with operands of 10 bits.
    """
    if device.type == "cuda":
        torch.set_float32_matmul_precision(
            "high"
        )  # the setting that torch.compile reads, too; the default is "highest"
    return model.to(device)


def compile_network(model: nn.Module) -> nn.Module:
    """Return the model compiled by torch.compile; it shares the model's parameters.

    Each batch size is compiled separately. A trial has at most three: the full batch, the last of an epoch, and the
    remainder of micro-batches.
    """
    torch.compiler.reset()  # earlier trials of this worker count against the recompilation limit
    options: dict[str, Any] = {"fallback_random": True}  # the dropout masks of eager mode
    return cast(nn.Module, torch.compile(model, dynamic=False, options=options))


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return an autocast to bf16 if the device has it, else a null context."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if has_bf16(device) else nullcontext()


def has_bf16(device: torch.device) -> bool:
    """Return True for a GPU with bf16; False for a CPU, which would be hundreds of times slower."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def device_name(device: torch.device) -> str:
    """Return the name of the GPU, or `cpu`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
