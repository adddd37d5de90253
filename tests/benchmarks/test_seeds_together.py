"""Seeds trained together are the same trials: it says nothing about speed."""

import math

import torch

from benchmarks.seeds_together import CONFIG, measure, one_by_one, seed_of, together
from revit.datasets.image_store import ImageStore


def test_both_ways_train() -> None:
    [line] = measure(tiny=True)
    assert line.what == "2 seeds trained together, nano ViT, 8 px"
    assert math.isfinite(line.ratio) and line.ratio > 0


def test_together_every_seed_learns_what_it_learns_alone(digits: ImageStore) -> None:
    """With clipping that bites, and momentum that has come to count."""
    config = CONFIG.with_values(
        {"resolution": 8, "steps": 8, "optimizer.max_grad_norm": 0.5, "model.head_init": "normal"}
    )
    cpu = torch.device("cpu")
    seeds = [seed_of(config.with_values({"seed": seed}), digits, cpu) for seed in range(3)]
    ours, theirs = (train(seeds, 10, cpu).losses for train in (together, one_by_one))
    assert ours.shape == (8, 3)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
