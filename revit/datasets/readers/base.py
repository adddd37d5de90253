"""The interface of a reader, with the helpers that all readers share."""

import tarfile
from collections.abc import Callable, Collection, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from revit.datasets.readers.images import ImageFile
from revit.datasets.registry import SPECS
from revit.download import digest_of
from revit.errors import InputError, MissingInputError

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


def downloaded_reader(name: str, read: Callable[[list[Path]], Contents]) -> Reader:
    """Return the reader of files that `revit.download` gets, of which only the published ones reach `read`."""

    def find(data_dir: Path) -> list[Path]:
        files = [data_dir / file.path for file in SPECS[name].files]
        if not all(path.is_file() for path in files):
            raise missing_dataset(name, files)
        return files

    def read_published(files: list[Path]) -> Contents:
        for path, file in zip(files, SPECS[name].files, strict=True):
            algorithm, published = file.checksum
            digest = digest_of(path, algorithm)
            if digest != published:
                raise InputError(
                    f"{path} has the {algorithm.upper()} {digest}; must be {published}, as published: download it again"
                )
        return read(files)

    return Reader(find, read_published)


def read_members(archive: Path, names: Collection[str]) -> dict[str, bytes]:
    """Return the content of the named files of a .tar or .tar.gz, in memory: nothing is unpacked to disk."""
    contents = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.name in names else None
            if file is not None:
                contents[member.name] = file.read()
    return contents


def package_folder(package: str) -> Path:
    """Return the folder of an installed package, without importing it."""
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None, f"{package} is a dependency"
    return Path(spec.origin).parent


def missing_dataset(name: str, searched: list[Path], *, expected: str = "", source: str = "") -> MissingInputError:
    """Return the error of a registered dataset that is in none of the searched places."""
    spec = SPECS[name]
    is_fetchable = bool(spec.files) or spec.hub is not None
    return MissingInputError("dataset", name, searched, expected=expected, source=source, is_fetchable=is_fetchable)
