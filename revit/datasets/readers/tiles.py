"""Datasets of tiles: pictures that installed packages ship, each cut into squares of one class.

A tile is a square of a picture, resized to 32x32. Squares do not overlap. The test split is whole columns of the
grid, so that no pixel is in both splits.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from revit.datasets.readers.base import Reader, Sample, package_folder
from revit.datasets.readers.images import open_image

TILE_SIDE = 32
COLUMNS_PER_TEST_COLUMN = 5
FIRST_TEST_COLUMN = 2
MIN_SPAN = 8
"""Gray levels (of 256) that a channel of a tile must span. Blank tiles are left out."""


class Pictures(NamedTuple):
    """The pictures of one dataset.

    Attributes:
        paths: package, then the file in it; the stem of the file is the class name.
        max_tiles: per picture; the squares are as small as this allows, but at least 32x32.
        mode: of the tiles: L is gray, RGB is color.
    """

    paths: tuple[tuple[str, str], ...]
    max_tiles: int
    mode: Literal["L", "RGB"]


def _skimage(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple(("skimage", f"data/{name}") for name in names)


TEXTURES = Pictures(_skimage("brick.png", "grass.png", "gravel.png"), max_tiles=256, mode="L")
SPECIMENS = Pictures(_skimage("cell.png", "ihc.png", "moon.png", "retina.jpg"), max_tiles=256, mode="RGB")
PHOTOS = Pictures(
    (
        *_skimage(
            "astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "clock_motion.png",
            "coffee.png", "coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png",
            "moon.png", "motorcycle_left.png", "page.png", "retina.jpg", "rocket.jpg", "text.png",
        ),
        ("sklearn", "datasets/images/china.jpg"),
        ("sklearn", "datasets/images/flower.jpg"),
    ),
    max_tiles=100,
    mode="RGB",
)  # fmt: skip


class Square(NamedTuple):
    """A square of a picture: corner and side in pixels, and whether it is in the test split."""

    left: int
    top: int
    side: int
    is_test: bool


def tiles_reader(pictures: Pictures) -> Reader:
    """Return the reader of 32x32 tiles, picture by picture, row by row."""
    return Reader(
        find=lambda _: [package_folder(package) / path for package, path in pictures.paths],
        read=lambda files: ([path.stem for path in files], _samples(pictures, files)),
    )


def cut_squares(width: int, height: int, max_tiles: int) -> list[Square]:
    """Return the grid of squares over a picture of that size, row by row from its corner."""
    side = TILE_SIDE
    while (width // side) * (height // side) > max_tiles:
        side += 1
    return [
        Square(column * side, row * side, side, column % COLUMNS_PER_TEST_COLUMN == FIRST_TEST_COLUMN)
        for row in range(height // side)
        for column in range(width // side)
    ]


def _samples(pictures: Pictures, files: list[Path]) -> Iterator[Sample]:
    from PIL import Image

    for label, path in enumerate(files):
        with open_image(path) as picture:
            whole = picture.convert(pictures.mode)
        for left, top, side, is_test in cut_squares(*whole.size, pictures.max_tiles):
            square = whole.crop((left, top, left + side, top + side))
            tile = np.asarray(square.resize((TILE_SIDE, TILE_SIDE), Image.Resampling.LANCZOS))
            tile = tile.reshape(TILE_SIDE, TILE_SIDE, -1)
            if np.ptp(tile, axis=(0, 1)).max() >= MIN_SPAN:
                yield Sample(tile, label, "test" if is_test else "train")
