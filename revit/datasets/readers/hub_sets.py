"""Published datasets in the folder of their name: Parquet tables, or train/CLASS with test/CLASS."""

import os
from pathlib import Path

from revit.datasets.readers.base import Contents, Split, missing_dataset
from revit.datasets.readers.image_folders import images_in, read_image_folder, split_folders
from revit.datasets.readers.parquet import find_tables, read_tables
from revit.datasets.registry import DATASETS


def find_published(name: str, data_dir: Path) -> list[Path]:
    """Return the training tables, then the test tables; without tables, every image in train and test."""
    folder = data_dir / name
    tables = find_tables(folder)
    if tables:
        return [*tables["train"], *tables["test"]]
    for root in (folder, folder / "data"):
        images = {split: images_in(part) for split, part in split_folders(root).items()}
        if images.keys() == {"train", "test"} and all(images.values()):
            return [*images["train"], *images["test"]]
    page = DATASETS[name].page
    raise missing_dataset(
        name,
        [folder],
        expected="train/CLASS/*.jpg and test/CLASS/*.jpg, or train-*.parquet and test-*.parquet",
        source=f"{page} (after a login)" if page else "",
    )


def read_published(files: list[Path]) -> Contents:
    """Read every sample of the files that `find_published` returns."""
    if files[0].suffix == ".parquet":
        splits: tuple[Split, Split] = ("train", "test")
        return read_tables({split: [path for path in files if _is_of(path, split)] for split in splits})
    return read_image_folder(Path(os.path.commonpath(files)), files)


def _is_of(table: Path, split: Split) -> bool:
    return table.name.startswith(f"{split}-") or table.parent.name == split
