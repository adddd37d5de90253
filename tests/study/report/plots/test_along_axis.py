"""Accuracy along an axis against the numbers that went in."""

import numpy as np
import pandas as pd

from study.report.plots.along_axis import plot_metric


def test_published_points_are_hollow_and_name_their_source() -> None:
    frame = pd.DataFrame(
        {
            "resolution": [64, 224, 64, 224],
            "series": ["cifar100"] * 4,
            "mean": [0.5, 0.9, 0.48, 0.91],
            "low": [0.4, 0.8, np.nan, np.nan],
            "high": [0.6, 0.95, np.nan, np.nan],
            "source": ["", "", "paper", "paper"],
        }
    )
    ours, theirs = plot_metric(frame, "resolution").data
    assert np.allclose(ours.y, [50, 90])
    assert np.allclose(ours.error_y.array, [10, 5])
    assert np.allclose(ours.error_y.arrayminus, [10, 10])
    assert theirs.marker.symbol.endswith("-open")
    assert not ours.marker.symbol.endswith("-open")
    assert (ours.name, theirs.name) == ("cifar100", "cifar100, paper")
    assert np.allclose(theirs.y, [48, 91])


def test_an_axis_with_a_unit_is_drawn_in_it() -> None:
    points = {"series": "", "mean": 0.5, "low": np.nan, "high": np.nan, "source": ""}
    frame = pd.DataFrame({"data_fraction": [0.1, 0.25, 1.0]}).assign(**points)
    figure = plot_metric(frame, "data_fraction")
    assert figure.layout.xaxis.title.text == "training data used, %"
    assert list(figure.layout.xaxis.ticktext) == ["10", "25", "100"]
    assert np.allclose(figure.data[0].x, [10, 25, 100])
