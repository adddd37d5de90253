"""A few steps of the smallest trial: it says nothing about speed."""

import math
import os

from benchmarks.cpu_slots import measure


def test_as_many_trials_as_cores_train_at_a_time() -> None:
    [line] = measure(tiny=True)
    assert line.what == f"training images/s, {os.cpu_count()} trials with a thread each, nano ViT, 8 px"
    assert math.isfinite(line.ratio) and line.ratio > 0
