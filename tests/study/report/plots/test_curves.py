"""Curves against the arrays that went in."""

import numpy as np
import pandas as pd
import pytest

from study.report.plots.curves import (
    MAX_POINTS,
    band_note,
    plot_learning_curves,
    plot_published_curves,
    plot_schedules,
    seed_bands,
    thin,
)
from study.report.plots.style import MAX_COLORED, MUTED
from tests.study.report.plots.drawing import random_curves


def test_a_band_is_the_mean_and_range_over_seeds() -> None:
    frame = random_curves(3, 4, 5)
    for band in seed_bands(frame, "step", "val_accuracy").itertuples():
        values = frame[(frame["cell"] == band.cell) & (frame["step"] == band.step)]["val_accuracy"]
        expected = (values.mean(), values.min(), values.max())
        assert (band.mean, band.min, band.max) == pytest.approx(expected)


def test_a_learning_curve_draws_the_mean_of_each_cell_in_percent() -> None:
    frame = random_curves(3, 4, 5)
    figure = plot_learning_curves(frame, "val_accuracy", {"cell 0": 0, "cell 1": 1, "cell 2": 2})
    means = frame.groupby(["cell", "step"])["val_accuracy"].mean()
    for cell in ("cell 0", "cell 1", "cell 2"):
        expected = 100 * means[cell].to_numpy()
        assert any(
            trace.name == cell and len(trace.y) == 5 and np.allclose(trace.y, expected, rtol=1e-5)
            for trace in figure.data
        )


def test_thinning_keeps_the_ends() -> None:
    line = pd.DataFrame({"step": range(1000)})
    kept = thin(line)
    assert len(kept) <= MAX_POINTS
    assert kept["step"].iloc[0] == 0
    assert kept["step"].iloc[-1] == 999
    for length in (1, 2, MAX_POINTS - 1, MAX_POINTS):
        assert thin(line[:length]).equals(line[:length])


def test_schedules_draw_the_logged_learning_rate() -> None:
    frame = pd.DataFrame({"schedule": "cosine", "step": range(1, 6), "lr": [1, 0.9, 0.5, 0.1, 0.0]})
    figure = plot_schedules(frame)
    [trace] = figure.data
    assert np.allclose(trace.y, frame["lr"])
    assert figure.layout.yaxis.type is None


def test_learning_rates_far_apart_are_on_a_logarithmic_axis_with_dashes_of_their_own() -> None:
    names, steps = ["sgd", "adam"], [1, 2, 3]
    frame = pd.DataFrame({"schedule": [name for name in names for _ in steps], "step": steps * 2})
    figure = plot_schedules(frame.assign(lr=[0.1, 0.05, 0, 1e-3, 1e-3, 1e-3]))
    assert figure.layout.yaxis.type == "log"
    low, high = figure.layout.yaxis.range
    assert low < -3, "the smallest peak is inside"
    assert high > -1
    assert len({trace.line.dash for trace in figure.data}) == 2


def test_cells_without_a_color_are_gray_lines_of_one_seed_and_counted_in_the_caption() -> None:
    frame = random_curves(9, 2, 5)
    figure = plot_learning_curves(frame, "val_accuracy", {"cell 0": 0, "cell 1": 1})
    gray = [trace for trace in figure.data if trace.line.color == MUTED]
    expected = [100 * frame.query(f"cell == 'cell {n}' and seed == 0")["val_accuracy"] for n in range(2, 9)]
    assert np.allclose([trace.y for trace in gray], expected, rtol=1e-5)
    assert "the 2 cells with the highest" in figure.layout.meta["caption"]
    assert "the other 7, one seed each" in figure.layout.meta["caption"]
    assert (
        "gray"
        not in plot_learning_curves(frame[:20], "val_accuracy", {"cell 0": 0, "cell 1": 1}).layout.meta["caption"]
    )


@pytest.mark.parametrize(("num_seeds", "note"), [(1, "One seed each."), (3, "mean of 3 seeds")])
def test_the_caption_says_how_many_seeds_a_line_is_the_mean_of(num_seeds: int, note: str) -> None:
    assert note in band_note(random_curves(2, num_seeds, 2))


def test_long_lines_differ_by_their_dashes() -> None:
    figure = plot_learning_curves(random_curves(6, 1, 50), "val_accuracy", {f"cell {n}": n for n in range(6)})
    assert len({trace.line.dash for trace in figure.data if trace.name}) == 6


def test_a_published_curve_is_dotted_in_the_color_of_its_cell() -> None:
    theirs = pd.DataFrame({"cell": "sgd", "run": "paper", "epoch": [1, 2], "test_curve_accuracy": [0.975, 0.9872]})
    ours = pd.DataFrame({"cell": "sgd", "seed": 0, "epoch": [1.0, 2.0], "test_curve_accuracy": [0.5, 0.6]})
    traces = {trace.name: trace for trace in plot_published_curves(ours, theirs, {}).data}
    own, published = traces["sgd"], traces["paper: sgd"]
    assert np.allclose(own.y, [50, 60])
    assert np.allclose(published.y, [97.5, 98.72])
    assert (published.line.color, published.line.dash) == (own.line.color, "dot")


def test_many_curves_stay_small() -> None:
    colors = {f"cell {index}": index for index in range(MAX_COLORED)}
    assert len(plot_learning_curves(random_curves(MAX_COLORED, 3, 3000), "val_accuracy", colors).to_json()) < 60_000
