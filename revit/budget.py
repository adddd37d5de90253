"""The budget of a trial, compiled to optimizer steps before training."""

import math
from typing import NamedTuple

from revit.config import FineTuneConfig, steps_per_epoch
from revit.durations import to_steps


class Budget(NamedTuple):
    """Optimizer steps of a trial.

    Attributes:
        num_steps: in all.
        steps_per_epoch: that cover the training images once.
        num_warmup: of them, before the schedule.
        eval_steps: after which the model is evaluated, in order.
    """

    num_steps: int
    steps_per_epoch: int
    num_warmup: int
    eval_steps: tuple[int, ...]


def compile_budget(config: FineTuneConfig, num_used: int, num_all: int) -> Budget:
    """Return the budget of a config.

    Args:
        num_used: training images of the trial.
        num_all: training images before `data_fraction`.
    """
    num_steps = config.num_steps(num_used, num_all)
    epoch = steps_per_epoch(num_used, config.batch_size)
    units = {"num_steps": num_steps, "steps_per_epoch": epoch, "batch_size": config.batch_size}
    if config.eval_every is None:
        eval_steps = evenly_spaced_steps(num_steps, config.num_evals)
    else:
        interval = max(1, to_steps(config.eval_every, **units))
        eval_steps = {*range(interval, num_steps, interval), num_steps}
    return Budget(num_steps, epoch, to_steps(config.schedule.warmup, **units), tuple(sorted(eval_steps)))


def count_images(num_used: int, batch_size: int, num_steps: int) -> int:
    """Return the images that are trained on in a number of steps; the last batch of an epoch may be smaller."""
    num_epochs, rest = divmod(num_steps, steps_per_epoch(num_used, batch_size))
    return num_epochs * num_used + rest * batch_size


def evenly_spaced_steps(num_steps: int, count: int) -> set[int]:
    """Return at most `count` evenly spaced steps in [1, num_steps]; the last step is one of them."""
    return {math.ceil(num_steps * i / count) for i in range(1, count + 1)}
