"""The interface of a reader, with the helpers that all readers share."""

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
    """One image, as (H, W, C) uint8 with C 1 or 3 or as a file, its class, and its published split."""

    image: npt.NDArray[np.uint8] | ImageFile
    label: int
    split: Split


Contents = tuple[list[str], Iterator[Sample]]
"""Class names, and an iterator over every sample."""


class Reader(NamedTuple):
    """Two functions that read one dataset.

    Attributes:
        find: takes the dataset directory, returns the files; raises MissingInputError where they are missing.
        read: takes those files, returns their contents.
    """

    find: Callable[[Path], list[Path]]
    read: Callable[[list[Path]], Contents]


def package_folder(package: str) -> Path:
    """Return the folder of an installed package, without importing it."""
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None, f"{package} is a dependency"
    return Path(spec.origin).parent


def missing_dataset(name: str, searched: list[Path], *, expected: str = "", source: str = "") -> MissingInputError:
    """Return the error of a registered dataset that is in none of the searched places."""
    spec = DATASETS[name]
    is_fetchable = bool(spec.files) or spec.hub is not None
    return MissingInputError("dataset", name, searched, expected=expected, source=source, is_fetchable=is_fetchable)
