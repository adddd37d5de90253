"""Optimizers by name, before they are built: which hyperparameters they take.

Imports no torch; imports timm only for optimizers outside OPTIMIZERS.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from revit.config import OptimizerConfig
from revit.functions import is_import_path

HYPERPARAMETERS = ("momentum", "betas", "eps")
"""Fields of the config that not every optimizer takes."""


@dataclass(frozen=True)
class OptimizerSpec:
    """An optimizer, before it is built.

    Attributes:
        class_path: import path of its class.
        own_values: those of HYPERPARAMETERS that it takes, with its own value.
        num_betas: number of its betas.
        options: other arguments of its class.
        has_fallback: whether it updates groups with `use_fallback` by another optimizer.
    """

    class_path: str
    own_values: Mapping[str, Any]
    num_betas: int = 2
    options: Mapping[str, Any] = field(default_factory=dict)
    has_fallback: bool = False

    def takes(self, name: str, config: OptimizerConfig) -> bool:
        """Return whether a field of HYPERPARAMETERS is for this optimizer, with as many betas as it has."""
        num_betas = self.num_betas if config.betas is None else len(config.betas)
        return name in self.own_values and (name != "betas" or num_betas == self.num_betas)

    def arguments(self, config: OptimizerConfig) -> dict[str, Any]:
        """Return the arguments of its class, beside groups and learning rate."""
        values = {name: getattr(config, name) for name in HYPERPARAMETERS if self.takes(name, config)}
        given = {name: value for name, value in values.items() if value is not None}
        return {**self.options, **self.own_values, **given}


OPTIMIZERS: dict[str, OptimizerSpec] = {
    "sgd": OptimizerSpec("torch.optim:SGD", {"momentum": 0.0}),
    "adam": OptimizerSpec("torch.optim:Adam", {"betas": (0.9, 0.999), "eps": 1e-8}),
    "adamw": OptimizerSpec("torch.optim:AdamW", {"betas": (0.9, 0.999), "eps": 1e-8}),
}
"""name -> optimizer. timm's `sgd` has Nesterov momentum: it is `nesterov` here."""
SAME = {"momentum": "sgd", "nesterovw": "sgdw"}
"""Names of timm for an optimizer that has another name, too."""


def spec_of(name: str) -> OptimizerSpec:
    """Return an optimizer of OPTIMIZERS or timm; importing timm takes seconds.

    Raises:
        InputError: there is no such optimizer, or trials cannot use it.
    """
    if name in OPTIMIZERS:
        return OPTIMIZERS[name]
    from revit.training.timm_optimizers import timm_spec

    return timm_spec(name)


def takes(name: str, config: OptimizerConfig) -> bool:
    """Return whether a field of HYPERPARAMETERS can have an effect; a function of the user may take any."""
    return is_import_path(config.name) or spec_of(config.name).takes(name, config)


def simplest_values(config: OptimizerConfig) -> dict[str, object]:
    """Return the fields of a config for which there is a simpler value that trains the same, with that value.

    It is the first of several names, and None for betas and eps that are the optimizer's own.
    """
    if is_import_path(config.name):
        return {}
    own, given = spec_of(config.name).own_values, {"betas": config.betas, "eps": config.eps}
    are_own = {name: value is not None and value == own.get(name) for name, value in given.items()}
    values: dict[str, object] = {name: None for name, is_own in are_own.items() if is_own}
    return {"name": SAME[config.name], **values} if config.name in SAME else values
