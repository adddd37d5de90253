"""Trials on a handful of images: they say nothing about how much a trial takes."""

import math
import os
import sys
from multiprocessing import Pipe
from pathlib import Path
from threading import Thread

import pytest

from benchmarks import memory
from benchmarks.data_pipeline import synthetic_images

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has proportional set sizes"),
]


def test_a_trial_maps_its_images_and_says_how_large_its_state_is(tmp_path: Path) -> None:
    """In this process; `python -m benchmarks memory` has each in one of its own."""
    images, (here, there) = synthetic_images(tmp_path, (32, 32), 8), Pipe()
    pixels = images.folder / "pixels.bin"
    trial = Thread(target=memory._train, args=(there, images.folder))
    trial.start()
    state = here.recv()
    mapped = memory._in_mapping(os.getpid(), pixels, "Size")  # how much of it is in memory is the kernel's choice
    own = memory._memory(pixels, os.getpid())
    here.send("go on")
    trial.join()
    assert mapped >= pixels.stat().st_size
    assert own > state > 4 * 139_018, "the nano ViT has as many parameters"


@pytest.mark.long
def test_a_second_trial_takes_memory() -> None:
    [line] = memory.measure(tiny=True)
    assert line.what == "memory of one more trial on the same images, nano ViT"
    assert math.isfinite(line.ratio) and line.ratio > 0
