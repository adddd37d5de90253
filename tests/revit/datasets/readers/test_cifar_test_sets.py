"""Test sets for CIFAR in small files of the real formats."""

import io
from pathlib import Path

import numpy as np
import pytest

from revit.datasets.image_store import ImageStore, open_store
from revit.datasets.readers.cifar_test_sets import CIFAR10_NAMES, CIFAR100_NAMES
from revit.datasets.registry import CORRUPTIONS, TEST_SETS
from revit.errors import InputError, MissingInputError
from tests.revit.datasets.sample_files import publish, tar_of

RNG = np.random.default_rng(0)
NUM_IMAGES = 3


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def drawn(count: int) -> np.ndarray:
    return RNG.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def opened(name: str, contents: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageStore:
    """Return the store of a test set whose published files these are."""
    publish(monkeypatch, name, contents)
    for path, content in contents.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    return open_store(name, data_dir=tmp_path, cache_dir=tmp_path / "cache")


def of_cifar10_1(images: np.ndarray, labels: np.ndarray) -> dict[str, bytes]:
    names = [file.path for file in TEST_SETS["cifar10.1"].files]
    return dict(zip(names, (npy(images), npy(labels)), strict=True))


def test_cifar10_1_is_its_two_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = drawn(20), np.arange(20, dtype=np.int32) % 10
    store = opened("cifar10.1", of_cifar10_1(images, labels), tmp_path, monkeypatch)
    assert np.array_equal(np.stack([store.image(index) for index in range(20)]), images)
    assert store.labels.tolist() == labels.tolist()
    assert store.is_test.all()
    assert list(store.manifest.class_names) == CIFAR10_NAMES
    assert store.folder.name.startswith("cifar10.1-")
    with pytest.raises(InputError, match="it has test images only, and can be named in test_sets alone"):
        store.split(0.1, 1.0, 0)


def test_files_of_the_published_shapes_have_the_published_sizes() -> None:
    """TensorFlow Datasets states 6,144,128 and 8,128 bytes for CIFAR-10.1 v6."""
    sizes = [len(npy(np.zeros((2000, 32, 32, 3), np.uint8))), len(npy(np.zeros(2000, np.int32)))]
    assert sizes == [6_144_128, 8_128]
    assert TEST_SETS["cifar10.1"].num_test == 2000


@pytest.mark.parametrize(("folder", "class_names"), [("CIFAR-10-C", CIFAR10_NAMES), ("CIFAR-100-C", CIFAR100_NAMES)])
def test_a_corruption_at_a_severity_is_its_fifth_of_the_file(
    folder: str, class_names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = {each: drawn(5 * NUM_IMAGES) for each in ("fog", "snow")}
    labels = np.tile(np.array([7, 0, len(class_names) - 1], np.uint8), 5)
    members = {f"{folder}/{each}.npy": npy(array) for each, array in images.items()}
    archive = {f"{folder}.tar": tar_of({**members, f"{folder}/labels.npy": npy(labels)})}
    for corruption, severity in (("fog", 1), ("snow", 5)):
        name = f"cifar{len(class_names)}_c-{corruption}-{severity}"
        store = opened(name, archive, tmp_path, monkeypatch)
        expected = images[corruption][(severity - 1) * NUM_IMAGES :][:NUM_IMAGES]
        assert np.array_equal(np.stack([store.image(index) for index in range(len(store))]), expected)
        assert store.labels.tolist() == [7, 0, len(class_names) - 1]
        assert list(store.manifest.class_names) == class_names
    with pytest.raises(InputError, match=rf"{folder}.tar has no {folder}/frost.npy"):
        opened(f"cifar{len(class_names)}_c-frost-1", archive, tmp_path, monkeypatch)


def test_other_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingInputError, match=r"cifar10\.1 not found: searched .*cifar10\.1_v6_data\.npy"):
        open_store("cifar10.1", data_dir=tmp_path, cache_dir=tmp_path / "cache")
    with pytest.raises(InputError, match=r"has images \(3, 32, 32, 3\) uint8 and labels \(2,\)"):
        opened("cifar10.1", of_cifar10_1(drawn(3), np.zeros(2, np.int32)), tmp_path, monkeypatch)
    contents = of_cifar10_1(drawn(3), np.zeros(3, np.int32))
    opened("cifar10.1", contents, tmp_path, monkeypatch)
    path = tmp_path / next(iter(contents))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(InputError, match=r"has the SHA256 .*; must be .*, as published: download it again"):
        open_store("cifar10.1", data_dir=tmp_path, cache_dir=tmp_path / "cache")


def test_the_class_names_are_those_of_cifar() -> None:
    assert (len(set(CIFAR10_NAMES)), len(set(CIFAR100_NAMES))) == (10, 100)
    assert sorted(CIFAR100_NAMES) == CIFAR100_NAMES, "CIFAR-100 numbers its classes in the order of their names"
    assert len(CORRUPTIONS) == 19
