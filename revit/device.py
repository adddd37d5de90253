"""What a GPU does otherwise than a CPU: number formats, memory layout, compiled kernels. On a CPU nothing changes."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch import nn


def place(model: nn.Module, device: torch.device) -> nn.Module:
    """The model on the device that it is to train on.

    A GPU multiplies what autocast leaves in float32 as TF32, which rounds operands to 10 bits; convolutional models lie
    there in channels-last, as its tensor cores take them.
    """
    model = model.to(device)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # of the ways to say so the one that torch.compile can read, too
        if _is_convolutional(model):
            model.to(memory_format=torch.channels_last)
    return model


def _is_convolutional(model: nn.Module) -> bool:
    """Whether it has convolutions beside the one that embeds a ViT's patches."""
    return sum(isinstance(module, nn.Conv2d) for module in model.modules()) > 1


def layout_of(model: nn.Module) -> torch.memory_format:
    """How the images (B, 3, H, W) that a model takes are to lie: channels-last where its first convolution does."""
    first = next((parameter for parameter in model.parameters() if parameter.dim() == 4), None)
    if first is not None and first.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.preserve_format


def compiled(model: nn.Module) -> nn.Module:
    """The model in kernels that torch.compile makes of it; its parameters are the model's own.

    Batches of different sizes are compiled each by itself: a trial has at most three, the whole one, an epoch's last,
    and what micro-batches leave over.
    """
    torch.compiler.reset()  # what a worker compiled for earlier trials counts against how often it may compile
    as_uncompiled: dict[str, Any] = {"fallback_random": True}  # else Inductor draws other dropout
    return cast(nn.Module, torch.compile(model, dynamic=False, options=as_uncompiled))


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """bf16 where the device has it, else nothing."""
    return torch.autocast("cuda", dtype=torch.bfloat16) if uses_bf16(device) else nullcontext()


def uses_bf16(device: torch.device) -> bool:
    """Whether a device has bf16; a CPU emulates it hundreds of times slower, so never there."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def device_name(device: torch.device) -> str:
    """What the device is called: the GPU's name, or `cpu`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
