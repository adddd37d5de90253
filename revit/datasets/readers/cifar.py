"""CIFAR-10 or CIFAR-100 in the published pickles, packed or as torchvision unpacks them."""

import io
import pickle
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from revit.datasets.readers.archives import read_members
from revit.datasets.readers.base import Contents, Reader, Sample, Split, missing_dataset
from revit.errors import InputError


class Cifar(NamedTuple):
    """File names and dict keys of one of the two datasets.

    A batch is a file with a pickled dict. The last one is the test split.
    """

    name: str
    archive: str
    folder: str
    batches: tuple[str, ...]
    label_key: str
    meta: str
    names_key: str

    @property
    def files(self) -> list[str]:
        """Return the files inside the archive: the batches in order, then the class names."""
        return [f"{self.folder}/{name}" for name in (*self.batches, self.meta)]


CIFAR10 = Cifar(
    name="cifar10",
    archive="cifar-10-python.tar.gz",
    folder="cifar-10-batches-py",
    batches=(*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"),
    label_key="labels",
    meta="batches.meta",
    names_key="label_names",
)
CIFAR100 = Cifar(
    name="cifar100",
    archive="cifar-100-python.tar.gz",
    folder="cifar-100-python",
    batches=("train", "test"),
    label_key="fine_labels",
    meta="meta",
    names_key="fine_label_names",
)

_RECONSTRUCT = np.empty(0).__reduce__()[0]
ALLOWED_GLOBALS: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}
"""The only names that CIFAR's pickles use. A pickle could name, and call, any function."""


def cifar_reader(cifar: Cifar) -> Reader:
    """Return the reader of CIFAR-10 or CIFAR-100."""
    return Reader(find=partial(find_cifar, cifar), read=partial(read_cifar, cifar))


def find_cifar(cifar: Cifar, data_dir: Path) -> list[Path]:
    """Return the unpacked files, in order, or the archive."""
    unpacked = [data_dir / name for name in cifar.files]
    if all(path.is_file() for path in unpacked):
        return unpacked
    archive = data_dir / cifar.archive
    if archive.is_file():
        return [archive]
    raise missing_dataset(cifar.name, [data_dir / cifar.folder, archive])


def read_cifar(cifar: Cifar, files: list[Path]) -> Contents:
    """Read 32x32 color images.

    Raises:
        InputError: a file is damaged, or is not a CIFAR pickle; names it.
    """
    *batches, (meta_name, meta) = _named_contents(cifar, files)
    class_names = _value(load_pickle(meta, meta_name), cifar.names_key, meta_name)
    if not isinstance(class_names, list) or not all(isinstance(name, str) for name in class_names):
        raise InputError(f"{meta_name}: {cifar.names_key} is not a list of names")
    return class_names, _samples(cifar, batches, len(class_names))


def _named_contents(cifar: Cifar, files: list[Path]) -> list[tuple[str, bytes]]:
    """Return each file's name, as errors show it, with its content, in the order of `Cifar.files`."""
    if len(files) > 1:
        return [(str(path), path.read_bytes()) for path in files]
    [archive] = files
    members = read_members(archive, cifar.files)
    return [(f"{archive}: {name}", members[name]) for name in cifar.files]


def _samples(cifar: Cifar, batches: list[tuple[str, bytes]], num_classes: int) -> Iterator[Sample]:
    for number, (name, content) in enumerate(batches, start=1):
        split: Split = "train" if number < len(batches) else "test"
        images, labels = _batch(load_pickle(content, name), cifar.label_key, name, num_classes)
        for image, label in zip(images, labels, strict=True):
            yield Sample(image, label, split)


def _batch(batch: Any, label_key: str, name: str, num_classes: int) -> tuple[npt.NDArray[np.uint8], list[int]]:
    """Return images (n, 32, 32, 3) and their labels."""
    data, labels = _value(batch, "data", name), _value(batch, label_key, name)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (3 * 32 * 32,):
        raise InputError(f"{name}: data is not an array of 3,072 bytes per image")
    if not isinstance(labels, list) or not all(isinstance(each, int) and 0 <= each < num_classes for each in labels):
        raise InputError(f"{name}: {label_key} is not a list of classes from 0 to {num_classes - 1}")
    if len(data) != len(labels):
        raise InputError(f"{name} has {len(data)} images and {len(labels)} labels")
    return data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels


def _value(record: Any, key: str, name: str) -> Any:
    if not isinstance(record, dict) or key not in record:
        raise InputError(f"{name} lacks {key!r}")
    return record[key]


def load_pickle(content: bytes, name: str) -> Any:
    """Load a pickle written by Python 2 that uses ALLOWED_GLOBALS alone.

    Args:
        name: of the file, for errors.

    Raises:
        InputError: it is damaged, or uses another name.
    """
    try:
        return _Unpickler(io.BytesIO(content), name).load()
    except InputError:
        raise
    except Exception as error:  # a damaged pickle raises the errors of any type in it
        raise InputError(f"{name} is not a readable pickle: {error}") from error


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, name: str) -> None:
        super().__init__(file, encoding="latin1")
        self._name = name

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED_GLOBALS:
            raise InputError(f"{self._name} wants to load {module}.{name}: not a CIFAR pickle, not executed")
        return ALLOWED_GLOBALS[module, name]
