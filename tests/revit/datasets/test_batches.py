import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torchvision.transforms import v2

from revit.config import FineTuneConfig
from revit.datasets import batches as loader
from revit.datasets.batches import (
    ASPECT_RATIO,
    RESIZED_TOGETHER,
    Crops,
    batch_indices,
    central_box,
    crop_all,
    draw_crops,
    draw_mix,
    eval_batches,
    random_resized_boxes,
    to_input,
    train_batch,
    train_batches,
    train_images,
)
from revit.datasets.image_store import ImageStore
from revit.models.normalization import NORMALIZATIONS

SCALE = (0.08, 1.0)


def test_batches_that_lie_ready_are_bound_by_bytes() -> None:
    """512 images of 480 px are 512 MiB of pinned memory; 19 of them, for 16 threads, were 9.5 GiB."""
    large, small = 512 * 3 * 480**2, 128 * 3 * 224**2
    assert loader.num_ahead(large, num_threads=16) + 2 == 8
    assert loader.num_ahead(small, num_threads=16) == 16 + loader.PREFETCHED_BATCHES
    assert loader.num_ahead(2**40, num_threads=16) == 1, "one is prepared while another is trained on"
    for num_bytes in range(2**20, 2**30, 2**24 + 1):
        pinned = 2 ** int(np.ceil(np.log2(num_bytes)))
        assert (loader.num_ahead(num_bytes, num_threads=64) + 2) * pinned <= loader.PREFETCHED_BYTES


def test_no_more_batches_are_prepared_than_that(digits: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(batch_size=64, resolution=8)
    made: list[int] = []

    def make(config: FineTuneConfig, store: ImageStore, train: np.ndarray, step: int) -> loader.Batch:
        made.append(step)
        return train_batch(config, store, train, step)

    monkeypatch.setattr(loader, "train_batch", make)
    monkeypatch.setattr(loader, "PREFETCHED_BYTES", 4 * 64 * 8 * 8)
    for position, _ in enumerate(train_batches(config, digits, np.arange(200), range(12), num_threads=4)):
        assert len(made) <= position + 3, "the one that is read, and two ahead"
    assert sorted(made) == list(range(12))


def image_of(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


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
    """An image so flat that no try fits: torchvision then takes the central box."""
    for size in ((10, 400), (400, 10)):
        transform = v2.RandomResizedCrop(8, scale=(1.0, 1.0), antialias=True)
        params = transform.make_params([torch.zeros(3, *size, dtype=torch.uint8)])
        ours = random_resized_boxes(np.random.default_rng(0), np.array([size]), (1.0, 1.0))[0]
        assert ours.tolist() == [params["top"], params["left"], params["height"], params["width"]]
    assert tuple(v2.RandomResizedCrop(8).ratio) == ASPECT_RATIO


@pytest.mark.parametrize("together", [1, 5000, RESIZED_TOGETHER])
def test_every_crop_of_a_batch_equals_torchvisions_for_the_same_box(
    together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the others are with which it is resized: of sizes of their own, or of its width, or its height."""
    monkeypatch.setattr(loader, "RESIZED_TOGETHER", together)

    @settings(deadline=None, max_examples=25, derandomize=True)
    @given(st.sampled_from([1, 3]), st.sampled_from([1, 8, 28, 33]), st.sampled_from([3, 9, 60]), st.randoms())
    def check(channels: int, resolution: int, largest: int, chance: random.Random) -> None:
        images, boxes, flips = [], [], []
        for _ in range(chance.randint(1, 12)):
            height, width = chance.randint(1, largest), chance.randint(1, largest)
            top, left = chance.randrange(height), chance.randrange(width)
            images.append(image_of(height, width, channels, seed=len(images)))
            boxes.append([top, left, chance.randint(1, height - top), chance.randint(1, width - left)])
            flips.append(chance.random() < 0.5)
        ours = crop_all(images, Crops(np.array(boxes), np.array(flips)), resolution)
        for image, box, flip, crop in zip(images, boxes, flips, ours, strict=True):
            whole = torch.from_numpy(image).permute(2, 0, 1).contiguous()
            theirs = v2.functional.resized_crop(whole, *box, [resolution, resolution], antialias=True)
            assert torch.equal(crop, v2.functional.horizontal_flip(theirs) if flip else theirs)

    check()


def test_evaluation_squashes_the_whole_image_as_torchvision(digits: ImageStore) -> None:
    indices = np.array([3, 1, 4])
    [batch] = eval_batches(digits, indices, 28, 10)
    resize = v2.Resize((28, 28), antialias=True)
    for place, index in enumerate(indices):
        assert torch.equal(batch.images[place], resize(torch.from_numpy(digits.image(index)).permute(2, 0, 1)))
    assert batch.labels.tolist() == digits.labels[indices].tolist()


def test_the_model_sees_what_totensor_and_normalize_give() -> None:
    images = torch.from_numpy(image_of(8, 8, 1)).permute(2, 0, 1)[None]
    ours = to_input(images, NORMALIZATIONS["inception"], torch.device("cpu"))
    steps = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3)])
    torch.testing.assert_close(ours, steps(images.expand(-1, 3, -1, -1)))


def test_cifars_normalization_is_that_of_its_trainers() -> None:
    images = torch.from_numpy(image_of(8, 8, 3)).permute(2, 0, 1)[None]
    mean, std = [0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]
    steps = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)])
    torch.testing.assert_close(to_input(images, NORMALIZATIONS["cifar10"], torch.device("cpu")), steps(images))


@pytest.mark.parametrize(
    ("values", "frame_of"),
    [
        ({"train_crop": "padded", "crop_padding": 2}, v2.Compose([v2.Resize((8, 8)), v2.Pad(2)])),
        ({"train_crop": "resized", "resize_factor": 1.25}, v2.Resize((10, 10))),
    ],
)
def test_crops_of_one_size_are_the_windows_of_torchvisions_frame_all_alike_often(
    values: dict[str, object], frame_of: v2.Transform
) -> None:
    config = config_of(**values, hflip=False, resolution=8)
    image = image_of(20, 14, 3)
    frame = frame_of(torch.from_numpy(image).permute(2, 0, 1))
    places = frame.shape[-1] - 8 + 1
    crops = draw_crops(config, 0, np.tile(image.shape[:2], (4000, 1)))
    assert not crops.flips.any()
    corners, counts = np.unique(crops.boxes[:, :2], axis=0, return_counts=True)
    assert len(corners) == places**2
    assert counts.min() > 0.6 * 4000 / places**2
    for top, left in corners:
        expected = frame[:, top : top + 8, left : left + 8]
        both_ways = Crops(np.tile([top, left, 8, 8], (2, 1)), np.array([False, True]))
        sizes = np.tile(image.shape[:2], (2, 1))
        ours = train_images(config, [image, image], sizes, both_ways)
        assert torch.equal(ours, torch.stack([expected, expected.flip(-1)]))


def test_with_replacement_an_epoch_leaves_a_share_of_1_over_e_unseen() -> None:
    train = np.arange(100, 5100)
    config = config_of(sampling="with_replacement")
    seen = np.concatenate([batch_indices(config, train, step) for step in range(500)])
    assert len(seen) == len(train)
    assert len(np.unique(seen)) / len(train) == pytest.approx(1 - 1 / np.e, abs=0.02)


def test_mixup_draws_a_share_per_batch_from_its_beta_distribution() -> None:
    shares = []
    for step in range(2000):
        mix = draw_mix(config_of(mixup=0.4), step, 5)
        assert mix is not None
        assert sorted(mix.partner.tolist()) == [0, 1, 2, 3, 4]
        shares.append(mix.share)
    assert stats.kstest(shares, stats.beta(0.4, 0.4).cdf).pvalue > 0.01
    assert draw_mix(config_of(), 0, 5) is None


def config_of(**values: object) -> FineTuneConfig:
    return FineTuneConfig(dataset="digits", resolution=8, steps=1, batch_size=10).with_values(values)


def test_an_epoch_sees_every_image_once_and_its_last_batch_is_smaller() -> None:
    train = np.arange(100, 125)
    batches = [batch_indices(config_of(), train, step) for step in range(6)]
    assert [len(batch) for batch in batches] == [10, 10, 5, 10, 10, 5]
    first, second = np.concatenate(batches[:3]), np.concatenate(batches[3:])
    assert sorted(first) == sorted(second) == train.tolist()
    assert (first != second).any()


def test_order_crops_and_flips_come_from_seed_and_step_alone(digits: ImageStore) -> None:
    train = np.arange(200)
    config = config_of()
    straight = [train_batch(config, digits, train, step) for step in range(7)]
    resumed = list(train_batches(config, digits, train, range(4, 7), num_threads=3))
    for one, other in zip(straight[4:], resumed, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)
    other_seed = train_batch(config_of(seed=1), digits, train, 0)
    assert not torch.equal(other_seed.images, straight[0].images)


def test_the_knobs_of_the_crop_move_it() -> None:
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


def test_an_error_while_preparing_a_batch_reaches_the_reader(digits: ImageStore) -> None:
    with pytest.raises(IndexError):
        list(train_batches(config_of(), digits, np.array([10**6]), range(1)))
