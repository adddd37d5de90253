"""CIFAR-10 or CIFAR-100 in the published archives of pickles."""

import pickle
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from revit.datasets.readers.base import Contents, Sample, Split, read_members


class Cifar(NamedTuple):
    """Names in one of the two archives.

    A batch is a file with a pickled dict. The last one is the test split.
    """

    folder: str
    batches: tuple[str, ...]
    label_key: str
    meta: str
    names_key: str

    @property
    def files(self) -> list[str]:
        """Return the files in the archive: the batches in order, then the class names."""
        return [f"{self.folder}/{name}" for name in (*self.batches, self.meta)]


CIFAR10 = Cifar(
    folder="cifar-10-batches-py",
    batches=(*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"),
    label_key="labels",
    meta="batches.meta",
    names_key="label_names",
)
CIFAR100 = Cifar(
    folder="cifar-100-python",
    batches=("train", "test"),
    label_key="fine_labels",
    meta="meta",
    names_key="fine_label_names",
)


def read_cifar(cifar: Cifar, files: list[Path]) -> Contents:
    """Read 32x32 color images from the published archive: a pickle could call any function."""
    members = read_members(files[0], cifar.files)
    *batches, meta = (pickle.loads(members[name], encoding="latin1") for name in cifar.files)
    return meta[cifar.names_key], _samples(batches, cifar.label_key)


def _samples(batches: Sequence[Mapping[str, Any]], label_key: str) -> Iterator[Sample]:
    for number, batch in enumerate(batches, start=1):
        split: Split = "train" if number < len(batches) else "test"
        images = batch["data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        for image, label in zip(images, batch[label_key], strict=True):
            yield Sample(image, label, split)
