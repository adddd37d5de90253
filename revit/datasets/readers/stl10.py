"""STL-10 in its binary files, as a test set for CIFAR-10: its test images of the nine classes that both have."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from revit.datasets.readers.base import Contents, Sample, read_members
from revit.datasets.readers.cifar_test_sets import CIFAR10_NAMES
from revit.errors import InputError

STL10_NAMES = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]
CIFAR10_NAME_OF = {name: name for name in CIFAR10_NAMES} | {"car": "automobile"}
"""Class of CIFAR-10 by name of an STL-10 class. It has no monkeys; STL-10 has no frogs."""
IMAGES, LABELS = "stl10_binary/test_X.bin", "stl10_binary/test_y.bin"
SHAPE = (3, 96, 96)
"""Shape of an image in the file: channels, columns, rows."""


def read_stl10(files: list[Path]) -> Contents:
    """Read the test images, 96x96 in color, whose class CIFAR-10 has.

    Raises:
        InputError: the archive has other files.
    """
    members = read_members(files[0], (IMAGES, LABELS))
    if missing := [name for name in (IMAGES, LABELS) if name not in members]:
        raise InputError(f"{files[0]} has no {missing[0]}")
    labels = np.frombuffer(members[LABELS], np.uint8)
    if len(members[IMAGES]) != len(labels) * np.prod(SHAPE) or not set(labels) <= set(range(1, len(STL10_NAMES) + 1)):
        raise InputError(f"{files[0]} has {len(members[IMAGES]):,} bytes of images and {len(labels):,} labels")
    return CIFAR10_NAMES, _samples(members[IMAGES], labels.tolist())


def _samples(content: bytes, labels: list[int]) -> Iterator[Sample]:
    images = np.frombuffer(content, np.uint8).reshape(-1, *SHAPE).transpose(0, 3, 2, 1)
    for image, number in zip(images, labels, strict=True):
        name = CIFAR10_NAME_OF.get(STL10_NAMES[number - 1])
        if name is not None:
            yield Sample(image, CIFAR10_NAMES.index(name), "test")
