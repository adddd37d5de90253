"""Two trials on a handful of images: it says nothing about how much they take."""

import math
import sys

import pytest

from benchmarks.memory import measure

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has proportional set sizes"),
]


def test_a_second_trial_takes_memory() -> None:
    [line] = measure(tiny=True)
    assert line.what == "memory of one more trial on the same images, nano ViT"
    assert math.isfinite(line.ratio) and line.ratio > 0
