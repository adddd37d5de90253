import numpy as np
import pytest

from revit.config import FineTuneConfig
from revit.datasets.batch_parts import own_rows, split_batch
from revit.training.worker_group import ALONE, WorkerGroup


def config_of(micro_batch: int | None) -> FineTuneConfig:
    return FineTuneConfig(dataset="digits", steps=1, micro_batch=micro_batch)


@pytest.mark.parametrize("micro_batch", [None, 1, 5, 16, 100])
@pytest.mark.parametrize("num_images", [1, 3, 16, 23])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_every_image_counts_once_and_the_passes_are_those_of_one_process(
    micro_batch: int | None, num_images: int, size: int
) -> None:
    config = config_of(micro_batch)
    alone = split_batch(config, num_images, ALONE)
    by_worker = [split_batch(config, num_images, WorkerGroup(rank, size)) for rank in range(size)]
    counted: list[int] = []
    for whole, *parts in zip(alone, *by_worker, strict=True):
        assert all(part.micro_batch == whole.micro_batch == whole.rows for part in parts)
        assert all(part.num_images >= 1 for part in parts), "each worker has gradients of all parameters"
        counting = [part for part in parts if part.counts]
        counted += [row for part in counting for row in own_rows([part]).tolist()]
        assert max(part.num_images for part in parts) - min(part.num_images for part in counting) <= 1
    assert counted == list(range(num_images))
    for parts in by_worker:
        assert [part.rows.start for part in parts[1:]] == [part.rows.stop for part in parts[:-1]]
        assert len(own_rows(parts)) == parts[-1].rows.stop


def test_a_process_alone_has_the_micro_batches() -> None:
    parts = split_batch(config_of(5), 12, ALONE)
    assert [part.rows for part in parts] == [slice(0, 5), slice(5, 10), slice(10, 12)]
    assert (own_rows(parts) == np.arange(12)).all()
