"""Writing an image store: every image is decoded once, and what is kept of each is written one after the other."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from revit.datasets.readers.base import Sample
from revit.datasets.readers.images import ImageFile, decode_image
from revit.datasets.splits import test_part
from revit.errors import InputError

STORE_VERSION = 1
"""Part of every digest, and so of every trial's identity: it changes with what a store's pixels mean."""

MAX_DECODED_BYTES = 4 * 2**20
"""An image with more bytes of pixels (1.4 megapixels in color) is kept as its file has it, where that is smaller."""

CHANNELS = 3
"""Of an image that comes in a file."""


class Written(NamedTuple):
    """What was written of a dataset.

    Attributes:
        digest: covers pixels, sizes, labels, splits, class names, which images are kept encoded, how many are left out.
        layout: arrays by name: offsets (n+1,) into the file, sizes (n, 2) as H W, labels (n,), is_test (n,).
        num_shared: test images whose very pixels are also those of a training image.
        has_encoded: whether any image is kept as its file has it.
        skipped: why each image that was left out is broken.
    """

    digest: str
    channels: int
    layout: dict[str, npt.NDArray[np.generic]]
    num_shared: int
    has_encoded: bool
    skipped: tuple[str, ...]


def write_images(path: Path, dataset: str, class_names: list[str], samples: Iterator[Sample]) -> Written:
    """Write what is kept of each image to a file; leave broken images out.

    Raises:
        InputError: there is no image, or one that could not be trained on.
    """
    content = hashlib.sha256()
    sizes: list[tuple[int, int]] = []
    labels: list[int] = []
    splits: list[str] = []
    lengths: list[int] = []
    seen: list[bytes] = []
    broken: list[str] = []
    channels = 0
    with path.open("wb") as file:
        for sample, label, part in samples:
            try:
                image, encoded = _decoded(sample)
            except InputError as error:
                broken.append(str(error))
                continue
            _check_sample(dataset, len(sizes), image, label, len(class_names), channels)
            height, width, channels = image.shape
            pixels = np.ascontiguousarray(image).reshape(-1).data
            kept = encoded or pixels
            file.write(kept)
            content.update(pixels)
            sizes.append((height, width))
            labels.append(label)
            splits.append(part)
            lengths.append(len(kept))
            seen.append(_digest_of(height, width, pixels))
    if not sizes:
        reason = f": {broken[0]}" if broken else ""
        raise InputError(f"dataset {dataset} has no images{reason}")
    layout = _layout(np.array(sizes, np.int64), np.array(labels, np.int64), np.array(splits), np.array(lengths))
    for name in sorted(layout):
        content.update(name.encode() + np.ascontiguousarray(layout[name]).tobytes())
    num_skipped = [len(broken)] if broken else []
    content.update(json.dumps([STORE_VERSION, channels, class_names, *num_skipped]).encode())
    return Written(
        digest=content.hexdigest(),
        channels=channels,
        layout=layout,
        num_shared=_num_shared(seen, layout["is_test"]),
        has_encoded=sum(lengths) < sum(height * width * channels for height, width in sizes),
        skipped=tuple(broken),
    )


def kept_bytes(samples: Iterable[Sample]) -> int:
    """Return how many bytes `write_images` will write; decodes no image."""
    return sum(_kept_bytes(sample.image) for sample in samples)


def _kept_bytes(image: npt.NDArray[np.uint8] | ImageFile) -> int:
    if not isinstance(image, ImageFile):
        return image.nbytes
    try:
        num_decoded = CHANNELS * image.num_pixels()
    except InputError:  # it will be left out
        return 0
    num_encoded = image.num_bytes()
    return num_encoded if _stays_encoded(num_decoded, num_encoded) else num_decoded


def _decoded(image: npt.NDArray[np.uint8] | ImageFile) -> tuple[npt.NDArray[np.uint8], bytes]:
    """Return an image (H, W, C), and the content of its file where that is what is kept."""
    if not isinstance(image, ImageFile):
        return image, b""
    content = image.read()
    image.num_pixels()
    pixels = decode_image(content, image.name)
    return pixels, content if _stays_encoded(pixels.nbytes, len(content)) else b""


def _stays_encoded(num_decoded: int, num_encoded: int) -> bool:
    """Return whether an image of so many bytes of pixels, and so many of its file, is kept as the latter."""
    return MAX_DECODED_BYTES < num_decoded > num_encoded


def _check_sample(
    dataset: str, number: int, image: npt.NDArray[np.uint8], label: int, num_classes: int, channels: int
) -> None:
    """Raise InputError where an image could not be trained on, whatever reader it comes from.

    Args:
        number: of the image, counted from 0.
        channels: of the images before it, 0 where it is the first.
    """
    if not 0 <= label < num_classes:
        raise InputError(f"dataset {dataset}: image {number} is of class {label}; there are 0 to {num_classes - 1}")
    usable = image.ndim == 3 and min(image.shape) > 0 and image.shape[2] in ({1, 3} if channels == 0 else {channels})
    if not usable:
        right = "height, width, and 1 or 3 channels, as many in all images"
        raise InputError(f"dataset {dataset}: image {number} has the shape {image.shape}; must be {right}")


def _digest_of(height: int, width: int, pixels: memoryview) -> bytes:
    digest = hashlib.sha256(f"{height} {width} ".encode())
    digest.update(pixels)
    return digest.digest()


def _num_shared(seen: list[bytes], is_test: npt.NDArray[np.generic]) -> int:
    """Test images that equal a training image, given a digest of each image's size and pixels."""
    in_train = {digest for digest, test in zip(seen, is_test, strict=True) if not test}
    return sum(digest in in_train for digest, test in zip(seen, is_test, strict=True) if test)


def _layout(
    sizes: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    splits: npt.NDArray[np.str_],
    lengths: npt.NDArray[np.int64],
) -> dict[str, npt.NDArray[np.generic]]:
    is_test = splits == "test"
    unsplit = np.flatnonzero(splits == "unsplit")
    if len(unsplit):
        is_test[unsplit[test_part(labels[unsplit])]] = True
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return {"sizes": sizes, "labels": labels, "is_test": is_test, "offsets": offsets}
