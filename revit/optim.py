"""Tables of optimizers and schedules, and building from them."""

import math
from collections.abc import Callable
from typing import Any

import torch
from timm.optim import param_groups_weight_decay

from revit.config import OptimizerConfig, ScheduleConfig

OPTIMIZERS: dict[str, Callable[[list[dict[str, object]], OptimizerConfig], torch.optim.Optimizer]] = {
    "sgd": lambda groups, config: torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum),
    "adam": lambda groups, config: torch.optim.Adam(groups, lr=config.lr),
    "adamw": lambda groups, config: torch.optim.AdamW(groups, lr=config.lr),
}

SCHEDULES: dict[str, Callable[[float, ScheduleConfig], float]] = {
    "cosine": lambda done, config: 0.5 * (1 + math.cos(math.pi * done)),
    "linear": lambda done, config: 1 - done,
    "exponential": lambda done, config: config.final_factor**done,
    "plateau": lambda done, config: 1.0,
    "constant": lambda done, config: 1.0,
}
"""Factor of the peak learning rate when a share `done` in [0, 1) of the steps after warmup is over."""


def build_optimizer(model: Any, config: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimizer over every parameter of a module that is not frozen.

    Weight decay reaches matrices only: not biases and norms, not class token and position embedding.
    """
    exempt = model.no_weight_decay() if hasattr(model, "no_weight_decay") else ()
    groups = param_groups_weight_decay(model, config.weight_decay, no_weight_decay_list=exempt)
    return OPTIMIZERS[config.name](groups, config)


class Schedule:
    """The learning rate at each step of a compiled horizon.

    A function of the step alone, plateau excepted, which also remembers the validation losses it was
    shown. `state` is all that it remembers.

    Args:
        config: which schedule, and its warmup.
        peak_lr: what its factors multiply.
        num_steps: the horizon; factors reach their end after this many steps.
    """

    def __init__(self, config: ScheduleConfig, peak_lr: float, num_steps: int) -> None:
        self.config = config
        self.peak_lr = peak_lr
        self.num_steps = num_steps
        self.state: dict[str, float] = {"factor": 1.0, "best_loss": math.inf, "num_bad": 0}

    def lr(self, step: int) -> float:
        """Learning rate of step `step`, counted from 0."""
        warmup = self.config.warmup_steps
        if step < warmup:
            return self.peak_lr * (step + 1) / warmup
        done = (step - warmup) / max(1, self.num_steps - warmup)
        return self.peak_lr * SCHEDULES[self.config.name](done, self.config) * self.state["factor"]

    def observe(self, val_loss: float) -> None:
        """Show the plateau schedule a validation loss; the others do not look."""
        if self.config.name != "plateau":
            return
        if val_loss < self.state["best_loss"]:
            self.state |= {"best_loss": val_loss, "num_bad": 0}
            return
        self.state["num_bad"] += 1
        if self.state["num_bad"] > self.config.plateau_patience:
            self.state["factor"] *= self.config.plateau_factor
            self.state["num_bad"] = 0
