"""Published datasets as class folders, against torchvision's ImageFolder."""

from pathlib import Path

import numpy as np
import pytest
import torchvision

from revit.datasets.image_store import ImageStore, open_store
from revit.datasets.readers import reader_for
from revit.errors import InputError
from tests.revit.datasets.sample_files import image_file

NAMES = ["daisy", "rose"]
SIZES = {"train": 5, "test": 3}


def opened(name: str, tmp_path: Path) -> ImageStore:
    return open_store(name, data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        ("brain_tumor_mri", "Training", "Testing"),
        ("plant_health", "train", "test"),
        ("weapons", "data/train", "data/test"),
    ],
)
def test_class_folders_are_what_torchvision_reads(tmp_path: Path, name: str, train: str, test: str) -> None:
    folder = tmp_path / "data" / name
    for part, numbers in ((train, range(6)), (test, range(6, 10)), ("valid", range(10, 12))):
        for number in numbers:
            path = folder / part / NAMES[number % 2] / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image_file("jpeg"))
    store = opened(name, tmp_path)
    assert len(store) == 10, "validation is left out"
    for part, is_test in ((train, False), (test, True)):
        oracle = torchvision.datasets.ImageFolder(folder / part)
        ours = np.flatnonzero(store.is_test == is_test)
        for index, (image, label) in zip(ours, oracle, strict=True):
            assert np.array_equal(store.image(index), np.asarray(image))
            assert store.labels[index] == label
        assert tuple(oracle.classes) == store.manifest.class_names


@pytest.mark.parametrize("there", [[], ["train/daisy/1.png"], ["train/daisy/1.png", "test/notes.txt"], ["x/1.png"]])
def test_without_both_splits_it_is_not_found(tmp_path: Path, there: list[str]) -> None:
    folder = tmp_path / "data" / "plant_health"
    for name in there:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(image_file("png"))
    with pytest.raises(
        InputError, match=r"^dataset plant_health not found: searched .*/plant_health for train/CLASS/.*parquet$"
    ):
        reader_for("plant_health").find(tmp_path / "data")
