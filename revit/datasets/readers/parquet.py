"""Parquet tables of images as on the Hugging Face hub: a struct `image` with bytes, an integer `label`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from revit.datasets.readers.base import Contents, Sample, Split
from revit.datasets.readers.images import ImageFile
from revit.errors import InputError, first_line
from revit.paths import check_regular

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

BATCH_ROWS = 64
TABLE_FOLDERS = (".", "data", "default")
"""Folders of a repository that may hold the tables: its root, `data/`, or the hub's own `default/SPLIT/`."""


def find_tables(folder: Path) -> dict[Split, list[Path]]:
    """Return the training tables and the test tables below the folder; empty unless there are both."""
    splits: tuple[Split, Split] = ("train", "test")
    for name in TABLE_FOLDERS:
        root = folder / name
        tables = {
            split: sorted([*root.glob(f"{split}-*.parquet"), *(root / split).glob("[!.]*.parquet")]) for split in splits
        }
        if all(tables.values()):
            return tables
    return {}


def read_tables(tables: dict[Split, list[Path]]) -> Contents:
    """Read every row. Class names come from the tables' metadata, or else are numbers, at most one per row.

    Raises:
        InputError: a file is not such a table, or names other classes than the first; names it.
    """
    files = [(path, split) for split, paths in tables.items() for path in paths]
    heads = {path: _head(path) for path, _ in files}
    first = files[0][0]
    for path, head in heads.items():
        if head.class_names != heads[first].class_names:
            raise InputError(f"{path} names other classes than {first}")
    labels = [label for head in heads.values() for label in head.labels]
    class_names = heads[first].class_names or [str(label) for label in range(min(max(labels) + 1, len(labels)))]
    return class_names, _samples(files, heads)


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


def _samples(files: list[tuple[Path, Split]], heads: dict[Path, _Head]) -> Iterator[Sample]:
    for path, split in files:
        for row, (content, label) in enumerate(zip(_contents(path), heads[path].labels, strict=True)):
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
