"""Facts that timm states about its optimizers. Imports torch."""

import difflib
import inspect
from functools import cache

from timm.optim import SGDP, AdamP, Muon, NvNovoGrad, OptimInfo, get_optimizer_info, list_optimizers
from timm.optim.kron import Kron

from revit.errors import InputError
from revit.training.optimizer_specs import HYPERPARAMETERS, OPTIMIZERS, OptimizerSpec
from revit.validation import short_repr

SYNCHRONIZING = {
    AdamP: "reads whether gradient and weights of a tensor are nearly perpendicular",
    SGDP: "reads whether gradient and weights of a tensor are nearly perpendicular",
    NvNovoGrad: "reads whether the second moment of a tensor is zero",
}
"""Classes that make the CPU wait for a GPU in each step, once or twice for each tensor, with the reason."""


@cache
def timm_spec(name: str) -> OptimizerSpec:
    """Return an optimizer of timm.

    Raises:
        InputError: timm does not have it (with close matches), or trials cannot use it.
    """
    reason = refusal(get_optimizer_info(name)) if name in list_optimizers() else "no such optimizer"
    if reason:
        raise InputError(f"optimizer.name = {short_repr(name)}: {reason}; closest: {', '.join(_close(name))}")
    info = get_optimizer_info(name)
    assert isinstance(info.opt_class, type)
    defaults = dict(info.defaults or {})
    values = {each: parameter.default for each, parameter in inspect.signature(info.opt_class).parameters.items()}
    has = {"momentum": info.has_momentum, "betas": info.has_betas, "eps": info.has_eps}
    return OptimizerSpec(
        class_path=f"{info.opt_class.__module__}:{info.opt_class.__qualname__}",
        own_values={each: defaults.pop(each, values[each]) for each in HYPERPARAMETERS if has[each]},
        num_betas=info.num_betas,
        options=defaults,
        has_fallback=issubclass(info.opt_class, Muon),
    )


def refusal(info: OptimInfo) -> str:
    """Return why trials cannot use an optimizer; an empty text if they can."""
    if isinstance(info.opt_class, str):
        return f"is an optimizer of {info.opt_class.partition('.')[0]}, which trials do not use"
    if issubclass(info.opt_class, Kron):
        return "compiles an update for each shape of a tensor, for minutes before its first step"
    if info.second_order:
        return "needs second derivatives, which trials do not compute"
    return ""


def synchronization(name: str) -> str:
    """Return why an optimizer of timm makes the CPU wait for a GPU in each step; an empty text if it does not."""
    return SYNCHRONIZING.get(get_optimizer_info(name).opt_class, "")  # type: ignore[arg-type]  # a class where usable


def usable_names() -> list[str]:
    """Return the names of timm's optimizers that trials can use, and that are not the project's own."""
    names = [str(name) for name in list_optimizers()]
    return [name for name in names if name not in OPTIMIZERS and not refusal(get_optimizer_info(name))]


def _close(name: str) -> list[str]:
    known = [*OPTIMIZERS, *usable_names()]
    return difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5) or known[:3]
