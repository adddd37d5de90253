"""Flowers-102 in small files of the real format, against torchvision reading the same files."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torchvision
from PIL import Image
from scipy.io import savemat

from revit.datasets.image_store import ImageStore, open_store
from revit.datasets.readers.flowers import FLOWER_NAMES
from revit.datasets.registry import DATASETS
from revit.errors import InputError
from tests.revit.datasets.sample_files import packed, publish, tar_of

COUNT = 24
TABLES = {
    "trnid": np.array([[5, 3, 20, 7, 11]], np.uint16),
    "valid": np.array([[1, 2, 24]], np.uint16),
    "tstid": np.array([[22, 4, 6, 8, 9, 10, 12]], np.uint16),
}
LABELS = np.array([[1 + (number * 17) % 102 for number in range(COUNT)]], np.uint8)


def jpeg(number: int) -> bytes:
    """A photograph of its own size, as the real ones have."""
    pixels = np.random.default_rng(number).integers(0, 256, (20 + number, 30, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "jpeg")
    return file.getvalue()


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small files instead of the published ones, packed, with torchvision's unpacked copy beside them."""
    folder = tmp_path / "data" / "flowers-102"
    (folder / "jpg").mkdir(parents=True)
    savemat(folder / "imagelabels.mat", {"labels": LABELS})
    savemat(folder / "setid.mat", TABLES)
    photographs = {f"jpg/image_{number:05d}.jpg": jpeg(number) for number in range(COUNT, 0, -1)}
    (folder / "102flowers.tgz").write_bytes(packed(tar_of(photographs)))
    for name, content in photographs.items():
        (folder / name).write_bytes(content)
    contents = {f"flowers-102/{path.name}": path.read_bytes() for path in folder.iterdir() if path.is_file()}
    for name in ("flowers102", "flowers102_trainval"):
        publish(monkeypatch, name, contents)
    return tmp_path / "data"


def opened(data_dir: Path, name: str = "flowers102") -> ImageStore:
    return open_store(name, data_dir=data_dir, cache_dir=data_dir.parent / "cache")


@pytest.mark.parametrize(
    ("name", "train_splits"), [("flowers102", ["train"]), ("flowers102_trainval", ["train", "val"])]
)
def test_flowers_are_what_torchvision_reads(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, name: str, train_splits: list[str]
) -> None:
    monkeypatch.setattr("torchvision.datasets.flowers102.check_integrity", lambda *_: True)
    store = opened(data_dir, name)
    for splits, is_test in ((train_splits, False), (["test"], True)):
        oracle = [each for split in splits for each in torchvision.datasets.Flowers102(data_dir, split=split)]
        ours = np.flatnonzero(store.is_test == is_test)
        for index, (image, label) in zip(ours, oracle, strict=True):
            assert np.array_equal(store.image(index), np.asarray(image))
            assert store.labels[index] == label
    assert torchvision.datasets.Flowers102.classes == FLOWER_NAMES == list(store.manifest.class_names)


def test_the_published_files_are_torchvisions() -> None:
    known = torchvision.datasets.Flowers102._file_dict.values()
    assert {(Path(file.path).name, file.md5) for file in DATASETS["flowers102"].files} == set(known)


@pytest.mark.parametrize("gone", ["imagelabels.mat", "setid.mat", "102flowers.tgz"])
def test_without_one_of_its_files_it_is_not_found(data_dir: Path, gone: str) -> None:
    (data_dir / "flowers-102" / gone).unlink()
    with pytest.raises(InputError, match=rf"flowers102 not found: searched .*{gone}"):
        opened(data_dir)
