"""Stanford Cars as torchvision has it: two folders of photographs with three MATLAB tables."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from revit.datasets.readers.base import Contents, Sample, Split, missing_dataset
from revit.datasets.readers.images import ImageFile
from revit.datasets.registry import DATASETS
from revit.errors import InputError, first_line

T = TypeVar("T")

CLASS_TABLE = "devkit/cars_meta.mat"
TABLES: dict[Split, str] = {"train": "devkit/cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}
IMAGE_FOLDERS: dict[Split, str] = {"train": "cars_train", "test": "cars_test"}


def find_cars(data_dir: Path) -> list[Path]:
    """Return the table of classes, the tables of training and test images, then every photograph."""
    spec = DATASETS["cars"]
    folder = data_dir / spec.folder
    tables = [folder / each for each in (CLASS_TABLE, *TABLES.values())]
    images = [sorted((folder / each).glob("*.jpg")) for each in IMAGE_FOLDERS.values()]
    if not all(path.is_file() for path in tables) or not all(images):
        expected = [CLASS_TABLE, *TABLES.values(), *(f"{each}/*.jpg" for each in IMAGE_FOLDERS.values())]
        raise missing_dataset("cars", [folder], expected=", ".join(expected), source=spec.page)
    return [*tables, *images[0], *images[1]]


def read_cars(files: list[Path]) -> Contents:
    """Read the photographs that the tables name: training, then test, in their order.

    Raises:
        InputError: a table cannot be read; names it.
    """
    classes, *tables = files[: 1 + len(TABLES)]
    annotations = {split: _read_table(path, _annotations) for split, path in zip(TABLES, tables, strict=True)}
    return _read_table(classes, _class_names), _samples(classes.parent.parent, annotations)


def _read_table(path: Path, parse: Callable[[Mapping[str, Any]], list[T]]) -> list[T]:
    from scipy.io import loadmat

    try:
        return parse(loadmat(path))
    except Exception as error:  # scipy raises errors of many types on a damaged file
        raise InputError(f"{path} is not a readable table of Stanford Cars: {first_line(error)}") from error


def _class_names(table: Mapping[str, Any]) -> list[str]:
    return [str(name.item()) for name in table["class_names"].ravel()]


def _annotations(table: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return the file name and the label of each photograph; the file counts classes from 1."""
    rows = table["annotations"].ravel()
    return [(str(row["fname"].item()), int(row["class"].item()) - 1) for row in rows]


def _samples(folder: Path, annotations: dict[Split, list[tuple[str, int]]]) -> Iterator[Sample]:
    for split, rows in annotations.items():
        for name, label in rows:
            path = folder / IMAGE_FOLDERS[split] / name
            yield Sample(ImageFile(str(path), path), label, split)
