"""A step of small models, on whatever there is: it says nothing about speed."""

import re

import pytest
import torch

from benchmarks.trained_parts import measure


def test_parts_are_compared_with_all_and_optimizers_with_adamw() -> None:
    lines = measure(tiny=True)
    assert [(line.what.rpartition(": ")[2], line.against) for line in lines] == [
        ("attention", "all"),
        ("mlp", "all"),
        ("SGD", "AdamW"),
        ("SGD, frozen embedding", "AdamW"),
        ("SGD without momentum, frozen embedding", "AdamW"),
    ]
    shares = [float(re.findall(r"trained parameters ([\d.]+)$", line.details)[0]) for line in lines]
    assert shares == pytest.approx([0.317, 0.620, 1, 0.941, 0.941])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_least_is_in_memory_without_state_of_the_optimizer() -> None:
    ratios = [line.ratio for line in measure(tiny=True)[2:]]
    assert ratios == sorted(ratios, reverse=True)
