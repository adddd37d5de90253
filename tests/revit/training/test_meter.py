"""Metrics of training steps."""

import math

import pytest
import torch

from revit.errors import DivergedError
from revit.training.meter import Meter


def test_a_row_has_the_means_since_the_last_one() -> None:
    meter = Meter()
    for loss, norm, lr in ((1.0, 4.0, 0.1), (3.0, 8.0, 0.2)):
        meter.add(torch.tensor(loss), torch.tensor(norm), lr, num_images=10)
    row = meter.close_row(2)
    assert {name: row[name] for name in ("step", "train_loss", "grad_norm", "lr")} == {
        "step": 2, "train_loss": 2.0, "grad_norm": 6.0, "lr": 0.2
    }  # fmt: skip
    assert row["images_per_s"] == pytest.approx(20 / meter.train_time_s)
    meter.add(torch.tensor(5.0), torch.tensor(1.0), 0.3, num_images=10)
    assert meter.close_row(3)["train_loss"] == 5.0


def test_a_loss_that_is_not_finite_raises_with_its_step() -> None:
    meter = Meter()
    for loss in (1.0, math.nan, 2.0):
        meter.add(torch.tensor(loss), torch.tensor(1.0), 0.1, num_images=1)
    with pytest.raises(DivergedError) as raised:
        meter.close_row(12)
    assert raised.value.step == 11
