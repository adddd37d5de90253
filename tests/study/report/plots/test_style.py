"""Look of all figures: names shown letter by letter, colors the same in all figures."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import study.report
from revit.training.metrics import METRICS
from study.report.plots import style
from study.report.plots.along_axis import plot_metric
from study.report.plots.answers import plot_confusion_difference, plot_confusion_matrix, plot_mistakes
from study.report.plots.curves import plot_learning_curves, plot_published_curves, plot_schedules
from study.report.plots.forest import plot_forest
from study.report.plots.grids import plot_interaction, plot_main_effects, plot_parallel_coordinates
from study.report.plots.pictures import plot_filters, plot_samples
from study.report.plots.seed_strips import plot_cells
from study.report.plots.training_time import plot_training_time
from tests.study.report.plots.color_vision import SIMULATIONS, contrast, difference
from tests.study.report.plots.drawing import NASTY, random_curves

PAGES = re.findall("--page: (#[0-9a-f]{6})", (Path(study.report.__file__).parent / "page.css").read_text())
"""Backgrounds of the page: light, dark."""
EFFECT_COLUMNS = ("effect", "low", "high", "published", "bound_low", "bound_high")


def test_names_are_shown_letter_by_letter() -> None:
    assert style.escape(NASTY) == "&lt;b&gt;x&lt;/b&gt; &amp; %&#123;y}"
    frame = random_curves(1, 2, 3).assign(cell=NASTY, epoch=1.0, schedule=NASTY, lr=0.1, test_curve_accuracy=0.5)
    grid = pd.DataFrame({NASTY: [NASTY, "b"] * 2, "c": [1, 1, 2, 2], "test_accuracy": [0.1, 0.2, 0.3, 0.5], "seed": 0})
    points = pd.DataFrame({NASTY: [1.0], "series": NASTY, "mean": 0.5, "low": 0.4, "high": 0.6})
    points = points.assign(panel=NASTY, n=3, interval="over seeds")
    cost = pd.DataFrame({"cell": [NASTY, "b"], "train_time_s": [1.0, 2.0], "mean": [0.5, 0.4]})
    published = pd.DataFrame({"cell": [NASTY], "run": NASTY, "epoch": 1.0, "test_curve_accuracy": 0.9})
    images = [np.zeros((4, 4, 1), np.uint8)]
    mistakes = pd.DataFrame({"index": [0], "label": 0, "prediction": 1, "text": NASTY})
    effects = pd.DataFrame(
        [dict.fromkeys(EFFECT_COLUMNS, 0.1) | {"group": NASTY, "text": NASTY, "verdict": "supported"}]
    )
    seeds = pd.DataFrame({"cell": [NASTY], "seed": 0, "value": 0.5})
    figures = [
        plot_learning_curves(frame, "val_accuracy", {NASTY: 0}),
        plot_schedules(frame),
        plot_published_curves(frame, published, {}),
        plot_metric(points.assign(source=NASTY), points.assign(value=0.5), NASTY),
        plot_parallel_coordinates(grid, [NASTY, "c"]),
        plot_training_time(cost, {NASTY: 0}, has_frontier=True),
        plot_main_effects(grid, [NASTY, "c"]),
        plot_interaction(grid, NASTY, "c"),
        plot_interaction(grid, "c", NASTY),
        plot_confusion_matrix(np.eye(2), [NASTY, "b"], NASTY),
        plot_confusion_difference(np.eye(2), [NASTY, "b"], NASTY, NASTY),
        plot_mistakes(mistakes, images.__getitem__, [NASTY, NASTY], NASTY, NASTY),
        plot_filters({NASTY: np.zeros((4, 2, 2, 3), np.uint8)}),
        plot_samples({NASTY: {NASTY: images}}),
        plot_forest(effects, METRICS["accuracy"]),
        plot_cells(points.assign(cell=NASTY), seeds, seeds.assign(source=NASTY, mean=0.5), {}, METRICS["accuracy"]),
    ]
    for figure in figures:
        texts = list(texts_in(figure.to_dict()))
        assert not any("<b>x" in text or "%{y}" in text for text in texts), figure.layout.title.text
        assert any("&lt;b&gt;x" in text for text in texts), figure.layout.title.text


def texts_in(part: Any) -> Iterator[str]:
    """Yield the texts of a figure that plotly reads as HTML and that hold names."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict):
        is_parcoords_axis = "values" in part  # its ticks are plain text
        for key, value in part.items():
            if key not in ("hovertemplate", "meta") and not (is_parcoords_axis and key == "ticktext"):
                yield from texts_in(value)
    elif isinstance(part, list | tuple | np.ndarray):
        for value in part:
            yield from texts_in(value)


def test_a_cell_has_one_color_in_all_figures() -> None:
    """Also where a figure has them in another order, or only some of them; of many cells the first are colored."""
    colors = {f"cell {number}": index for index, number in enumerate((3, 1, 7, 0, 2, 5))}
    cost = pd.DataFrame({"cell": [f"cell {n}" for n in range(8)], "train_time_s": np.arange(8) + 1.0, "mean": 0.5})
    published = pd.DataFrame({"cell": ["cell 1"], "run": "paper", "epoch": 1.0, "test_curve_accuracy": 0.9})
    ours = pd.DataFrame({"cell": ["cell 7", "cell 1"], "seed": 0, "epoch": 1.0, "test_curve_accuracy": 0.5})
    expected = {cell: style.color(index) for cell, index in colors.items()}
    curves = plot_learning_curves(random_curves(8, 1, 3), "val_accuracy", colors).data
    assert {trace.name: trace.line.color for trace in curves if trace.name} == expected
    assert sum(trace.line.color == style.MUTED for trace in curves) == 2
    points = plot_training_time(cost, colors, has_frontier=True).data
    assert {trace.name: trace.marker.color for trace in points if trace.name} == expected
    lines = plot_published_curves(ours, published, colors).data
    drawn = {trace.name: trace.line.color for trace in lines if trace.name}
    assert drawn == {"cell 7": expected["cell 7"], "cell 1": expected["cell 1"], "paper: cell 1": expected["cell 1"]}


def test_many_series_differ_in_color_or_symbol() -> None:
    assert len({(style.color(index), style.symbol(index)) for index in range(49)}) == 49


@pytest.mark.parametrize("vision", SIMULATIONS)
def test_colors_are_far_apart_and_from_both_pages_for_the_color_blind(vision: str) -> None:
    for one, other in itertools.combinations(style.COLORS, 2):
        assert difference(one, other, vision) >= 11.9, (one, other)
    for color, page in itertools.product(style.COLORS, PAGES):
        assert difference(color, page, vision) >= 25, (color, page)


def test_simulated_colors_are_those_of_the_source() -> None:
    """Neutral colors stay; red and green come close without cones that distinguish them."""
    assert difference("#808080", "#808080", "protanopia") == 0
    for vision in ("protanopia", "deuteranopia"):
        assert difference("#CC7777", "#77AA77", vision) < 0.5 * difference("#CC7777", "#77AA77", "normal")
    assert difference("#FF0000", "#00FF00", "normal") == pytest.approx(86.6, abs=0.1)  # Sharma et al. 2005


def test_colors_have_the_contrast_of_graphics_on_both_pages() -> None:
    assert PAGES == ["#ffffff", "#14171a"]
    assert min(contrast(color, page) for color in style.COLORS for page in PAGES) >= 3
