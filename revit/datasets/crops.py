"""Random crops of training images, by name, with horizontal flips."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from math import gcd
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as F

from revit.config import FineTuneConfig
from revit.random_streams import Stream, make_rng

ASPECT_RATIO = (3 / 4, 4 / 3)
NUM_CROP_ATTEMPTS = 10
MAX_RESIZE_BYTES = 2**18
"""Bytes of pixels, before or after, that are resized in one call: what a core's cache holds."""

Images = Iterable[npt.NDArray[np.uint8]]
Sizes = npt.NDArray[np.int64]


class Crops(NamedTuple):
    """Boxes (B, 4) int64 as top, left, height, width in pixels of the frame, and whether each is flipped (B,).

    The frame is what the box is cut from: the image itself, or the image resized or padded (`train_crop`).
    """

    boxes: npt.NDArray[np.int64]
    flips: npt.NDArray[np.bool_]


def random_resized_boxes(rng: np.random.Generator, sizes: Sizes, scale: tuple[float, float]) -> npt.NDArray[np.int64]:
    """Draw one Inception crop per image, as torchvision's RandomResizedCrop does.

    Of ten attempts with an area fraction uniform in `scale` and an aspect ratio log-uniform in [3/4, 4/3], the
    first that fits is placed uniformly. If none fits, the largest central box within these ratios is taken.

    Args:
        sizes: (B, 2) heights and widths in pixels.

    Returns:
        (B, 4) top, left, height, width.
    """
    count = len(sizes)
    height, width = sizes[:, 0], sizes[:, 1]
    area = rng.uniform(*scale, (count, NUM_CROP_ATTEMPTS)) * (height * width)[:, None]
    narrowest, widest = np.log(ASPECT_RATIO)
    ratio = np.exp(rng.uniform(narrowest, widest, (count, NUM_CROP_ATTEMPTS)))
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


def central_box(sizes: Sizes) -> npt.NDArray[np.int64]:
    """Return the largest central box of each image whose aspect ratio lies in [3/4, 4/3]: (B, 4)."""
    height, width = sizes[:, 0], sizes[:, 1]
    box_w = np.where(width > ASPECT_RATIO[1] * height, np.rint(height * ASPECT_RATIO[1]), width)
    box_h = np.where(width < ASPECT_RATIO[0] * height, np.rint(width / ASPECT_RATIO[0]), height)
    box = np.stack([(height - box_h) // 2, (width - box_w) // 2, box_h, box_w], axis=1)
    return box.astype(np.int64)


def whole_boxes(sizes: Sizes) -> npt.NDArray[np.int64]:
    """Return the box of each whole image: (B, 4)."""
    return np.concatenate([np.zeros_like(sizes), sizes], axis=1)


def corner_boxes(rng: np.random.Generator, count: int, frame: int, side: int) -> npt.NDArray[np.int64]:
    """Place squares of `side` pixels uniformly in frames of `frame` pixels a side: (count, 4)."""
    corners = rng.integers(0, frame - side + 1, (count, 2))
    return np.concatenate([corners, np.full((count, 2), side)], axis=1)


class TrainCrop(NamedTuple):
    """One way to crop training images.

    Attributes:
        draw_boxes: function of a generator, sizes (B, 2) and the config to one box per frame, (B, 4).
        make_frames: function of images (H, W, C), their sizes and the config to what boxes are cut from, (H, W, C).
    """

    draw_boxes: Callable[[np.random.Generator, Sizes, FineTuneConfig], npt.NDArray[np.int64]]
    make_frames: Callable[[Images, Sizes, FineTuneConfig], Images] = lambda images, sizes, config: images


def _draw_resized(rng: np.random.Generator, sizes: Sizes, config: FineTuneConfig) -> npt.NDArray[np.int64]:
    return corner_boxes(rng, len(sizes), _resized_side(config), config.resolution)


def _resize_frames(images: Images, sizes: Sizes, config: FineTuneConfig) -> Images:
    return _to_pixels(resize_images(images, sizes, _resized_side(config)))


def _resized_side(config: FineTuneConfig) -> int:
    return round(config.resize_factor * config.resolution)


def _draw_padded(rng: np.random.Generator, sizes: Sizes, config: FineTuneConfig) -> npt.NDArray[np.int64]:
    return corner_boxes(rng, len(sizes), config.resolution + 2 * config.crop_padding, config.resolution)


def _pad_frames(images: Images, sizes: Sizes, config: FineTuneConfig) -> Images:
    return _to_pixels(F.pad(resize_images(images, sizes, config.resolution), [config.crop_padding]))


def _to_pixels(images: Tensor) -> Images:
    return [image.permute(1, 2, 0).numpy() for image in images]


TRAIN_CROPS = {
    "random_resized": TrainCrop(lambda rng, sizes, config: random_resized_boxes(rng, sizes, config.crop_scale)),
    "resized": TrainCrop(_draw_resized, _resize_frames),
    "padded": TrainCrop(_draw_padded, _pad_frames),
    "none": TrainCrop(lambda rng, sizes, config: whole_boxes(sizes)),
}


def draw_crops(config: FineTuneConfig, step: int, sizes: Sizes) -> Crops:
    """Draw the crops and flips of training step `step` (from 0) for images of `sizes` (B, 2)."""
    rng = make_rng(config.seed, Stream.CROPS, step)
    boxes = TRAIN_CROPS[config.train_crop].draw_boxes(rng, sizes, config)
    flips = rng.random(len(sizes)) < 0.5 if config.hflip else np.zeros(len(sizes), dtype=bool)
    return Crops(boxes, flips)


def crop_train_images(config: FineTuneConfig, images: Images, sizes: Sizes, crops: Crops) -> Tensor:
    """Crop training images (H, W, C) from the frames that the config asks for: (B, C, R, R) uint8."""
    frames = TRAIN_CROPS[config.train_crop].make_frames(images, sizes, config)
    return crop_images(frames, crops, config.resolution)


def resize_images(images: Images, sizes: Sizes, resolution: int) -> Tensor:
    """Resize whole images (H, W, C) of `sizes` (B, 2), without keeping the aspect ratio: (B, C, R, R) uint8."""
    return crop_images(images, Crops(whole_boxes(sizes), np.zeros(len(sizes), bool)), resolution)


def crop_images(images: Images, crops: Crops, resolution: int) -> Tensor:
    """Cut a box from each image (H, W, C), resize it (bilinear, antialiased), flip it or not: (B, C, R, R) uint8.

    Images are consumed a few at a time, so that those decoded on the fly need not all fit in memory.
    """
    corners = zip(images, crops.boxes.tolist(), strict=True)
    cuts = (image[top : top + height, left : left + width] for image, (top, left, height, width) in corners)
    first = next(cuts)
    channels = first.shape[2]
    out = np.empty((len(crops.boxes), channels, resolution, resolution), np.uint8)
    largest = max(resolution**2, *crops.boxes[:, 2:].prod(axis=1).tolist())
    group_size = max(1, MAX_RESIZE_BYTES // (channels * largest))
    group = [first, *islice(cuts, group_size - 1)]
    for start in range(0, len(out), group_size):
        part = slice(start, start + group_size)
        _resize(group, crops.flips[part].tolist(), out[part])
        group = list(islice(cuts, group_size))
    return torch.from_numpy(out)


def _resize(cuts: Sequence[npt.NDArray[np.uint8]], flips: Sequence[bool], out: npt.NDArray[np.uint8]) -> None:
    """Resize images (H, W, C) into `out` (n, C, R, R), flipped or not, bit for bit as torchvision's `resize`.

    torchvision resizes rows, rounds, then resizes columns. Rows do not mix, nor do columns. So all images of one
    width are one call here, then all of one height: a call takes longer than a small image. Channels become planes
    where there are fewest pixels.
    """
    _, channels, resolution, _ = out.shape
    rows: dict[int, npt.NDArray[np.uint8]] = {}
    for width, indices in _group_indices([cut.shape[1] for cut in cuts]).items():
        stacked = np.concatenate([cuts[index] for index in indices])
        resized = _interpolate(stacked.reshape(1, -1, width, channels), len(stacked), resolution)[0]
        top = 0
        for index in indices:
            rows[index] = resized[top : top + len(cuts[index])]
            top += len(cuts[index])
    for height, indices in _group_indices([len(cut) for cut in cuts]).items():
        if height < resolution:
            planes = np.array([_to_planes(rows[index], flips[index]) for index in indices])
            resized = _resize_columns(planes.reshape(-1, height, resolution), resolution)
            out[indices] = resized.reshape(-1, channels, resolution, resolution)
        else:
            pixels = np.array([rows[index] for index in indices])
            resized = _resize_columns(pixels.reshape(-1, height, resolution * channels), resolution)
            for index, image in zip(indices, resized.reshape(-1, resolution, resolution, channels), strict=True):
                out[index] = _to_planes(image, flips[index])


def _to_planes(pixels: npt.NDArray[np.uint8], flip: bool) -> npt.NDArray[np.uint8]:
    """Return a view (C, H, W), flipped or not, of pixels (H, W, C)."""
    planes = pixels.transpose(2, 0, 1)
    return planes[..., ::-1] if flip else planes


def _resize_columns(columns: npt.NDArray[np.uint8], height: int) -> npt.NDArray[np.uint8]:
    """Resize columns (n, H, W) to (n, height, W). Passing four as the channels of a pixel is fastest."""
    num_images, old_height, width = columns.shape
    channels = gcd(width, 4)
    pixels = columns.reshape(num_images, old_height, width // channels, channels)
    return _interpolate(pixels, height, width // channels).reshape(num_images, height, width)


def _group_indices(sizes: Sequence[int]) -> dict[int, list[int]]:
    groups = defaultdict(list)
    for index, size in enumerate(sizes):
        groups[size].append(index)
    return groups


def _interpolate(pixels: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """Resize images (n, H, W, C) to (n, height, width, C), bilinear and antialiased."""
    channels_first = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    resized = nn.functional.interpolate(channels_first, (height, width), mode="bilinear", antialias=True)
    return resized.permute(0, 2, 3, 1).numpy()
