"""Mosaics against their tiles."""

import numpy as np

from study.report.plots.mosaic import make_mosaic, make_picture, make_thumbnail
from tests.study.report.plots.drawing import pixels_of


def test_every_tile_of_a_mosaic_is_whole_and_in_its_place() -> None:
    tiles = np.random.default_rng(0).integers(0, 256, (7, 4, 5, 3), dtype=np.uint8)
    picture = make_mosaic(tiles, 3, gap=2)
    assert picture.shape == (3 * 6 - 2, 3 * 7 - 2, 4)
    for index, tile in enumerate(tiles):
        top, left = index // 3 * 6, index % 3 * 7
        assert (picture[top : top + 4, left : left + 5, :3] == tile).all()
        assert (picture[top : top + 4, left : left + 5, 3] == 255).all()
    assert (picture[4:6, :, 3] == 0).all(), "gaps are transparent"


def test_a_thumbnail_of_gray_is_gray_and_opaque() -> None:
    assert (make_thumbnail(np.full((4, 6, 1), 9, np.uint8), 8) == np.full((8, 8, 4), [9, 9, 9, 255])).all()


def test_a_picture_holds_its_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 4), dtype=np.uint8)
    assert (pixels_of(make_picture(pixels)) == pixels).all()
