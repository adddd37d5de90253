"""Crops, against torchvision or SciPy."""

import random
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torchvision.transforms import v2

from revit.config import FineTuneConfig
from revit.datasets import crops
from revit.datasets.crops import (
    ASPECT_RATIO,
    MAX_RESIZE_BYTES,
    TRAIN_CROPS,
    Crops,
    central_box,
    crop_images,
    crop_train_images,
    draw_crops,
    random_resized_boxes,
)

SCALE = (0.08, 1.0)


def image_of(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def config_of(**values: object) -> FineTuneConfig:
    return FineTuneConfig(dataset="digits", resolution=8, steps=1, batch_size=10).with_values(values)


@pytest.mark.parametrize("size", [(8, 8), (32, 32), (50, 37), (20, 200)])
def test_boxes_are_distributed_as_torchvisions(size: tuple[int, int]) -> None:
    """Two-sample Kolmogorov-Smirnov on every coordinate, 4,000 boxes each, p > .001 (seeded)."""
    torch.manual_seed(0)
    count = 4000
    theirs_transform = v2.RandomResizedCrop(8, scale=SCALE, antialias=True)
    image = torch.zeros(3, *size, dtype=torch.uint8)
    params = [theirs_transform.make_params([image]) for _ in range(count)]
    theirs = np.array([[each[name] for name in ("top", "left", "height", "width")] for each in params])
    ours = random_resized_boxes(np.random.default_rng(0), np.tile(size, (count, 1)), SCALE)
    for column in range(4):
        assert stats.ks_2samp(ours[:, column], theirs[:, column]).pvalue > 0.001


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 1000))
def test_boxes_lie_inside_their_image(height: int, width: int, seed: int) -> None:
    sizes = np.array([[height, width]])
    for boxes in (random_resized_boxes(np.random.default_rng(seed), sizes, SCALE), central_box(sizes)):
        top, left, box_height, box_width = boxes[0]
        assert 0 <= top < top + box_height <= height
        assert 0 <= left < left + box_width <= width


def test_the_fallback_box_is_torchvisions(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image so flat that no attempt fits: torchvision takes the central box."""
    for size in ((10, 400), (400, 10)):
        transform = v2.RandomResizedCrop(8, scale=(1.0, 1.0), antialias=True)
        params = transform.make_params([torch.zeros(3, *size, dtype=torch.uint8)])
        ours = random_resized_boxes(np.random.default_rng(0), np.array([size]), (1.0, 1.0))[0]
        assert ours.tolist() == [params["top"], params["left"], params["height"], params["width"]]
    assert tuple(v2.RandomResizedCrop(8).ratio) == ASPECT_RATIO


@pytest.mark.parametrize("group_bytes", [1, 5000, MAX_RESIZE_BYTES])
def test_every_crop_of_a_batch_equals_torchvisions_for_the_same_box(
    group_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever images share its call: of other sizes, of its width, or of its height."""
    monkeypatch.setattr(crops, "MAX_RESIZE_BYTES", group_bytes)

    @settings(deadline=None, max_examples=25, derandomize=True)
    @given(st.sampled_from([1, 3]), st.sampled_from([1, 8, 28, 33]), st.sampled_from([3, 9, 60]), st.randoms())
    def check(channels: int, resolution: int, largest: int, rng: random.Random) -> None:
        images, boxes, flips = [], [], []
        for _ in range(rng.randint(1, 12)):
            height, width = rng.randint(1, largest), rng.randint(1, largest)
            top, left = rng.randrange(height), rng.randrange(width)
            images.append(image_of(height, width, channels, seed=len(images)))
            boxes.append([top, left, rng.randint(1, height - top), rng.randint(1, width - left)])
            flips.append(rng.random() < 0.5)
        ours = crop_images(images, Crops(np.array(boxes), np.array(flips)), resolution)
        for image, box, flip, crop in zip(images, boxes, flips, ours, strict=True):
            whole = torch.from_numpy(image).permute(2, 0, 1).contiguous()
            theirs = v2.functional.resized_crop(whole, *box, [resolution, resolution], antialias=True)
            assert torch.equal(crop, v2.functional.horizontal_flip(theirs) if flip else theirs)

    check()


@pytest.mark.parametrize(
    ("values", "frame_of"),
    [
        ({"train_crop": "padded", "crop_padding": 2}, v2.Compose([v2.Resize((8, 8)), v2.Pad(2)])),
        ({"train_crop": "resized", "resize_factor": 1.25}, v2.Resize((10, 10))),
    ],
)
def test_fixed_size_crops_are_windows_of_torchvisions_frame_equally_often(
    values: dict[str, object], frame_of: v2.Transform
) -> None:
    config = config_of(**values, hflip=False, resolution=8)
    image = image_of(20, 14, 3)
    frame = frame_of(torch.from_numpy(image).permute(2, 0, 1))
    num_offsets = frame.shape[-1] - 8 + 1
    crops = draw_crops(config, 0, np.tile(image.shape[:2], (4000, 1)))
    assert not crops.flips.any()
    corners, counts = np.unique(crops.boxes[:, :2], axis=0, return_counts=True)
    assert len(corners) == num_offsets**2
    assert counts.min() > 0.6 * 4000 / num_offsets**2
    for top, left in corners:
        expected = frame[:, top : top + 8, left : left + 8]
        both_ways = Crops(np.tile([top, left, 8, 8], (2, 1)), np.array([False, True]))
        sizes = np.tile(image.shape[:2], (2, 1))
        ours = crop_train_images(config, [image, image], sizes, both_ways)
        assert torch.equal(ours, torch.stack([expected, expected.flip(-1)]))


def test_the_configs_choices_are_the_tables() -> None:
    assert TRAIN_CROPS.keys() == set(get_args(get_type_hints(FineTuneConfig)["train_crop"]))


def test_each_crop_option_has_an_effect() -> None:
    sizes = np.full((4000, 2), 32)
    area = {
        scale: draw_crops(config_of(crop_scale=scale), 0, sizes).boxes[:, 2:].prod(axis=1).mean() / 32**2
        for scale in ((0.08, 0.2), (0.5, 0.5))
    }
    assert area[(0.5, 0.5)] == pytest.approx(0.5, abs=0.02)
    assert area[(0.08, 0.2)] == pytest.approx(0.14, abs=0.02)
    whole = draw_crops(config_of(train_crop="none"), 0, sizes).boxes
    assert (whole == [0, 0, 32, 32]).all()
    assert draw_crops(config_of(), 0, sizes).flips.mean() == pytest.approx(0.5, abs=0.03)
    assert not draw_crops(config_of(hflip=False), 0, sizes).flips.any()
