"""What a reader is, and what all of them share."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from revit.datasets.readers.images import ImageFile
from revit.errors import InputError

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


def not_here(dataset: str, looked: list[Path], *, files: str = "", get_it: str = "") -> InputError:
    """The error of a dataset that is not in any of the places it may lie.

    Args:
        files: what was looked for there.
        get_it: another way to get it than `fetch`.
    """
    places = " and ".join(map(str, looked))
    wanted = f" for {files}" if files else ""
    advice = f"; get it with {get_it}" if get_it else ""
    return InputError(f"dataset {dataset} is not here: looked in {places}{wanted}{advice}")
