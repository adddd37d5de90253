"""Random numbers of torch drawn from a generator of one's own: the process's default one stays as it is."""

from functools import cache
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class SeededDraws(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """While active, operators on this thread's CPU tensors draw from a new generator, as after `torch.manual_seed`.

    Other threads draw from the default generator meanwhile: a model can be initialized while another one trains.

    Raises:
        NotImplementedError: an operator draws, and takes no generator, as `torch.native_dropout`.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if kwargs.get("generator") is not None or _is_on_other_device(args, kwargs):
            return func(*args, **kwargs)
        drawing = _with_generator(func)
        if drawing is not None:
            return drawing(*args, **{**kwargs, "generator": self._generator})
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise NotImplementedError(
                f"{func} draws random numbers, and takes no generator: use another operator to initialize a model"
            )
        return func(*args, **kwargs)


@cache
def _with_generator(func: Any) -> Any:
    """Return the overload of an operator that takes a generator, with the same other arguments; None if it has none."""
    overloads = [func, *(getattr(func.overloadpacket, name) for name in func.overloadpacket.overloads())]
    same = (each for each in overloads if _arguments(each) == _arguments(func))
    return next((each for each in same if any(given.name == "generator" for given in each._schema.arguments)), None)


def _arguments(func: Any) -> list[tuple[str, str]]:
    """Return names and types of an operator's arguments, but for a generator."""
    return [(each.name, str(each.type)) for each in func._schema.arguments if each.name != "generator"]


def _is_on_other_device(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether an operator fills a tensor that is not on the CPU, as on the meta device."""
    given = [args[0].device] if args and isinstance(args[0], torch.Tensor) else [kwargs.get("device")]
    return any(device is not None and torch.device(device).type != "cpu" for device in given)
