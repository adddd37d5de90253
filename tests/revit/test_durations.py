"""Durations in optimizer steps."""

import pytest

from revit.durations import check_duration, to_steps
from revit.errors import InputError

UNITS = {"num_steps": 200, "steps_per_epoch": 7, "batch_size": 32}


@pytest.mark.parametrize(
    ("duration", "steps"),
    [(0, 0), (12, 12), ("12 steps", 12), ("1 step", 1), ("2 epochs", 14), ("0.5 epochs", 4), ("100 images", 4),
     ("64 images", 2), ("5 percent", 10), ("2.5 percent", 5)],
)  # fmt: skip
def test_every_unit_is_converted_to_steps(duration: int | str, steps: int) -> None:
    check_duration("warmup", duration)
    assert to_steps(duration, **UNITS) == steps


@pytest.mark.parametrize("duration", [-1, "5", "5%", "five steps", "-1 steps", "1 hour", "1  step", ""])
def test_another_text_is_refused_in_one_line(duration: int | str) -> None:
    with pytest.raises(InputError, match=r"^warmup = .*: must be steps, at least 0, or a text such as") as error:
        check_duration("warmup", duration)
    assert "\n" not in str(error.value)
