"""Batches: order, prefetching, normalization."""

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from revit.config import FineTuneConfig
from revit.datasets import batches
from revit.datasets.batch_parts import own_rows, split_batch
from revit.datasets.batches import (
    batch_indices,
    eval_batches,
    num_prefetched,
    to_input,
    train_batch,
    train_batches,
    train_input,
)
from revit.datasets.image_store import ImageStore
from revit.models.normalization import NORMALIZATIONS
from revit.training.worker_group import WorkerGroup


def config_of(**values: object) -> FineTuneConfig:
    return FineTuneConfig(dataset="digits", resolution=8, steps=1, batch_size=10).with_values(values)


def image_of(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def test_prefetched_batches_are_limited_in_bytes() -> None:
    """512 images of 480 px take 512 MiB of pinned memory; 19 such batches, for 16 threads, would take 9.5 GiB."""
    large, small = 512 * 3 * 480**2, 128 * 3 * 224**2
    assert num_prefetched(large, num_threads=16) + 2 == 8
    assert num_prefetched(small, num_threads=16) == 16 + batches.NUM_SPARE_BATCHES
    assert num_prefetched(2**40, num_threads=16) == 1, "one is prepared while another is trained on"
    for num_bytes in range(2**20, 2**30, 2**24 + 1):
        pinned = 2 ** int(np.ceil(np.log2(num_bytes)))
        assert (num_prefetched(num_bytes, num_threads=64) + 2) * pinned <= batches.MAX_PREFETCHED_BYTES


def test_no_batch_is_made_beyond_the_limit(digits: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(batch_size=64, resolution=8)
    made: list[int] = []

    def make(
        config: FineTuneConfig, store: ImageStore, train: np.ndarray, step: int, group: WorkerGroup
    ) -> batches.Batch:
        made.append(step)
        return train_batch(config, store, train, step, group)

    monkeypatch.setattr(batches, "train_batch", make)
    monkeypatch.setattr(batches, "MAX_PREFETCHED_BYTES", 4 * 64 * 8 * 8)
    for position, _ in enumerate(train_batches(config, digits, np.arange(200), range(12), num_threads=4)):
        assert len(made) <= position + 3, "the one that is read, and two ahead"
    assert sorted(made) == list(range(12))


def test_evaluation_resizes_the_whole_image_as_torchvision(digits: ImageStore) -> None:
    indices = np.array([3, 1, 4])
    [batch] = eval_batches(digits, indices, 28, 10)
    resize = v2.Resize((28, 28), antialias=True)
    for number, index in enumerate(indices):
        assert torch.equal(batch.images[number], resize(torch.from_numpy(digits.image(index)).permute(2, 0, 1)))
    assert batch.labels.tolist() == digits.labels[indices].tolist()


def test_inputs_are_those_of_torchvisions_normalize() -> None:
    images = torch.from_numpy(image_of(8, 8, 1)).permute(2, 0, 1)[None]
    ours = to_input(images, NORMALIZATIONS["inception"], torch.device("cpu"))
    steps = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3)])
    torch.testing.assert_close(ours, steps(images.expand(-1, 3, -1, -1)))


def test_the_cifar10_normalization_is_the_usual_one() -> None:
    images = torch.from_numpy(image_of(8, 8, 3)).permute(2, 0, 1)[None]
    mean, std = [0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]
    steps = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)])
    torch.testing.assert_close(to_input(images, NORMALIZATIONS["cifar10"], torch.device("cpu")), steps(images))


def test_an_epoch_with_replacement_leaves_1_over_e_of_the_images_unseen() -> None:
    train = np.arange(100, 5100)
    config = config_of(sampling="with_replacement")
    seen = np.concatenate([batch_indices(config, train, step) for step in range(500)])
    assert len(seen) == len(train)
    assert len(np.unique(seen)) / len(train) == pytest.approx(1 - 1 / np.e, abs=0.02)


def test_an_epoch_sees_every_image_once_and_its_last_batch_is_smaller() -> None:
    train = np.arange(100, 125)
    drawn = [batch_indices(config_of(), train, step) for step in range(6)]
    assert [len(batch) for batch in drawn] == [10, 10, 5, 10, 10, 5]
    first, second = np.concatenate(drawn[:3]), np.concatenate(drawn[3:])
    assert sorted(first) == sorted(second) == train.tolist()
    assert (first != second).any()


def test_order_crops_and_flips_depend_on_seed_and_step_alone(digits: ImageStore) -> None:
    train = np.arange(200)
    config = config_of()
    straight = [train_batch(config, digits, train, step) for step in range(7)]
    resumed = list(train_batches(config, digits, train, range(4, 7), num_threads=3))
    for one, other in zip(straight[4:], resumed, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)
    other_seed = train_batch(config_of(seed=1), digits, train, 0)
    assert not torch.equal(other_seed.images, straight[0].images)


def test_an_error_while_preparing_a_batch_reaches_the_reader(digits: ImageStore) -> None:
    with pytest.raises(IndexError):
        list(train_batches(config_of(), digits, np.array([10**6]), range(1)))


@pytest.mark.parametrize("augmentation", ["none", "randaugment"])
@pytest.mark.parametrize("mixing", [{}, {"mixup": 0.4}, {"cutmix": 1.0}], ids=str)
def test_workers_have_the_images_of_one_process(
    digits: ImageStore, augmentation: str, mixing: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Normalized, erased and mixed. Each reads what it needs: its own images, and their partners."""
    config = config_of(augmentation=augmentation, random_erasing=0.5, batch_size=22, micro_batch=8, **mixing)
    train = digits.split(0.1, 1.0, 0).train
    whole = train_batch(config, digits, train, 3)
    expected = train_input(whole, slice(0, 22), NORMALIZATIONS["inception"])
    num_read = []
    read = batches._images
    monkeypatch.setattr(batches, "_images", lambda store, rows: num_read.append(len(rows)) or read(store, rows))
    for rank in range(3):
        batch = train_batch(config, digits, train, 3, WorkerGroup(rank, 3))
        assert batch.num_images == whole.num_images == 22
        assert num_read[-1] == (22 if augmentation != "none" else len(batch.images))
        parts = split_batch(config, 22, WorkerGroup(rank, 3))
        for part in parts:
            rows = own_rows([part])
            assert torch.equal(train_input(batch, part.rows, NORMALIZATIONS["inception"]), expected[rows])
            assert torch.equal(batch.labels[part.rows], whole.labels[rows])
            if mixing:
                its = whole.labels[whole.mix.partner[rows]]
                assert torch.equal(batch.labels[batch.mix.partner[part.rows]], its)
        assert len(batch.images) < 22 if mixing else len(batch.images) == len(own_rows(parts))
