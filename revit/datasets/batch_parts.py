"""Parts of a training batch: one forward pass of one worker each.

A batch is cut into micro-batches, and each of those into contiguous parts, one per worker. So the passes of all workers
together are those of one process, with the same micro-batches.
"""

import math
from typing import NamedTuple

import numpy as np

from revit.config import FineTuneConfig
from revit.datasets.splits import Indices
from revit.training.worker_group import WorkerGroup


class BatchPart(NamedTuple):
    """Images of one forward pass of one worker.

    Attributes:
        rows: of the images among this worker's own.
        micro_batch: rows of the micro-batch in the whole batch.
        offset: of the first image in its micro-batch.
        counts: whether the images count; where there are fewer images than workers, some compute the first one with
            the weight 0, so that all have gradients of the same parameters.
    """

    rows: slice
    micro_batch: slice
    offset: int
    counts: bool = True

    @property
    def num_images(self) -> int:
        """Number of images of the pass."""
        return int(self.rows.stop - self.rows.start)

    @property
    def num_in_micro_batch(self) -> int:
        """Number of images of the micro-batch."""
        return int(self.micro_batch.stop - self.micro_batch.start)


def split_batch(config: FineTuneConfig, num_images: int, group: WorkerGroup) -> list[BatchPart]:
    """Return the parts of one worker of a batch of `num_images`, in order."""
    parts: list[BatchPart] = []
    done = 0
    for start in range(0, num_images, config.micro_batch or num_images):
        micro_batch = slice(start, min(start + (config.micro_batch or num_images), num_images))
        first, last = (part * (micro_batch.stop - start) // group.size for part in (group.rank, group.rank + 1))
        counts = last > first
        first, last = (first, last) if counts else (0, 1)
        parts.append(BatchPart(slice(done, done + last - first), micro_batch, first, counts))
        done += last - first
    return parts


def evaluated_part(indices: Indices, batch_size: int, group: WorkerGroup) -> Indices:
    """Return the images that one worker evaluates: consecutive batches of those that one process evaluates.

    So equal weights give equal bits.
    """
    num_batches = math.ceil(len(indices) / batch_size)
    first, last = (batch_size * (part * num_batches // group.size) for part in (group.rank, group.rank + 1))
    return indices[first:last]


def own_rows(parts: list[BatchPart]) -> Indices:
    """Return the rows in the whole batch of the images of parts, in their order."""
    starts = ((part.micro_batch.start + part.offset, part.num_images) for part in parts)
    return np.concatenate([np.arange(start, start + num_images) for start, num_images in starts])
