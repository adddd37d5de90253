"""Dropout of a part of a batch by the masks of the whole batch."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from revit.datasets.batch_parts import BatchPart


class SharedDropout(TorchFunctionMode):
    """Context in which the images of a part drop what they drop in a forward pass of their whole micro-batch.

    Each worker draws the random numbers of the whole micro-batch, so that the generators of all stay in step, and takes
    those of its images. So each mask takes the memory and time of a mask for the whole micro-batch. Kernels of
    `scaled_dot_product_attention` draw while they compute. With dropout, each worker therefore computes attention for
    the whole micro-batch.

    Covers `dropout`, attention, and `Tensor.bernoulli_`, which timm's stochastic depth draws with, of tensors with the
    images in their first dimension, or with as many rows of each image (see `check_is_splittable`).
    """

    def __init__(self, part: BatchPart) -> None:
        super().__init__()
        self._part = part

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        shared: dict[Any, Callable[..., Tensor]] = {
            F.dropout: self._dropout,
            F.scaled_dot_product_attention: self._attention,
            Tensor.bernoulli_: self._bernoulli,
        }
        method: Callable[..., Any] = shared.get(func, func)
        return method(*args, **(kwargs or {}))

    def draw(self, function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
        """Return the result of a function that drops some of the values."""
        return function(values)

    def _dropout(self, values: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        def drop(values: Tensor) -> Tensor:
            ones = self._whole(values).fill_(1)
            is_kept = F.dropout(ones, p, training=True)[self._own(values)].ne(0)
            return values * is_kept * (1 / (1 - p))

        return self.draw(drop, values) if training and 0 < p < 1 else F.dropout(values, p, training, inplace)

    def _bernoulli(self, values: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        def fill(values: Tensor) -> Tensor:
            return values.copy_(self._whole(values).bernoulli_(*args, **kwargs)[self._own(values)])

        return self.draw(fill, values)

    def _attention(
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Attend in the whole micro-batch, in which all other images are ones."""

        def attend(query: Tensor) -> Tensor:
            mask = attn_mask
            if mask is not None and len(mask) == len(query):
                mask = self._padded(mask)
            padded = self._padded(query), self._padded(key), self._padded(value)
            return F.scaled_dot_product_attention(*padded, mask, *args, **kwargs)[self._own(query)]

        p = args[0] if args else kwargs.get("dropout_p", 0.0)
        if p == 0:
            return F.scaled_dot_product_attention(query, key, value, attn_mask, *args, **kwargs)
        return self.draw(attend, query)

    def _padded(self, values: Tensor) -> Tensor:
        own, whole = self._own(values), self._num_rows(values)
        return F.pad(values, [0, 0] * (values.dim() - 1) + [own.start, whole - own.stop], value=1)

    def _whole(self, values: Tensor) -> Tensor:
        """Return a tensor for the whole micro-batch, with the strides of the values, in whose order CPUs draw."""
        order = sorted(range(values.dim()), key=values.stride, reverse=True)
        shape = (self._num_rows(values), *values.shape[1:])
        return torch.empty_permuted(shape, order, dtype=values.dtype, device=values.device)

    def _num_rows(self, values: Tensor) -> int:
        return self._rows_per_image(values) * self._part.num_in_micro_batch

    def _own(self, values: Tensor) -> slice:
        per_image, offset = self._rows_per_image(values), self._part.offset
        return slice(per_image * offset, per_image * (offset + self._part.num_images))

    def _rows_per_image(self, values: Tensor) -> int:
        return values.shape[0] // self._part.num_images
