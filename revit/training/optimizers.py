"""Optimizers of trials: the project's own, those of timm, functions of the user.

`optimizer.name` is a key of OPTIMIZERS, a name of `timm.optim.list_optimizers()`, or the import path of a function of
the user, which is called as

    my_optimizer(parameter_groups, optimizer_config)

with the groups of `revit.training.parameter_groups` and the `OptimizerConfig` of the trial, and returns a
`torch.optim.Optimizer`. Each step sets the `lr` of a group to the schedule's, times its `lr_scale` if it has one, and
calls `step()` without arguments. The state must consist of tensors and plain values, from which a trial resumes.
"""

import inspect
from typing import Any, cast

import torch

from revit.config import FineTuneConfig, OptimizerConfig
from revit.errors import InputError, first_line
from revit.functions import is_import_path, load_function
from revit.models.build import DRY_RUN_CLASSES, empty_model
from revit.training.optimizer_specs import spec_of
from revit.training.parameter_groups import parameter_groups


def build_optimizer(model: Any, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Build the optimizer of a module's parameters, except frozen ones; fused on a GPU where torch has such a kernel.

    Raises:
        InputError: there is no such optimizer, or `layer_decay` is for a model without layers.
    """
    if is_import_path(config.name):
        groups = parameter_groups(model, config, with_fallback=True)
        return cast(torch.optim.Optimizer, load_function(config.name)(groups, config))
    spec = spec_of(config.name)
    optimizer, arguments = load_function(spec.class_path), spec.arguments(config)
    groups = parameter_groups(model, config, with_fallback=spec.has_fallback)
    if "fused" in inspect.signature(optimizer).parameters:
        # one kernel for all parameters; torch leaves it off by default only as it is newer (docs of torch.optim.Adam)
        arguments["fused"] = all(parameter.is_cuda for group in groups for parameter in group["params"]) or None
    return cast(torch.optim.Optimizer, optimizer(groups, lr=config.lr, **arguments))


def check_optimizer(config: FineTuneConfig) -> None:
    """Raise InputError unless the optimizer of a config exists, takes its values, and can step as trials do.

    It is built for the config's model on the meta device, without memory.
    """
    name = config.optimizer.name
    try:
        optimizer = build_optimizer(empty_model(config, DRY_RUN_CLASSES), config.optimizer)
    except InputError:
        raise
    except Exception as error:  # a constructor raises errors of many types
        raise InputError(f"optimizer.name = {name!r}: cannot be built: {first_line(error)}") from error
    if not isinstance(optimizer, torch.optim.Optimizer):
        right = "must return a torch.optim.Optimizer"
        raise InputError(f"optimizer.name = {name!r}: returned a {type(optimizer).__name__}; {right}")
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if hasattr(optimizer, "eval") or (closure is not None and closure.default is inspect.Parameter.empty):
        right = "must step without a closure, and without modes of training and evaluation"
        raise InputError(f"optimizer.name = {name!r}: {type(optimizer).__name__} cannot step as trials do; {right}")
