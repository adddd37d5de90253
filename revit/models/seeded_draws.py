"""Random numbers of torch drawn from a generator of one's own: the process's default one stays as it is."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class SeededDraws(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """While active, operators on this thread's CPU tensors draw from a new generator, as after `torch.manual_seed`.

    Other threads draw from the default generator meanwhile: a model can be initialized while another one trains.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        drawing = _with_generator(func)
        if drawing is None or kwargs.get("generator") is not None or _is_on_other_device(args, kwargs):
            return func(*args, **kwargs)
        return drawing(*args, **{**kwargs, "generator": self._generator})


def _with_generator(func: Any) -> Any:
    """Return the overload of an operator that takes a generator; None if it draws nothing."""
    if any(argument.name == "generator" for argument in func._schema.arguments):
        return func
    own = "" if func._overloadname == "default" else f"{func._overloadname}_"
    return getattr(func.overloadpacket, f"{own}generator", None)


def _is_on_other_device(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether an operator fills a tensor that is not on the CPU, as on the meta device."""
    given = [args[0].device] if args and isinstance(args[0], torch.Tensor) else [kwargs.get("device")]
    return any(device is not None and torch.device(device).type != "cpu" for device in given)
