"""A batch of each case: it says nothing about speed."""

import math

from benchmarks.data_pipeline import measure


def test_both_ways_prepare_images_of_every_case() -> None:
    lines = measure(tiny=True)
    assert [line.what.removeprefix("training images/s per core, ") for line in lines] == [
        "32 x 32 to 224 px",
        "32 x 32 to 384 px",
        "500 x 600 to 384 px",
        "8 x 8 to 28 px",
    ]
    assert all(math.isfinite(line.ratio) and line.ratio > 0 for line in lines)
