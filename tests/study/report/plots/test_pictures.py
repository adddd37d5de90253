"""Pictures against the arrays that went in."""

import numpy as np

from study.report.plots.pictures import plot_attention, plot_filters, plot_samples, plot_similarity
from tests.study.report.plots.drawing import picture_in, pixels_of


def test_filters_are_drawn_pixel_by_pixel() -> None:
    filters = np.random.default_rng(0).integers(0, 256, (16, 4, 4, 3), np.uint8)
    drawn = picture_in(plot_filters({"learned": filters}))
    opaque = drawn[drawn[..., 3] == 255][:, :3]
    assert opaque.shape == (16 * 4 * 4, 3)
    assert np.abs(drawn[:4, :4, :3].astype(int) - filters[0]).max() <= 1


def test_similarity_shows_every_map_in_its_place() -> None:
    maps = np.zeros((3, 3, 3, 3), np.float32)
    for row in range(3):
        for column in range(3):
            maps[row, column, row, column] = 1
    drawn = plot_similarity(maps).data[0].z
    assert drawn.shape == (11, 11)
    assert np.isnan(drawn[3::4]).all(), "a gap between two maps"
    positions = {(int(y), int(x)) for y, x in zip(*np.nonzero(drawn == 1), strict=True)}
    assert positions == {(row * 4 + row, column * 4 + column) for row in range(3) for column in range(3)}


def test_attention_has_a_tile_for_every_layer_and_head() -> None:
    maps = np.full((3, 2, 4, 4), 1 / 17, np.float16)
    image = np.full((8, 8, 1), 200, np.uint8)
    lit = pixels_of(plot_attention(maps, image).data[1])
    side = (lit.shape[0] - 2 * 2) // 3
    assert lit.shape == (3 * side + 2 * 2, 2 * side + 2, 4)
    assert (lit[lit[..., 3] == 255][:, :3] == 200).all(), "uniform attention keeps the image"


def test_attention_lights_its_patch() -> None:
    maps = np.zeros((1, 1, 2, 2), np.float16)
    maps[0, 0, 0, 1] = 1
    image = np.full((2, 2, 3), 100, np.uint8)
    lit = pixels_of(plot_attention(maps, image).data[1])[..., 0]
    half = len(lit) // 2
    assert (lit[:half, half:] == 100).all()
    assert lit[half:, half:].max() < 20, "hardly visible"


def test_samples_leave_the_place_of_a_missing_image_empty() -> None:
    images = [np.full((8, 8, 3), 100, np.uint8)]
    drawn = picture_in(plot_samples({"set": {"cat": images * 2, "dog": images}}))
    assert drawn[0, -1, 3] == 255
    assert drawn[-1, -1, 3] == 0
