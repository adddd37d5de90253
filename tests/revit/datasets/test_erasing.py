"""Random erasing, against timm's given the same random numbers."""

from functools import partial
from types import SimpleNamespace

import pytest
import timm.data.random_erasing
import torch

from revit.config import FineTuneConfig
from revit.datasets.erasing import draw_erased, erase
from revit.random_streams import Stream, make_rng


def config_of(**values: object) -> FineTuneConfig:
    return FineTuneConfig(dataset="digits", resolution=12, steps=1).with_values(values)


@pytest.mark.parametrize("resolution", [4, 12, 32])
@pytest.mark.parametrize("probability", [0.25, 1.0])
def test_images_are_timms_given_the_same_numbers(
    probability: float, resolution: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(random_erasing=probability, resolution=resolution)
    num_erased = 0
    for step in range(20):
        images = torch.rand(16, 3, resolution, resolution, generator=torch.Generator().manual_seed(step)) + 1
        boxes = draw_erased(config, step, 16)
        assert boxes is not None and boxes.shape == (16, 4)
        rng = make_rng(config.seed, Stream.ERASING, step)
        randint = partial(rng.integers, endpoint=True)
        random = SimpleNamespace(random=rng.random, uniform=rng.uniform, randint=randint)
        monkeypatch.setattr(timm.data.random_erasing, "random", random)
        theirs = timm.data.random_erasing.RandomErasing(probability, device="cpu")(images.clone())
        ours = erase(images.clone(), boxes)
        assert torch.equal(ours, theirs)
        num_erased += int((ours == 0).flatten(1).any(dim=1).sum())
    assert num_erased / 320 == pytest.approx(probability, abs=0.07 if resolution > 4 else 0.3)


def test_each_image_has_a_box_of_its_own() -> None:
    boxes = draw_erased(config_of(random_erasing=1.0), 0, 16)
    assert boxes is not None
    assert len({tuple(box) for box in boxes.tolist()}) > 8


def test_without_it_nothing_is_drawn() -> None:
    assert draw_erased(config_of(), 0, 5) is None
