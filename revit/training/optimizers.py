"""Tables of optimizers and schedules, and building from them."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from timm.optim import param_groups_weight_decay

from revit.config import OptimizerConfig, ScheduleConfig

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": lambda groups, config, fused: torch.optim.SGD(groups, config.lr, momentum=config.momentum, fused=fused),
    "adam": lambda groups, config, fused: torch.optim.Adam(groups, config.lr, fused=fused),
    "adamw": lambda groups, config, fused: torch.optim.AdamW(groups, config.lr, fused=fused),
}
"""Made of groups of parameters, an OptimizerConfig, and whether one kernel takes the whole step."""

PLATEAU_THRESHOLD = 1e-4
"""Share by which a validation loss must fall to count as better; PyTorch's default."""


class ScheduleStep(NamedTuple):
    """A step, counted from 0, of a horizon of `num_steps` that begins with `num_warmup`."""

    step: int
    num_warmup: int
    num_steps: int

    @property
    def done(self) -> float:
        """Share of the steps after warmup that is over, in [0, 1)."""
        return (self.step - self.num_warmup) / max(1, self.num_steps - self.num_warmup)


def _cosine(at: ScheduleStep, config: ScheduleConfig) -> float:
    half_periods = at.done if config.t_max is None else (at.step - at.num_warmup) / config.t_max
    return 0.5 * (1 + math.cos(math.pi * half_periods))


def _multistep(at: ScheduleStep, config: ScheduleConfig) -> float:
    passed = sum(at.step > round(share * at.num_steps) for share in config.milestones)
    return 0.1**passed


SCHEDULES: dict[str, Callable[[ScheduleStep, ScheduleConfig], float]] = {
    "cosine": _cosine,
    "linear": lambda at, config: 1 - at.done,
    "exponential": lambda at, config: config.end_factor**at.done,
    "multistep": _multistep,
    "plateau": lambda at, config: 1.0,
    "constant": lambda at, config: 1.0,
}
"""Factor of the peak learning rate at a moment after warmup."""


def build_optimizer(model: Any, config: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimizer over every parameter of a module that is not frozen.

    Weight decay reaches matrices only: not biases and norms, not class token and position embedding. On a GPU the step
    is one kernel over all of them.
    """
    exempt = model.no_weight_decay() if hasattr(model, "no_weight_decay") else ()
    groups = param_groups_weight_decay(model, config.weight_decay, no_weight_decay_list=exempt)
    on_gpu = all(parameter.is_cuda for group in groups for parameter in group["params"])
    return OPTIMIZERS[config.name](groups, config, on_gpu or None)


class Schedule:
    """The learning rate at each step of a compiled horizon.

    A function of the step alone, plateau excepted, which also remembers the validation losses it was
    shown. `state` is all that it remembers.

    Args:
        config: which schedule, and its warmup.
        peak_lr: what its factors multiply.
        num_steps: the horizon; factors reach their end after this many steps.
        steps_per_epoch: how long a schedule that is updated by the epoch stands still.
    """

    def __init__(self, config: ScheduleConfig, peak_lr: float, num_steps: int, steps_per_epoch: int) -> None:
        self.config = config
        self.peak_lr = peak_lr
        self.num_steps = num_steps
        self.steps_per_epoch = steps_per_epoch
        self.state: dict[str, float] = {"factor": 1.0, "best_loss": math.inf, "num_bad": 0}

    def lr(self, step: int) -> float:
        """Learning rate of step `step`, counted from 0."""
        warmup = self.config.warmup_steps
        if step < warmup:
            return self.peak_lr * (step + 1) / warmup
        if self.config.update == "epoch":
            step = max(warmup, step - step % self.steps_per_epoch)
        factor = SCHEDULES[self.config.name](ScheduleStep(step, warmup, self.num_steps), self.config)
        return self.peak_lr * factor * self.state["factor"]

    def observe(self, val_loss: float) -> None:
        """Show the plateau schedule a validation loss; the others do not look."""
        if self.config.name != "plateau":
            return
        if val_loss < self.state["best_loss"] * (1 - PLATEAU_THRESHOLD):
            self.state |= {"best_loss": val_loss, "num_bad": 0}
            return
        self.state["num_bad"] += 1
        if self.state["num_bad"] > self.config.plateau_patience:
            self.state["factor"] *= self.config.plateau_factor
            self.state["num_bad"] = 0
