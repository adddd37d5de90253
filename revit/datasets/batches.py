"""Batches of uint8 images: random crops and flips for training, squashed whole images for evaluation.

What is drawn depends on (seed, step) alone, never on how often a process was restarted. Scaling and spreading
gray over three channels happen on the device, in `to_input`.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import islice
from math import gcd
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as F

from revit.config import FineTuneConfig, steps_per_epoch
from revit.datasets.image_store import ImageStore
from revit.datasets.splits import Indices
from revit.models.normalization import Normalization

ASPECT_RATIO = (3 / 4, 4 / 3)
CROP_ATTEMPTS = 10
PREFETCHED_BATCHES = 2
PREFETCHED_BYTES = 2**32
"""Pixels that may lie ready for one trial, the batch that is trained on included: pinned, they cannot be swapped."""
RESIZED_TOGETHER = 2**18
"""Bytes of pixels, before or after, that are resized in one call: what a core's cache holds."""

ORDER_STREAM, CROP_STREAM, DROPOUT_STREAM, MIXUP_STREAM = 0, 1, 2, 3
"""Keys that keep the random numbers of data order, crops, dropout and mixup apart under one seed."""


T = TypeVar("T")


class Mix(NamedTuple):
    """Mixup of one batch: each image keeps `share` of itself and takes the rest of image `partner` (B,) int64."""

    partner: Tensor
    share: float


class Batch(NamedTuple):
    """Images (B, C, H, W) uint8, C 1 or 3, their classes (B,) int64, and how they are mixed, if they are."""

    images: Tensor
    labels: Tensor
    mix: Mix | None = None

    def pinned(self) -> "Batch":
        """A copy in pinned memory, from which a GPU takes it while the CPU goes on."""
        return self._each(lambda tensor: tensor.pin_memory())

    def to(self, device: torch.device) -> "Batch":
        """The batch on a device; where it was pinned, nobody waits until it is there."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def _each(self, move: Callable[[Tensor], Tensor]) -> "Batch":
        mix = None if self.mix is None else self.mix._replace(partner=move(self.mix.partner))
        return Batch(move(self.images), move(self.labels), mix)


class Crops(NamedTuple):
    """Boxes (B, 4) int64 as top, left, height, width in pixels of the frame; whether each is mirrored (B,).

    The frame is what is cut: the image as it is, or squashed, or squashed and padded (`train_crop`).
    """

    boxes: npt.NDArray[np.int64]
    flips: npt.NDArray[np.bool_]


def random_resized_boxes(
    rng: np.random.Generator, sizes: npt.NDArray[np.int64], scale: tuple[float, float]
) -> npt.NDArray[np.int64]:
    """One Inception crop per image, as torchvision's RandomResizedCrop draws them.

    Ten tries at an area share uniform in `scale` and an aspect ratio log-uniform in [3/4, 4/3]; the
    first that fits is placed uniformly; if none fits, the largest central box within the ratios.

    Args:
        sizes: (B, 2) heights and widths in pixels.

    Returns:
        (B, 4) top, left, height, width.
    """
    count = len(sizes)
    height, width = sizes[:, 0], sizes[:, 1]
    area = rng.uniform(*scale, (count, CROP_ATTEMPTS)) * (height * width)[:, None]
    narrowest, widest = np.log(ASPECT_RATIO)
    ratio = np.exp(rng.uniform(narrowest, widest, (count, CROP_ATTEMPTS)))
    tried_w = np.rint(np.sqrt(area * ratio)).astype(np.int64)
    tried_h = np.rint(np.sqrt(area / ratio)).astype(np.int64)
    fits = (tried_w > 0) & (tried_w <= width[:, None]) & (tried_h > 0) & (tried_h <= height[:, None])
    first = np.argmax(fits, axis=1)
    rows = np.arange(count)
    found = fits[rows, first]
    fallback = central_box(sizes)
    box_h = np.where(found, tried_h[rows, first], fallback[:, 2])
    box_w = np.where(found, tried_w[rows, first], fallback[:, 3])
    top = np.where(found, rng.integers(0, height - box_h + 1), fallback[:, 0])
    left = np.where(found, rng.integers(0, width - box_w + 1), fallback[:, 1])
    return np.stack([top, left, box_h, box_w], axis=1)


def central_box(sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(B, 4): the largest central box of each image whose aspect ratio lies in [3/4, 4/3]."""
    height, width = sizes[:, 0], sizes[:, 1]
    box_w = np.where(width > ASPECT_RATIO[1] * height, np.rint(height * ASPECT_RATIO[1]), width)
    box_h = np.where(width < ASPECT_RATIO[0] * height, np.rint(width / ASPECT_RATIO[0]), height)
    box = np.stack([(height - box_h) // 2, (width - box_w) // 2, box_h, box_w], axis=1)
    return box.astype(np.int64)


def whole_boxes(sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(B, 4): each image entire."""
    return np.concatenate([np.zeros_like(sizes), sizes], axis=1)


def corner_boxes(rng: np.random.Generator, count: int, frame: int, side: int) -> npt.NDArray[np.int64]:
    """(count, 4): squares of `side` px placed uniformly in frames of `frame` px a side."""
    corners = rng.integers(0, frame - side + 1, (count, 2))
    return np.concatenate([corners, np.full((count, 2), side)], axis=1)


def draw_crops(config: FineTuneConfig, step: int, sizes: npt.NDArray[np.int64]) -> Crops:
    """The crops and flips of training step `step` (from 0) for images of `sizes` (B, 2)."""
    rng = np.random.default_rng([config.seed, CROP_STREAM, step])
    if config.train_crop == "random_resized":
        boxes = random_resized_boxes(rng, sizes, config.crop_scale)
    elif config.train_crop == "none":
        boxes = whole_boxes(sizes)
    else:
        boxes = corner_boxes(rng, len(sizes), _frame_side(config), config.resolution)
    flips = rng.random(len(sizes)) < 0.5 if config.hflip else np.zeros(len(sizes), dtype=bool)
    return Crops(boxes, flips)


def _frame_side(config: FineTuneConfig) -> int:
    """Side in pixels of the square that a `resized` or `padded` crop is cut from."""
    if config.train_crop == "resized":
        return round(config.resize_factor * config.resolution)
    return config.resolution + 2 * config.crop_padding


def crop_all(images: Iterable[npt.NDArray[np.uint8]], crops: Crops, resolution: int) -> Tensor:
    """The box of each image (H, W, C), resized (bilinear, antialiased), mirrored or not: (B, C, R, R) uint8.

    Images are asked for a few at a time, and let go then: those that are decoded for it need not all fit in memory.
    """
    corners = zip(images, crops.boxes.tolist(), strict=True)
    cuts = (image[top : top + height, left : left + width] for image, (top, left, height, width) in corners)
    first = next(cuts)
    channels = first.shape[2]
    out = np.empty((len(crops.boxes), channels, resolution, resolution), np.uint8)
    largest = max(resolution**2, *crops.boxes[:, 2:].prod(axis=1).tolist())
    num_together = max(1, RESIZED_TOGETHER // (channels * largest))
    together = [first, *islice(cuts, num_together - 1)]
    for start in range(0, len(out), num_together):
        part = slice(start, start + num_together)
        _resize(together, crops.flips[part].tolist(), out[part])
        together = list(islice(cuts, num_together))
    return torch.from_numpy(out)


def _resize(cuts: Sequence[npt.NDArray[np.uint8]], flips: Sequence[bool], out: npt.NDArray[np.uint8]) -> None:
    """Write images (H, W, C), resized and mirrored or not, to `out` (n, C, R, R), each bit as torchvision's `resize`.

    That resizes rows, rounds, and resizes columns. Rows do not mix, nor do columns: so all images of one width are one
    call here, and then all of one height, as a call takes longer than a small image does. Channels are spread over
    planes when there are fewest pixels.
    """
    _, channels, resolution, _ = out.shape
    rows: dict[int, npt.NDArray[np.uint8]] = {}
    for width, places in _places([cut.shape[1] for cut in cuts]).items():
        below = np.concatenate([cuts[place] for place in places])
        resized = _interpolate(below.reshape(1, -1, width, channels), len(below), resolution)[0]
        top = 0
        for place in places:
            rows[place] = resized[top : top + len(cuts[place])]
            top += len(cuts[place])
    for height, places in _places([len(cut) for cut in cuts]).items():
        if height < resolution:
            planes = np.array([_planes(rows[place], flips[place]) for place in places])
            resized = _resize_columns(planes.reshape(-1, height, resolution), resolution)
            out[places] = resized.reshape(-1, channels, resolution, resolution)
        else:
            pixels = np.array([rows[place] for place in places])
            resized = _resize_columns(pixels.reshape(-1, height, resolution * channels), resolution)
            for place, image in zip(places, resized.reshape(-1, resolution, resolution, channels), strict=True):
                out[place] = _planes(image, flips[place])


def _planes(pixels: npt.NDArray[np.uint8], flip: bool) -> npt.NDArray[np.uint8]:
    """A view (C, H, W), mirrored or not, of pixels (H, W, C)."""
    planes = pixels.transpose(2, 0, 1)
    return planes[..., ::-1] if flip else planes


def _resize_columns(columns: npt.NDArray[np.uint8], height: int) -> npt.NDArray[np.uint8]:
    """Columns (n, H, W) of whatever, to (n, height, W): four pass for the channels of a pixel, which is fastest."""
    num_images, old_height, width = columns.shape
    together = gcd(width, 4)
    pixels = columns.reshape(num_images, old_height, width // together, together)
    return _interpolate(pixels, height, width // together).reshape(num_images, height, width)


def _places(sizes: Sequence[int]) -> dict[int, list[int]]:
    """Where each size occurs."""
    places = defaultdict(list)
    for place, size in enumerate(sizes):
        places[size].append(place)
    return places


def _interpolate(pixels: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """Images (n, H, W, C) to (n, height, width, C), bilinear and antialiased."""
    channels_first = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    resized = nn.functional.interpolate(channels_first, (height, width), mode="bilinear", antialias=True)
    return resized.permute(0, 2, 3, 1).numpy()


def train_images(
    config: FineTuneConfig, images: Iterable[npt.NDArray[np.uint8]], sizes: npt.NDArray[np.int64], crops: Crops
) -> Tensor:
    """Training images (B, C, R, R) uint8: the boxes of the frames that the config makes of `images` (H, W, C)."""
    if config.train_crop in ("random_resized", "none"):
        return crop_all(images, crops, config.resolution)
    if config.train_crop == "resized":
        frames = squash_all(images, sizes, _frame_side(config))
    else:
        frames = F.pad(squash_all(images, sizes, config.resolution), [config.crop_padding])
    return crop_all([frame.permute(1, 2, 0).numpy() for frame in frames], crops, config.resolution)


def squash_all(images: Iterable[npt.NDArray[np.uint8]], sizes: npt.NDArray[np.int64], resolution: int) -> Tensor:
    """Each image (H, W, C) of `sizes` (B, 2) entire, resized (bilinear, antialiased): (B, C, R, R) uint8."""
    return crop_all(images, Crops(whole_boxes(sizes), np.zeros(len(sizes), bool)), resolution)


def batch_indices(config: FineTuneConfig, train: Indices, step: int) -> Indices:
    """Which images (positions in the store) training step `step` (from 0) sees."""
    epoch, place = divmod(step, steps_per_epoch(len(train), config.batch_size))
    rng = np.random.default_rng([config.seed, ORDER_STREAM, epoch])
    order = rng.permutation(len(train)) if config.sampling == "shuffled" else rng.integers(0, len(train), len(train))
    return train[order[place * config.batch_size : (place + 1) * config.batch_size]]


def draw_mix(config: FineTuneConfig, step: int, count: int) -> Mix | None:
    """How training step `step` (from 0) mixes its `count` images; None without mixup."""
    if config.mixup == 0:
        return None
    rng = np.random.default_rng([config.seed, MIXUP_STREAM, step])
    share = float(rng.beta(config.mixup, config.mixup))
    return Mix(torch.from_numpy(rng.permutation(count)), share)


def train_batch(config: FineTuneConfig, store: ImageStore, train: Indices, step: int) -> Batch:
    """The batch of training step `step` (from 0): at most `batch_size` images at the resolution."""
    indices = batch_indices(config, train, step)
    sizes = store.sizes[indices]
    crops = draw_crops(config, step, sizes)
    images = train_images(config, _images(store, indices), sizes, crops)
    mix = draw_mix(config, step, len(indices))
    return Batch(images, torch.from_numpy(store.labels[indices]), mix)


def train_batches(
    config: FineTuneConfig,
    store: ImageStore,
    train: Indices,
    steps: Iterable[int],
    num_threads: int = 1,
    *,
    pin: bool = False,
) -> Iterator[Batch]:
    """The batches of the given steps, in order, prepared a few ahead by some threads; pinned, if wanted."""
    ahead = num_ahead(_batch_bytes(store, config.resolution, config.batch_size), num_threads)
    return _ahead(lambda step: train_batch(config, store, train, step), steps, num_threads, ahead, pin)


def eval_batches(
    store: ImageStore, indices: Indices, resolution: int, batch_size: int, num_threads: int = 1, *, pin: bool = False
) -> Iterator[Batch]:
    """All the images of `indices` in order, each squash-resized to the resolution; pinned, if wanted."""
    parts = [indices[start : start + batch_size] for start in range(0, len(indices), batch_size)]
    ahead = num_ahead(_batch_bytes(store, resolution, batch_size), num_threads)
    return _ahead(lambda part: _eval_batch(store, part, resolution), parts, num_threads, ahead, pin)


def num_ahead(batch_bytes: int, num_threads: int) -> int:
    """Return how many batches to prepare ahead: enough for the threads, while they fit in PREFETCHED_BYTES.

    Two more there may be: the one that is trained on, and one that is begun while it is. PyTorch allocates pinned
    memory in powers of two.
    """
    pinned_bytes = 1 << (batch_bytes - 1).bit_length()
    return max(1, min(num_threads + PREFETCHED_BATCHES, PREFETCHED_BYTES // pinned_bytes - 2))


def _batch_bytes(store: ImageStore, resolution: int, batch_size: int) -> int:
    return batch_size * store.manifest.channels * resolution**2


def _eval_batch(store: ImageStore, indices: Indices, resolution: int) -> Batch:
    images = squash_all(_images(store, indices), store.sizes[indices], resolution)
    return Batch(images, torch.from_numpy(store.labels[indices]))


def _images(store: ImageStore, indices: Indices) -> Iterator[npt.NDArray[np.uint8]]:
    return (store.image(index) for index in indices.tolist())


def to_input(images: Tensor, normalization: Normalization, device: torch.device) -> Tensor:
    """Return what the model takes, on the device: (B, 3, H, W) float32, of uint8 images (B, C, H, W), C 1 or 3."""
    scale, shift = _scale_and_shift(normalization, device)
    pixels = images.to(device, non_blocking=True).expand(-1, 3, -1, -1).to(torch.float32)
    return pixels.div_(scale).sub_(shift)  # in place, as new memory for a batch takes longer than its arithmetic


@cache
def _scale_and_shift(normalization: Normalization, device: torch.device) -> tuple[Tensor, Tensor]:
    """What pixels are divided by and what is then subtracted, (3, 1, 1) each; kept, as sending them would wait."""
    mean, std = (torch.tensor(each, device=device)[:, None, None] for each in normalization)
    return 255 * std, mean / std


def _ahead(make: Callable[[T], Batch], items: Iterable[T], num_threads: int, ahead: int, pin: bool) -> Iterator[Batch]:
    """`map(make, items)`, in order, computed so many items ahead of its reader, and pinned there."""

    def prepare(item: T) -> Batch:
        return make(item).pinned() if pin else make(item)

    with ThreadPoolExecutor(max_workers=num_threads) as threads:
        waiting: deque[Future[Batch]] = deque()
        try:
            for item in items:
                waiting.append(threads.submit(prepare, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
