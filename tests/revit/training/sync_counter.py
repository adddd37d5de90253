"""Counter of what would make a CPU wait for a GPU, without one: tensors on the meta device take the GPU's part.

A meta tensor has a shape, a type and no content, as a GPU's tensor has for a CPU that does not wait. Operators that
read content, or copy it, come through the dispatcher; constants that are made on the device do not, and are seen as
calls of Python functions.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

GPU = torch.device("meta")
CPU = torch.device("cpu")
aten = torch.ops.aten

INDEXING = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default}
"""Read where elements are by a mask, or copy an index from the host; other indices stay on the device."""
LINEAR_ALGEBRA = ("_linalg_check_errors", "_linalg_svd", "_linalg_eigh", "linalg_eig", "linalg_lstsq", "linalg_lu")
"""Solvers whose status the host reads."""
CONSTANTS = {torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor}
"""Copy Python values, or an array, from memory that is not pinned: `torch.full` and `torch.zeros` do not."""


class SyncCounter:
    """Names of the operators that would have waited, in order.

    Attributes:
        pinned: addresses of storages in pinned memory, from which a copy does not wait.
    """

    def __init__(self) -> None:
        self.found: list[str] = []
        self.pinned: set[int] = set()

    def pin(self, tensor: Tensor) -> Tensor:
        """Return a tensor that counts as pinned, in place of `Tensor.pin_memory`."""
        copy = tensor.clone()
        self.pinned.add(copy.untyped_storage().data_ptr())
        return copy


class _Operators(TorchDispatchMode):
    def __init__(self, counter: SyncCounter) -> None:
        super().__init__()
        self._counter = counter

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.__name__.startswith("_fused_"):
            return None  # in place; not all of them have a kernel for meta tensors
        tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        if any(each.is_inference() for each in tensors):  # of these, composite operators come as they are
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        if not self._waits(func, tensors, args, kwargs):
            return func(*args, **kwargs)
        self._counter.found.append(str(func))
        if func is aten._local_scalar_dense.default:
            return torch.full((), 0.5).to(tensors[0].dtype).item()
        if func is aten._to_copy.default and tensors[0].device == GPU:
            return torch.ones(tensors[0].shape, dtype=kwargs.get("dtype") or tensors[0].dtype)
        return func(*args, **kwargs)

    def _waits(self, func: Any, tensors: list[Tensor], args: Any, kwargs: dict[str, Any]) -> bool:
        if not any(each.device == GPU for each in tensors) and kwargs.get("device") != GPU:
            return False
        if func in INDEXING:
            indices = [each for each in args[1] if each is not None]
            return any(each.device != GPU or each.dtype in (torch.bool, torch.uint8) for each in indices)
        if func in (aten._to_copy.default, aten.copy_.default):
            return self._copy_waits(func, args, kwargs)
        reads = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & {*func.tags}
        return bool(reads) or func.__name__.startswith(LINEAR_ALGEBRA)

    def _copy_waits(self, func: Any, args: Any, kwargs: dict[str, Any]) -> bool:
        if func is aten.copy_.default:
            (target, source), is_async = args[:2], any(args[2:])
            device = target.device
        else:
            source, is_async = args[0], kwargs.get("non_blocking", False)
            device = kwargs.get("device") or source.device
        if device == source.device:
            return False
        return not is_async or source.untyped_storage().data_ptr() not in self._counter.pinned


class _Functions(TorchFunctionMode):
    def __init__(self, counter: SyncCounter) -> None:
        super().__init__()
        self._counter = counter

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        makes = func in CONSTANTS and torch.device(kwargs.get("device") or _device_of(args)) == GPU
        indexes = func in (Tensor.__getitem__, Tensor.__setitem__) and args[0].device == GPU and _has_list(args[1])
        if (makes and not isinstance(args[-1], Tensor)) or indexes:
            self._counter.found.append(f"{func.__name__} of Python values")
        return func(*args, **kwargs)


def _device_of(args: tuple[Any, ...]) -> torch.device:
    return args[0].device if isinstance(args[0], Tensor) else CPU


def _has_list(index: object) -> bool:
    return any(isinstance(each, list) for each in (index if isinstance(index, tuple) else (index,)))


@contextmanager
def counted_syncs() -> Iterator[SyncCounter]:
    """Count while the block runs. Optimizers take the kernels for many tensors that they take on a GPU."""
    counter = SyncCounter()
    with (
        _Operators(counter),
        _Functions(counter),
        patch.object(Tensor, "pin_memory", lambda tensor: counter.pin(tensor)),
    ):
        yield counter


@contextmanager
def kernels_of_a_gpu() -> Iterator[None]:
    """Let optimizers and clipping choose for meta tensors what they choose for a GPU's: foreach kernels."""
    with patched("_get_foreach_kernels_supported_devices"), patched("_get_fused_kernels_supported_devices"):
        yield


@contextmanager
def patched(name: str) -> Iterator[None]:
    from torch.optim import optimizer
    from torch.utils import _foreach_utils

    def supported() -> list[str]:
        return [*original(), GPU.type]

    original: Callable[[], list[str]] = getattr(_foreach_utils, name)
    with patch.object(_foreach_utils, name, supported), patch.object(optimizer, name, supported):
        yield
