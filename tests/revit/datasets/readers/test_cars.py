"""Stanford Cars in small files of the real format, against torchvision reading the same files."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torchvision
from scipy.io import savemat

from revit.datasets.image_store import ImageStore, open_store
from revit.datasets.readers.cars import CLASS_TABLE, IMAGE_FOLDERS, TABLES
from revit.errors import BrokenImagesError, InputError, MissingInputError
from tests.revit.datasets.sample_files import image_file

CLASSES = ["AM General Hummer SUV 2000", "Acura RL Sedan 2012", "Ram C/V Cargo Van Minivan 2012"]
FIELDS = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")
LABELS = {"train": (3, 1, 2, 2), "test": (2, 3)}


def write_annotations(path: Path, labels: tuple[int, ...]) -> None:
    """Write a vector of records, (1, n), as MATLAB writes it."""
    table = np.empty((1, len(labels)), [(field, object) for field in FIELDS])
    for number, label in enumerate(labels):
        table[0, number] = (1, 2, 30, 40, label, f"{len(labels) - number:05d}.jpg")
    savemat(path, {"annotations": table})


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "stanford_cars"
    (folder / "devkit").mkdir(parents=True)
    savemat(folder / "devkit" / "cars_meta.mat", {"class_names": np.array([CLASSES], object)})
    write_annotations(folder / "devkit" / "cars_train_annos.mat", LABELS["train"])
    write_annotations(folder / "cars_test_annos_withlabels.mat", LABELS["test"])
    for split, labels in LABELS.items():
        (folder / f"cars_{split}").mkdir()
        for number in range(1, len(labels) + 1):
            (folder / f"cars_{split}" / f"{number:05d}.jpg").write_bytes(image_file("jpeg", 9 + number))
    return folder.parent


def opened(data_dir: Path) -> ImageStore:
    return open_store("cars", data_dir=data_dir, cache_dir=data_dir.parent / "cache")


def test_cars_are_what_torchvision_reads(data_dir: Path) -> None:
    store = opened(data_dir)
    assert len(store) == 6
    for split, is_test in (("train", False), ("test", True)):
        oracle = torchvision.datasets.StanfordCars(data_dir, split=split)
        for index, (image, label) in zip(np.flatnonzero(store.is_test == is_test), oracle, strict=True):
            assert np.array_equal(store.image(index), np.asarray(image))
            assert store.labels[index] == label
    assert torchvision.datasets.StanfordCars(data_dir).classes == CLASSES == list(store.manifest.class_names)


@pytest.mark.parametrize(
    "gone",
    [CLASS_TABLE, *TABLES.values(), *IMAGE_FOLDERS.values()],
)
def test_without_one_of_its_parts_it_is_not_found(data_dir: Path, gone: str) -> None:
    path = data_dir / "stanford_cars" / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(MissingInputError, match=rf"cars not found: searched .*stanford_cars for .*{gone}.*; available"):
        opened(data_dir)


def test_a_photograph_that_is_missing_is_named(data_dir: Path) -> None:
    (data_dir / "stanford_cars" / "cars_test" / "00002.jpg").unlink()
    with pytest.raises(BrokenImagesError, match=r"cars has 1 broken images: the image .*cars_test/00002\.jpg cannot"):
        opened(data_dir)


@pytest.mark.parametrize("name", ["devkit/cars_meta.mat", "devkit/cars_train_annos.mat"])
def test_a_damaged_table_is_named(data_dir: Path, name: str) -> None:
    path = data_dir / "stanford_cars" / name
    whole = path.read_bytes()
    other = data_dir / "other.mat"
    savemat(other, {"annotations": np.zeros(3)})
    for content in (b"", whole[:-40], whole[: len(whole) // 2], b"<html>", other.read_bytes()):
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"{name} is not a readable table of Stanford Cars: "):
            opened(data_dir)
