"""Learning rate schedules, by name."""

import math
from collections.abc import Callable
from typing import NamedTuple

from revit.budget import Budget
from revit.config import ScheduleConfig

PLATEAU_THRESHOLD = 1e-4
"""Fraction by which a validation loss must fall to count as lower; PyTorch's default."""


class ScheduleStep(NamedTuple):
    """An optimizer step after warmup, counted from 0, of a run of `num_steps`."""

    step: int
    num_warmup: int
    num_steps: int

    @property
    def progress(self) -> float:
        """Fraction of the steps after warmup that is over, in [0, 1)."""
        return (self.step - self.num_warmup) / max(1, self.num_steps - self.num_warmup)


def _cosine(at: ScheduleStep, config: ScheduleConfig) -> float:
    progress = at.progress if config.t_max is None else (at.step - at.num_warmup) / config.t_max
    return 0.5 * (1 + math.cos(math.pi * progress))


def _multistep(at: ScheduleStep, config: ScheduleConfig) -> float:
    num_passed = sum(at.step > round(fraction * at.num_steps) for fraction in config.milestones)
    return 0.1**num_passed


SCHEDULES: dict[str, Callable[[ScheduleStep, ScheduleConfig], float]] = {
    "cosine": _cosine,
    "linear": lambda at, config: 1 - at.progress,
    "exponential": lambda at, config: config.end_factor**at.progress,
    "multistep": _multistep,
    "plateau": lambda at, config: 1.0,
    "constant": lambda at, config: 1.0,
}
"""name -> factor of the peak learning rate at a step after warmup."""


class Schedule:
    """The learning rate at each step of a run.

    A function of the step alone, except `plateau`, which also depends on the validation losses so far. `state` is all
    that it remembers.

    Args:
        peak_lr: learning rate that the factors multiply.
        budget: steps, of which a schedule that is updated by the epoch keeps its value for an epoch.
    """

    def __init__(self, config: ScheduleConfig, peak_lr: float, budget: Budget) -> None:
        self.config = config
        self.peak_lr = peak_lr
        self.budget = budget
        self.state: dict[str, float] = {"factor": 1.0, "best_loss": math.inf, "num_bad": 0}

    def lr(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        warmup = self.budget.num_warmup
        if step < warmup:
            return self.peak_lr * (step + 1) / warmup
        if self.config.update == "epoch":
            step = max(warmup, step - step % self.budget.steps_per_epoch)
        factor = SCHEDULES[self.config.name](ScheduleStep(step, warmup, self.budget.num_steps), self.config)
        return self.peak_lr * factor * self.state["factor"]

    def update_plateau(self, val_loss: float) -> None:
        """Update the plateau schedule with a validation loss; a no-op for other schedules."""
        if self.config.name != "plateau":
            return
        if val_loss < self.state["best_loss"] * (1 - PLATEAU_THRESHOLD):
            self.state |= {"best_loss": val_loss, "num_bad": 0}
            return
        self.state["num_bad"] += 1
        if self.state["num_bad"] > self.config.plateau_patience:
            self.state["factor"] *= self.config.plateau_factor
            self.state["num_bad"] = 0
