"""The time between trials, measured on a launch of three in the Ray that tests share: not about speed."""

import math

import pytest

from benchmarks.idle_time import measure


@pytest.mark.long
def test_the_time_between_trials_is_measured_where_the_next_one_is_prepared(ray_cluster: None) -> None:
    [line] = measure(tiny=True)
    assert line.what == "idle time between 3 trials of vit_small, the next one prepared"
    assert 0 < line.ratio < math.inf
