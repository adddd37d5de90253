"""Accuracy along an axis against the numbers that went in."""

import numpy as np
import pandas as pd
import pytest

from study.report.plots.along_axis import plot_metric

OURS = {"source": "", "panel": "", "n": 3, "interval": "over seeds"}


def test_published_points_are_hollow_and_name_their_source() -> None:
    frame = pd.DataFrame(
        {
            "resolution": [64, 224, 64, 224],
            "series": ["cifar100"] * 4,
            "mean": [0.5, 0.9, 0.48, 0.91],
            "low": [0.4, 0.8, np.nan, np.nan],
            "high": [0.6, 0.95, np.nan, np.nan],
            "source": ["", "", "paper", "paper"],
            "panel": "",
            "n": [3, 3, None, None],
            "interval": ["over seeds", "over seeds", None, None],
        }
    )
    seeds = pd.DataFrame({"resolution": [64, 64, 224], "series": "cifar100", "panel": "", "value": [0.4, 0.6, 0.9]})
    figure = plot_metric(frame, seeds, "resolution")
    assert "mean, 95 % interval over seeds (n = 3)" in figure.layout.meta["caption"]
    single, ours, theirs = figure.data
    assert np.allclose(single.x, [64, 64, 224])
    assert np.allclose(single.y, [40, 60, 90])
    assert single.marker.size < ours.marker.size
    assert np.allclose(ours.y, [50, 90])
    assert np.allclose(ours.error_y.array, [10, 5])
    assert np.allclose(ours.error_y.arrayminus, [10, 10])
    assert theirs.marker.symbol.endswith("-open")
    assert not ours.marker.symbol.endswith("-open")
    assert (ours.name, theirs.name) == ("cifar100", "cifar100, paper")
    assert np.allclose(theirs.y, [48, 91])


def test_an_axis_with_a_unit_is_drawn_in_it() -> None:
    points = {"series": "", "mean": 0.5, "low": np.nan, "high": np.nan, **OURS}
    frame = pd.DataFrame({"data_fraction": [0.1, 0.25, 1.0]}).assign(**points)
    seeds = frame.assign(value=0.5)
    figure = plot_metric(frame, seeds, "data_fraction")
    assert figure.layout.xaxis.title.text == "training data used, %"
    assert list(figure.layout.xaxis.ticktext) == ["10", "25", "100"]
    assert np.allclose(figure.data[1].x, [10, 25, 100])


@pytest.mark.parametrize("values", [[64, 128, 512], [0, 1, 2]])
def test_series_stand_side_by_side_each_with_its_seeds_and_nearer_to_their_value_than_to_the_next(
    values: list[int],
) -> None:
    series = [name for name in ("a", "b", "c", "d") for _ in values]
    frame = pd.DataFrame({"steps": values * 4, "series": series, "mean": 0.5, "low": 0.4, "high": 0.6, **OURS})
    traces = plot_metric(frame, frame.assign(value=0.5), "steps").data
    means = [trace for trace in traces if trace.mode == "lines+markers"]
    assert [trace.x.tolist() for trace in traces if trace.mode == "markers"] == [trace.x.tolist() for trace in means]
    for place, value in enumerate(values):
        at = [float(trace.x[place]) for trace in means]
        assert at == sorted(set(at))
        gaps = [abs(other - value) for other in values if other != value]
        assert max(abs(x - value) for x in at) < 0.2 * min(gaps)


def test_panels_share_colors_and_the_legend() -> None:
    rows = [(panel, series, fraction) for panel in ("one", "other") for series in ("a", "b") for fraction in (0.1, 1.0)]
    frame = pd.DataFrame(rows, columns=["panel", "series", "data_fraction"]).assign(mean=0.5, low=0.4, high=0.6)
    frame = frame.assign(**{**OURS, "panel": frame["panel"]})
    figure = plot_metric(frame, frame.assign(value=0.5), "data_fraction")
    lines = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert [(trace.name, trace.yaxis, trace.showlegend) for trace in lines] == [
        ("a", "y", True), ("b", "y", True), ("a", "y2", False), ("b", "y2", False),
    ]  # fmt: skip
    assert [trace.line.color for trace in lines[:2]] == [trace.line.color for trace in lines[2:]]
    assert [annotation.text for annotation in figure.layout.annotations] == ["one", "other"]
    assert all(len(trace.x) == 2 for trace in figure.data), "seeds stand in the panel of their line"
