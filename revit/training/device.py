"""What a GPU does otherwise than a CPU: number formats, compiled kernels. On a CPU nothing changes."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch import nn


def to_device(model: nn.Module, device: torch.device) -> nn.Module:
    """Move the model to the device that it is to train on.

    A GPU multiplies what autocast leaves in float32 as TF32, which rounds operands to 10 bits.
    """
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # of the ways to say so the one that torch.compile can read, too
    return model.to(device)


def compile_network(model: nn.Module) -> nn.Module:
    """The model in kernels that torch.compile makes of it; its parameters are the model's own.

    Batches of different sizes are compiled each by itself: a trial has at most three, the whole one, an epoch's last,
    and what micro-batches leave over.
    """
    torch.compiler.reset()  # what a worker compiled for earlier trials counts against how often it may compile
    as_uncompiled: dict[str, Any] = {"fallback_random": True}  # else Inductor draws other dropout
    return cast(nn.Module, torch.compile(model, dynamic=False, options=as_uncompiled))


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """bf16 where the device has it, else nothing."""
    return torch.autocast("cuda", dtype=torch.bfloat16) if has_bf16(device) else nullcontext()


def has_bf16(device: torch.device) -> bool:
    """Whether a device has bf16; a CPU emulates it hundreds of times slower, so never there."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def device_name(device: torch.device) -> str:
    """What the device is called: the GPU's name, or `cpu`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
