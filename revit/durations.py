"""Durations in optimizer steps, epochs, images or percent of the budget."""

import math
import re

from revit.validation import require

_TEXT = re.compile(r"(\d+(?:\.\d+)?) (steps?|epochs?|images?|percent)")


def check_duration(name: str, duration: int | str) -> None:
    """Raise InputError unless a duration is a number of steps or a text such as "2 epochs".

    Args:
        name: of the value, in the message.
    """
    right = 'steps, at least 0, or a text such as "100 steps", "2 epochs", "50000 images" or "5 percent"'
    holds = duration >= 0 if isinstance(duration, int) else _TEXT.fullmatch(duration) is not None
    require(holds, name, duration, right)


def to_steps(duration: int | str, *, num_steps: int, steps_per_epoch: int, batch_size: int) -> int:
    """Convert a checked duration to optimizer steps, rounded to the nearest step; images are rounded up.

    Args:
        num_steps: of the whole budget, of which `percent` is a part.
    """
    if isinstance(duration, int):
        return duration
    match = _TEXT.fullmatch(duration)
    assert match is not None
    amount, unit = float(match[1]), match[2].rstrip("s")
    if unit == "image":
        return math.ceil(amount / batch_size)
    return round(amount * {"step": 1, "epoch": steps_per_epoch, "percent": num_steps / 100}[unit])
