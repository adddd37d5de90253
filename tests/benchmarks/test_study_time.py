"""A study of four short trials, in the Ray that tests share: it says nothing about speed."""

import math

import pytest

from benchmarks.study_time import measure


@pytest.mark.slow
def test_a_study_is_held_against_its_training(ray_cluster: None, one_slot: None) -> None:
    [line] = measure(tiny=True)
    assert line.what == "4 trials of quickstart, after Ray has started"
    assert 1 < line.ratio < math.inf
