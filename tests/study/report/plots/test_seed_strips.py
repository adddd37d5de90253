"""The figure of all cells against the values that went in."""

import math

import numpy as np
import pandas as pd
import pytest

from revit.training.metrics import METRICS
from study.report.plots import style
from study.report.plots.seed_strips import plot_cells
from tests.study.report.plots.drawing import NASTY

CELLS = pd.DataFrame({"cell": ["a", NASTY], "mean": [0.8, 0.6], "low": [0.7, math.nan], "high": [0.85, math.nan]})
CELLS = CELLS.assign(n=[3, 1], interval=["over seeds and test images", "over test images, 1 seed"])
SEEDS = pd.DataFrame({"cell": ["a", "a", "a", NASTY], "seed": [0, 1, 2, 0], "value": [0.79, 0.8, 0.81, 0.6]})
PUBLISHED = pd.DataFrame({"cell": ["a", NASTY, "a"], "source": ["paper", "paper", "ViT"], "mean": [0.9, 0.5, 0.95]})


def test_seeds_mean_and_published_values_stand_in_the_row_of_their_cell() -> None:
    figure = plot_cells(CELLS, SEEDS, PUBLISHED, {"a": 1}, METRICS["accuracy"])
    seeds_a, a, _, b, paper, vit = figure.data
    assert np.allclose(seeds_a.x, [79, 80, 81])
    assert list(seeds_a.text) == ["seed 0", "seed 1", "seed 2"]
    assert (a.x[0], b.x[0]) == pytest.approx((80, 60))
    assert a.error_x.array[0] == pytest.approx(5, abs=1e-4)
    assert (a.error_x.visible, b.error_x.visible) == (True, False)
    assert (a.marker.color, b.marker.color) == (style.color(1), style.TEXT)
    assert list(paper.y) == [a.y[0], b.y[0]]
    assert np.allclose(vit.x, [95])
    assert paper.marker.symbol != vit.marker.symbol
    assert a.y[0] < seeds_a.y[0] < b.y[0], "seeds below their mean"


def test_the_caption_says_whether_values_are_published() -> None:
    captions = [
        plot_cells(CELLS, SEEDS, published, {}, METRICS["accuracy"]).layout.meta["caption"]
        for published in (PUBLISHED, PUBLISHED[:0])
    ]
    assert ["published" in caption for caption in captions] == [True, False]


def test_many_cells_are_for_looking_up() -> None:
    many = pd.DataFrame({"cell": [f"cell {n}" for n in range(13)], "mean": 0.5, "low": 0.4, "high": 0.6, "n": 3})
    many = many.assign(interval="over seeds")
    kinds = [
        plot_cells(cells, SEEDS[:0], PUBLISHED[:0], {}, METRICS["accuracy"]).layout.meta["lookup"]
        for cells in (many[:12], many)
    ]
    assert kinds == [False, True]
