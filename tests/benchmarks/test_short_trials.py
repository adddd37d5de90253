"""One trial each way: it says nothing about speed."""

import math

import pytest

from benchmarks.short_trials import measure


@pytest.mark.slow
def test_both_ways_train_and_are_timed() -> None:
    [line] = measure(tiny=True)
    assert line.what == "1 short trials"
    assert 0 < line.ratio < math.inf
