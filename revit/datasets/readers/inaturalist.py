"""iNaturalist of a year: annotations in JSON, as COCO has them; a folder of photographs for each species."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from revit.datasets.readers.base import Contents, Reader, Sample, Split, missing_dataset
from revit.datasets.readers.images import ImageFile
from revit.datasets.registry import DATASETS
from revit.errors import InputError, first_line

SPLITS: tuple[Split, Split] = ("train", "test")
"""Splits of the two files of annotations. Published numbers are those of the validation images."""


def inaturalist_reader(name: str, year: int) -> Reader:
    """Return the reader of one year."""
    annotations = [f"train{year}.json", f"val{year}.json"]
    images = f"train_val{year}"

    def find(data_dir: Path) -> list[Path]:
        """Return the annotations, then the folder of each species: its time changes with the images in it."""
        folder = data_dir / name
        tables = [folder / each for each in annotations]
        species = sorted(path for path in (folder / images).glob("*/*") if path.is_dir())
        if not all(path.is_file() for path in tables) or not species:
            expected = ", ".join([*annotations, f"{images}/*/*/*.jpg"])
            raise missing_dataset(name, [folder], expected=expected, source=DATASETS[name].page)
        return [*tables, *species]

    return Reader(find, read_inaturalist)


def read_inaturalist(files: list[Path]) -> Contents:
    """Read the images that the annotations name: training, then validation, in their order.

    Classes are in the order of their ids.

    Raises:
        InputError: a file of annotations cannot be read, or the two have different categories; names it.
    """
    train, val = (_read_annotations(path) for path in files[:2])
    if train.class_names != val.class_names:
        raise InputError(f"{files[1]} has other categories than {files[0]}")
    return list(train.class_names.values()), _samples(files[0].parent, train, val)


class _Annotations(NamedTuple):
    """Class names by id in the order of ids, and the path with the id of the class of each image."""

    class_names: dict[int, str]
    images: list[tuple[str, int]]


def _read_annotations(path: Path) -> _Annotations:
    try:
        table: dict[str, list[dict[str, Any]]] = json.loads(path.read_bytes())
        class_names = {int(each["id"]): str(each["name"]) for each in table["categories"]}
        paths = {int(each["id"]): str(each["file_name"]) for each in table["images"]}
        images = [(paths[each["image_id"]], int(each["category_id"])) for each in table["annotations"]]
        if unknown := {category for _, category in images} - class_names.keys():
            raise ValueError(f"no category has the id {min(unknown)}")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is not a readable file of annotations: {first_line(error)}") from error
    return _Annotations(dict(sorted(class_names.items())), images)


def _samples(folder: Path, *parts: _Annotations) -> Iterator[Sample]:
    for split, (class_names, images) in zip(SPLITS, parts, strict=True):
        labels = {category: label for label, category in enumerate(class_names)}
        for name, category in images:
            path = folder / name
            yield Sample(ImageFile(str(path), path), labels[category], split)
