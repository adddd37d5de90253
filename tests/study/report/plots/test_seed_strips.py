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


def test_the_caption_says_how_many_seeds_there_are() -> None:
    figure = plot_cells(CELLS, SEEDS, PUBLISHED, {}, METRICS["accuracy"])
    assert "n = 1 to 3" in figure.layout.meta["caption"]
    figure = plot_cells(CELLS[:1], SEEDS[:3], PUBLISHED[:0], {}, METRICS["accuracy"])
    assert "n = 3)" in figure.layout.meta["caption"]
    assert "published" not in figure.layout.meta["caption"]
