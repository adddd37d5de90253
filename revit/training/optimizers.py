"""Optimizers, by name."""

from collections.abc import Callable
from typing import Any

import torch
from timm.optim import param_groups_weight_decay

from revit.config import OptimizerConfig

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": lambda groups, config, fused: torch.optim.SGD(groups, config.lr, momentum=config.momentum, fused=fused),
    "adam": lambda groups, config, fused: torch.optim.Adam(groups, config.lr, fused=fused),
    "adamw": lambda groups, config, fused: torch.optim.AdamW(groups, config.lr, fused=fused),
}
"""name -> factory(param_groups, config, fused)."""


def build_optimizer(model: Any, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Build the optimizer of a module's parameters, except frozen ones; fused on a GPU.

    Weight decay applies to matrices only: not to biases, norms, class token or position embedding.
    """
    no_decay = model.no_weight_decay() if hasattr(model, "no_weight_decay") else ()
    groups = param_groups_weight_decay(model, config.weight_decay, no_weight_decay_list=no_decay)
    on_gpu = all(parameter.is_cuda for group in groups for parameter in group["params"])
    return OPTIMIZERS[config.name](groups, config, on_gpu or None)
