"""Fashion-MNIST in the idx files of its authors, torchvision or Debian."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from revit.datasets.readers.base import Contents, Sample, Split, missing_dataset
from revit.errors import InputError

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
FASHION_MNIST_CLASSES = [
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
]  # fmt: skip
FASHION_MNIST_FILES = (
    "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz",
)  # fmt: skip

MAX_UNPACKED_BYTES = 1 << 26
"""A file that unpacks to more is refused: the largest of the published ones has 47 MB."""


def find_fashion_mnist(data_dir: Path) -> list[Path]:
    """Return the four idx files from torchvision's folder or Debian's package."""
    folders = [data_dir / "FashionMNIST" / "raw", DEBIAN_FASHION_MNIST]
    for folder in folders:
        files = [folder / name for name in FASHION_MNIST_FILES]
        if all(path.is_file() for path in files):
            return files
    raise missing_dataset("fashion_mnist", folders, source="Debian's package dataset-fashion-mnist")


def read_fashion_mnist(files: list[Path]) -> Contents:
    """Read 28x28 gray images from the four files, in the order of FASHION_MNIST_FILES."""
    return FASHION_MNIST_CLASSES, _idx_samples(files)


def _idx_samples(files: list[Path]) -> Iterator[Sample]:
    splits: tuple[Split, Split] = ("train", "test")
    for split, (image_file, label_file) in zip(splits, (files[:2], files[2:]), strict=True):
        images, labels = read_idx(image_file)[..., np.newaxis], read_idx(label_file)
        if len(images) != len(labels):
            raise InputError(f"{image_file} has {len(images)} images and {label_file} {len(labels)} labels")
        for image, label in zip(images, labels, strict=True):
            yield Sample(image, int(label), split)


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Read an array in the idx format of MNIST: 0, 0, type 8 (uint8), rank, big-endian sizes, values.

    Raises:
        InputError: the file is damaged, or is not an idx file of bytes.
    """
    try:
        with gzip.open(path) as file:
            content = file.read(MAX_UNPACKED_BYTES + 1)
        if len(content) > MAX_UNPACKED_BYTES:
            raise ValueError(f"it unpacks to more than {MAX_UNPACKED_BYTES:,} bytes")
        if content[:3] != b"\0\0\x08":
            raise ValueError("its header is not that of an idx file of bytes")
        rank = content[3]
        shape = np.frombuffer(content, ">u4", count=rank, offset=4).astype(int)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise InputError(f"{path} is not a readable idx file: {error}") from error
