"""Test sets for models trained on CIFAR: CIFAR-10.1, CIFAR-10-C, CIFAR-100-C, in the published NumPy files.

They state labels only. The class names are those of CIFAR's own archives, in their order.
"""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from revit.datasets.readers.base import Contents, Sample, read_members
from revit.errors import InputError

CIFAR10_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
CIFAR100_NAMES = [
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
    "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock",
    "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish",
    "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion",
    "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange",
    "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine",
    "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk",
    "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank",
    "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale",
    "willow_tree", "wolf", "woman", "worm",
]  # fmt: skip
NUM_SEVERITIES = 5


def read_cifar10_1(files: list[Path]) -> Contents:
    """Read CIFAR-10.1: a file of images (n, 32, 32, 3) uint8, a file of labels (n,)."""
    images, labels = (np.load(path, allow_pickle=False) for path in files)
    return CIFAR10_NAMES, _samples(images, labels, files[0])


def read_corrupted(class_names: list[str], corruption: str, severity: int, files: list[Path]) -> Contents:
    """Read one corruption at one severity from the archive of CIFAR-10-C or CIFAR-100-C.

    The file of a corruption has the test images of CIFAR five times, (5 n, 32, 32, 3) uint8, severity 1 first;
    `labels.npy` is (5 n,).
    """
    names = [f"{files[0].stem}/{corruption}.npy", f"{files[0].stem}/labels.npy"]
    members = read_members(files[0], names)
    if missing := [name for name in names if name not in members]:
        raise InputError(f"{files[0]} has no {missing[0]}")
    images, labels = (np.load(io.BytesIO(members[name]), allow_pickle=False) for name in names)
    count = len(images) // NUM_SEVERITIES
    part = slice((severity - 1) * count, severity * count)
    return class_names, _samples(images[part], labels[part], files[0])


def _samples(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.integer], path: Path) -> Iterator[Sample]:
    if images.dtype != np.uint8 or images.shape[1:] != (32, 32, 3) or labels.shape != (len(images),):
        raise InputError(f"{path} has images {images.shape} {images.dtype} and labels {labels.shape}")
    return (Sample(image, int(label), "test") for image, label in zip(images, labels, strict=True))
