"""Batches of uint8 images: their order, prefetched by threads.

The order depends on (seed, epoch) alone. Images are normalized, erased and mixed on the device, in `train_input`.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from revit.config import FineTuneConfig, steps_per_epoch
from revit.datasets.augmented_images import augment
from revit.datasets.batch_parts import own_rows, split_batch
from revit.datasets.crops import Crops, crop_train_images, draw_crops, resize_images
from revit.datasets.erasing import draw_erased, erase
from revit.datasets.image_store import ImageStore
from revit.datasets.mixing import Mix, draw_mix, mix_images
from revit.datasets.splits import Indices
from revit.models.normalization import Normalization
from revit.random_streams import Stream, make_rng
from revit.training.worker_group import ALONE, WorkerGroup

NUM_SPARE_BATCHES = 2
"""Batches that are prefetched beside one per thread."""
MAX_PREFETCHED_BYTES = 2**32
"""Pixels held for one trial, the batch in training included. Pinned memory cannot be swapped."""

T = TypeVar("T")


class Batch(NamedTuple):
    """Images (B, C, H, W) uint8, C 1 or 3, with their classes (B,) int64.

    Attributes:
        mix: mixup or CutMix of the batch, if any.
        erased: box of each image that is erased (B, 4), if any.
        whole_size: images of the whole batch, where this holds those of one worker: its own, in the order of its parts,
            then their partners that are not among them. None for as many as are here.
    """

    images: Tensor
    labels: Tensor
    mix: Mix | None = None
    erased: Tensor | None = None
    whole_size: int | None = None

    @property
    def num_images(self) -> int:
        """Images of the whole batch."""
        return len(self.labels) if self.whole_size is None else self.whole_size

    def pinned(self) -> "Batch":
        """Return a copy in pinned memory, from which a GPU copies while the CPU goes on (`torch.Tensor.to`).

        PyTorch's allocator gives pinned memory to the next batch only once its copies have been made.
        """
        return self._map(lambda tensor: tensor.pin_memory())

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device. From pinned memory the copy is asynchronous."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def _map(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        mix = None if self.mix is None else self.mix._replace(partner=function(self.mix.partner))
        erased = None if self.erased is None else function(self.erased)
        return Batch(function(self.images), function(self.labels), mix, erased, self.whole_size)


def batch_indices(config: FineTuneConfig, train: Indices, step: int) -> Indices:
    """Return the store indices of the images of training step `step` (from 0)."""
    epoch, number = divmod(step, steps_per_epoch(len(train), config.batch_size))
    rng = make_rng(config.seed, Stream.ORDER, epoch)
    order = rng.permutation(len(train)) if config.sampling == "shuffled" else rng.integers(0, len(train), len(train))
    return train[order[number * config.batch_size : (number + 1) * config.batch_size]]


def train_batch(
    config: FineTuneConfig, store: ImageStore, train: Indices, step: int, group: WorkerGroup = ALONE
) -> Batch:
    """Make the batch of training step `step` (from 0): at most `batch_size` images at the resolution.

    All random numbers are drawn for the whole batch. A worker of a group crops the images that it needs, and without
    `augmentation` reads no others; augmentations draw as they go, and so each worker augments the whole batch.
    """
    indices = batch_indices(config, train, step)
    sizes = store.sizes[indices]
    crops = draw_crops(config, step, sizes)
    mix, erased = draw_mix(config, step, len(indices)), draw_erased(config, step, len(indices))

    def crop(rows: Indices | slice) -> Tensor:
        drawn = Crops(crops.boxes[rows], crops.flips[rows])
        return crop_train_images(config, _images(store, indices[rows]), sizes[rows], drawn)

    rows, mix = (slice(None), mix) if group.size == 1 else _rows_of_worker(config, len(indices), mix, group)
    images = crop(rows) if config.augmentation == "none" else augment(config, crop(slice(None)), step)[rows]
    labels = torch.from_numpy(store.labels[indices[rows]])
    return Batch(images, labels, mix, None if erased is None else erased[rows], len(indices))


def _rows_of_worker(
    config: FineTuneConfig, num_images: int, mix: Mix | None, group: WorkerGroup
) -> tuple[Indices, Mix | None]:
    """Return the rows of a batch that a worker needs, its own first, and the mixing of its own by their new rows."""
    own = own_rows(split_batch(config, num_images, group))
    if mix is None:
        return own, None
    partners = mix.partner.numpy()[own]
    rows = np.concatenate([own, np.setdiff1d(partners, own)])
    new_row = {row: new for new, row in enumerate(rows.tolist())}
    return rows, mix._replace(partner=torch.tensor([new_row[row] for row in partners.tolist()]))


def train_batches(
    config: FineTuneConfig,
    store: ImageStore,
    train: Indices,
    steps: Iterable[int],
    num_threads: int = 1,
    *,
    pin: bool = False,
    group: WorkerGroup = ALONE,
) -> Iterator[Batch]:
    """Yield the batches of the given steps in order, prefetched by threads, pinned on request."""
    num_ahead = num_prefetched(_batch_bytes(store, config.resolution, config.batch_size), num_threads)
    return _prefetch(lambda step: train_batch(config, store, train, step, group), steps, num_threads, num_ahead, pin)


def eval_batches(
    store: ImageStore, indices: Indices, resolution: int, batch_size: int, num_threads: int = 1, *, pin: bool = False
) -> Iterator[Batch]:
    """Yield the images of `indices` in order, each resized whole to the resolution, pinned on request."""

    def make(part: Indices) -> Batch:
        images = resize_images(_images(store, part), store.sizes[part], resolution)
        return Batch(images, torch.from_numpy(store.labels[part]))

    parts = [indices[start : start + batch_size] for start in range(0, len(indices), batch_size)]
    num_ahead = num_prefetched(_batch_bytes(store, resolution, batch_size), num_threads)
    return _prefetch(make, parts, num_threads, num_ahead, pin)


def num_prefetched(batch_bytes: int, num_threads: int) -> int:
    """Return how many batches to prefetch: enough for the threads, at most MAX_PREFETCHED_BYTES.

    Two more may exist: the one in training, and one begun meanwhile. PyTorch allocates pinned memory in powers
    of two.
    """
    pinned_bytes = 1 << (batch_bytes - 1).bit_length()
    return max(1, min(num_threads + NUM_SPARE_BATCHES, MAX_PREFETCHED_BYTES // pinned_bytes - 2))


def _batch_bytes(store: ImageStore, resolution: int, batch_size: int) -> int:
    return batch_size * store.manifest.channels * resolution**2


def _images(store: ImageStore, indices: Indices) -> Iterator[npt.NDArray[np.uint8]]:
    return (store.image(index) for index in indices.tolist())


def train_input(batch: Batch, part: slice, normalization: Normalization) -> Tensor:
    """Normalize, erase and mix a part of a training batch on its device: (n, 3, H, W) float32."""
    images = _erased_input(batch, part, normalization)
    if batch.mix is None:
        return images
    return mix_images(images, _erased_input(batch, batch.mix.partner[part], normalization), batch.mix)


def _erased_input(batch: Batch, part: slice | Tensor, normalization: Normalization) -> Tensor:
    images = to_input(batch.images[part], normalization, batch.images.device)
    return images if batch.erased is None else erase(images, batch.erased[part])


def to_input(images: Tensor, normalization: Normalization, device: torch.device) -> Tensor:
    """Normalize uint8 images (B, C, H, W), C 1 or 3, on the device: (B, 3, H, W) float32."""
    scale, shift = _scale_and_shift(normalization, device)
    pixels = images.to(device, non_blocking=True).expand(-1, 3, -1, -1).to(torch.float32)
    return pixels.div_(scale).sub_(shift)  # in place: allocating a batch takes longer than its arithmetic


@cache
def _scale_and_shift(normalization: Normalization, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the divisor and the subtrahend of pixels, (3, 1, 1) each; cached, as a copy synchronizes."""
    mean, std = (torch.tensor(each, device=device)[:, None, None] for each in normalization)
    return 255 * std, mean / std


def _prefetch(
    make: Callable[[T], Batch], items: Iterable[T], num_threads: int, num_ahead: int, pin: bool
) -> Iterator[Batch]:
    """Yield `map(make, items)` in order, computed `num_ahead` items ahead, pinned on request."""

    def prepare(item: T) -> Batch:
        return make(item).pinned() if pin else make(item)

    with ThreadPoolExecutor(max_workers=num_threads) as threads:
        waiting: deque[Future[Batch]] = deque()
        try:
            for item in items:
                waiting.append(threads.submit(prepare, item))
                if len(waiting) > num_ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
