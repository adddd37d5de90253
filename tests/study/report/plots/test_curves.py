"""Curves against the arrays that went in."""

import numpy as np
import pandas as pd
import pytest

from study.report.plots.curves import plot_authors_curves, plot_learning_curves, plot_schedules, seed_bands, thin
from tests.study.report.plots.drawing import random_curves


def test_a_band_is_the_mean_and_range_over_seeds() -> None:
    frame = random_curves(3, 4, 5)
    frame.loc[0, "val_accuracy"] = np.nan
    for band in seed_bands(frame, "step", "val_accuracy").itertuples():
        values = frame[(frame["cell"] == band.cell) & (frame["step"] == band.step)]["val_accuracy"].dropna()
        expected = (values.mean(), values.min(), values.max())
        assert (band.mean, band.min, band.max) == pytest.approx(expected)


def test_a_learning_curve_draws_the_mean_of_each_cell_in_percent() -> None:
    frame = random_curves(3, 4, 5)
    figure = plot_learning_curves(frame, "val_accuracy")
    means = frame.groupby(["cell", "step"])["val_accuracy"].mean()
    for cell in ("cell 0", "cell 1", "cell 2"):
        expected = 100 * means[cell].to_numpy()
        assert any(
            trace.name == cell and len(trace.y) == 5 and np.allclose(trace.y, expected, rtol=1e-5)
            for trace in figure.data
        )


def test_thinning_keeps_the_ends() -> None:
    line = pd.DataFrame({"step": range(1000)})
    kept = thin(line, 50)
    assert len(kept) <= 50
    assert kept["step"].iloc[0] == 0
    assert kept["step"].iloc[-1] == 999
    assert thin(line, 5000).equals(line)


def test_schedules_draw_the_logged_learning_rate() -> None:
    frame = pd.DataFrame({"cell": "c", "schedule": "cosine", "step": range(1, 6), "lr": [0.1, 0.09, 0.05, 0.01, 0.0]})
    figure = plot_schedules(frame, "optimizer=sgd lr=0.1")
    assert any(np.allclose(trace.y, frame["lr"]) for trace in figure.data)
    assert "optimizer=sgd lr=0.1" in figure.layout.meta["caption"]


def test_an_authors_run_is_dotted_in_the_color_of_its_cell() -> None:
    authors = pd.DataFrame({"cell": "sgd cosine", "arm": "sgd_cosine_1", "epoch": [1, 2], "val_acc": [97.5, 98.72]})
    ours = pd.DataFrame({"cell": "sgd cosine", "seed": 0, "epoch": [1.0, 2.0], "test_curve_accuracy": [0.5, 0.6]})
    traces = {trace.name: trace for trace in plot_authors_curves(ours, authors).data}
    own, theirs = traces["sgd cosine"], traces["authors: sgd_cosine_1"]
    assert np.allclose(own.y, [50, 60])
    assert np.allclose(theirs.y, [97.5, 98.72])
    assert (theirs.line.color, theirs.line.dash) == (own.line.color, "dot")


def test_many_curves_stay_small() -> None:
    frame = random_curves(334, 3, 120).assign(cell=lambda rows: "a cell with a rather long name, " + rows["cell"])
    assert len(plot_learning_curves(frame, "val_accuracy").to_json()) < 300_000
    assert len(plot_learning_curves(random_curves(7, 3, 3000), "val_accuracy").to_json()) < 60_000
