"""What a reader is, and what all of them share."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from revit.datasets.readers.images import ImageFile
from revit.datasets.registry import DATASETS
from revit.errors import MissingInputError

Split = Literal["train", "test", "unsplit"]


class Sample(NamedTuple):
    """One image, (H, W, C) uint8 with C 1 or 3 or its file, its class, and the split its publisher put it in."""

    image: npt.NDArray[np.uint8] | ImageFile
    label: int
    split: Split


Contents = tuple[list[str], Iterator[Sample]]
"""The names of the classes, and every sample."""


class Reader(NamedTuple):
    """How one dataset is read.

    Attributes:
        find: the files it consists of, given the folder of datasets. Raises InputError when absent.
        read: class names, and an iterator over every sample, given those files.
    """

    find: Callable[[Path], list[Path]]
    read: Callable[[list[Path]], Contents]


def package_folder(package: str) -> Path:
    """Where an installed package lies, found without importing it."""
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None, f"{package} is a dependency"
    return Path(spec.origin).parent


def missing_dataset(name: str, searched: list[Path], *, expected: str = "", source: str = "") -> MissingInputError:
    """Return the error of a registered dataset that is in none of the searched places."""
    spec = DATASETS[name]
    is_fetchable = bool(spec.files) or spec.hub is not None
    return MissingInputError("dataset", name, searched, expected=expected, source=source, is_fetchable=is_fetchable)
