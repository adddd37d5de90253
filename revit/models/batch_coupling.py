"""Check that the workers of a trial can share its batches: each image must be computed by itself."""

from collections.abc import Callable
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode

from revit.config import FineTuneConfig
from revit.datasets.batch_parts import BatchPart
from revit.errors import InputError
from revit.models.shared_dropout import SharedDropout


def check_is_splittable(model: nn.Module, config: FineTuneConfig) -> None:
    """Raise InputError unless a batch of the model can be split over workers.

    It must have no batch normalization in training mode, and all of its random numbers must be those of `dropout`,
    attention or stochastic depth, of tensors with the images in their first dimension. The model runs twice on the meta
    device; neither it nor the random state changes.
    """
    if any(isinstance(module, _BatchNorm) for module in model.modules()):
        raise _refusal(config, "has batch normalization")
    (shapes, others), (more_shapes, _) = (_draws(model, config.resolution, num_images) for num_images in (2, 3))
    if others:
        raise _refusal(config, f"draws random numbers by {others[0]}")
    if [(2 * more, *rest) for more, *rest in more_shapes] != [(3 * rows, *rest) for rows, *rest in shapes]:
        raise _refusal(config, "drops across a dimension that is not the images'")


def _refusal(config: FineTuneConfig, reason: str) -> InputError:
    return InputError(f"model.name = {config.model.name!r}: {reason}; a trial of it must have one worker")


def _draws(model: nn.Module, resolution: int, num_images: int) -> tuple[list[tuple[int, ...]], list[str]]:
    """Return the shapes of tensors that drop in training mode, and the names of other functions that draw."""
    tensors = chain(model.named_parameters(), model.named_buffers())
    meta_tensors = {name: tensor.detach().to("meta") for name, tensor in tensors}
    images = torch.empty(num_images, 3, resolution, resolution, device="meta")
    was_training = model.training
    model.train()
    everything = slice(0, num_images)
    with torch.no_grad(), _RecordedDropout(BatchPart(everything, everything, 0)) as dropout, _Draws(dropout) as draws:
        torch.func.functional_call(model, meta_tensors, images)
    model.train(was_training)
    return dropout.shapes, draws.names


class _RecordedDropout(SharedDropout):
    """Dropout that records the shapes of the tensors that it is given."""

    def __init__(self, part: BatchPart) -> None:
        super().__init__(part)
        self.shapes: list[tuple[int, ...]] = []
        self.is_drawing = False

    def draw(self, function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
        self.shapes.append(tuple(values.shape))
        self.is_drawing = True
        result = super().draw(function, values)
        self.is_drawing = False
        return result


class _Draws(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Names of the functions that draw random numbers outside of a dropout."""

    def __init__(self, dropout: _RecordedDropout) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.names: list[str] = []
        self._dropout = dropout

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags and not self._dropout.is_drawing:
            self.names.append(str(func))
        return func(*args, **(kwargs or {}))
