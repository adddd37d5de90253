"""A few steps of the smallest trial: it says nothing about speed."""

import math

from benchmarks.training_step import measure


def test_both_ways_train() -> None:
    [line] = measure(tiny=True)
    assert line.what == "training images/s, nano ViT, 8 px"
    assert math.isfinite(line.ratio) and line.ratio > 0
