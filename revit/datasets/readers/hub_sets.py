"""Published datasets in the folder of their name: tables as on the Hugging Face hub, or train/CLASS with test/CLASS.

A table is a Parquet file with a struct `image`, which has bytes, and an integer `label`.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from revit.datasets.readers.base import Contents, Sample, Split, missing_dataset
from revit.datasets.readers.image_folders import images_in, read_image_folder, split_folders
from revit.datasets.readers.images import ImageFile
from revit.datasets.registry import DATASETS
from revit.errors import InputError, first_line
from revit.paths import check_regular

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

BATCH_ROWS = 64
TABLE_FOLDERS = (".", "data", "default")
"""Folders of a repository that may hold the tables: its root, `data/`, or the hub's own `default/SPLIT/`."""


def find_published(name: str, data_dir: Path) -> list[Path]:
    """Return the training tables, then the test tables; without tables, every image in train and test."""
    folder = data_dir / name
    for root in (folder / each for each in TABLE_FOLDERS):
        tables = [
            sorted([*root.glob(f"{split}-*.parquet"), *(root / split).glob("[!.]*.parquet")])
            for split in ("train", "test")
        ]
        if all(tables):
            return [path for part in tables for path in part]
    for root in (folder, folder / "data"):
        images = {split: images_in(part) for split, part in split_folders(root).items()}
        if images.keys() == {"train", "test"} and all(images.values()):
            return [*images["train"], *images["test"]]
    raise missing_dataset(
        name,
        [folder],
        expected="train/CLASS/*.jpg and test/CLASS/*.jpg, or train-*.parquet and test-*.parquet",
        source=DATASETS[name].page,
    )


def read_published(files: list[Path]) -> Contents:
    """Read every sample of the files that `find_published` returns.

    Class names of tables come from their metadata, or else are numbers, at most one per row.

    Raises:
        InputError: a file is not such a table, or names other classes than the first; names it.
    """
    if files[0].suffix != ".parquet":
        return read_image_folder(Path(os.path.commonpath(files)), files)
    heads = {path: _head(path) for path in files}
    class_names = heads[files[0]].class_names
    for path, head in heads.items():
        if head.class_names != class_names:
            raise InputError(f"{path} names other classes than {files[0]}")
    labels = [label for head in heads.values() for label in head.labels]
    numbers = [str(label) for label in range(min(max(labels) + 1, len(labels)))]
    return class_names or numbers, _samples(heads)


class _Head(NamedTuple):
    """The class of each row of a table, and the class names where it has them."""

    labels: list[int]
    class_names: list[str]


def _head(path: Path) -> _Head:
    import pyarrow
    from pyarrow.types import is_binary, is_integer, is_large_binary, is_struct

    with _open(path) as table:
        schema = table.schema_arrow
        types = {each.name: each.type for each in schema}
        image = types.get("image", pyarrow.null())
        parts = {each.name: each.type for each in image} if is_struct(image) else {}
        has_bytes = "bytes" in parts and (is_binary(parts["bytes"]) or is_large_binary(parts["bytes"]))
        if not has_bytes or "label" not in types or not is_integer(types["label"]):
            right = "'image' of bytes, 'label' of whole numbers"
            raise InputError(f"{path} has the columns {', '.join(types)}; must have {right}")
        labels = table.read(columns=["label"]).column("label").to_pylist()
    if not labels or None in labels:
        raise InputError(f"{path} has no rows, or rows without a label")
    return _Head(labels, _class_names((schema.metadata or {}).get(b"huggingface", b"{}")))


def _class_names(metadata: bytes) -> list[str]:
    """Return the class names in the metadata of the `datasets` library, or none."""
    try:
        names = json.loads(metadata)["info"]["features"]["label"]["names"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []


def _samples(heads: dict[Path, _Head]) -> Iterator[Sample]:
    for path, head in heads.items():
        split: Split = "train" if path.name.startswith("train-") or path.parent.name == "train" else "test"
        for row, (content, label) in enumerate(zip(_contents(path), head.labels, strict=True)):
            yield Sample(ImageFile(f"{path}, row {row}", content), label, split)


def _contents(path: Path) -> Iterator[bytes | None]:
    """Yield the image file in each row, with BATCH_ROWS rows in memory at a time."""
    with _open(path) as table:
        for batch in table.iter_batches(BATCH_ROWS, columns=["image"]):
            for image in batch.column("image").to_pylist():
                yield None if image is None else image["bytes"]


@contextmanager
def _open(path: Path) -> Iterator["ParquetFile"]:
    """Open a table; turn any error of the parser into an InputError that names the file."""
    from pyarrow.parquet import ParquetFile

    try:
        check_regular(path)
        with ParquetFile(path) as table:
            yield table
    except InputError:
        raise
    except Exception as error:  # Arrow raises errors of many types on a damaged file
        raise InputError(f"{path} is not a readable parquet file: {first_line(error)}") from error
