"""Tiles: squares of pictures, against the same squares cut by NumPy."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from revit.datasets.image_store import ImageStore, open_store
from revit.datasets.readers import READERS, tiles


def opened(name: str, cache_dir: Path) -> ImageStore:
    return open_store(name, data_dir=cache_dir, cache_dir=cache_dir)


TILES = {"textures": tiles.TEXTURES, "specimens": tiles.SPECIMENS, "photos": tiles.PHOTOS}


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
    for path in READERS[name].find(Path()):
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
    index = 0
    for label, path in enumerate(READERS[name].find(Path())):
        picture = picture_of(path, pictures.mode)
        for left, top, side, is_test in tiles.cut_squares(picture.shape[1], picture.shape[0], pictures.max_tiles):
            square = picture[top : top + side, left : left + side].reshape(side, side, -1)
            tile = store.image(min(index, len(store) - 1))
            same = np.array_equal(square, tile) if side == 32 else np.abs(square.mean((0, 1)) - tile.mean((0, 1))) < 1.5
            if np.all(same) and (store.labels[index], store.is_test[index]) == (label, is_test):
                index += 1
            else:
                blank = tiles.MIN_SPAN if side == 32 else 4 * tiles.MIN_SPAN
                assert np.ptp(square, axis=(0, 1)).max() < blank, f"{path.name} at {left}, {top} is left out"
    assert index == len(store)
    assert store.labels.tolist() == sorted(store.labels)
