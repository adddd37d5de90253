"""Figures of searches: what is drawn equals what was found."""

import math

import numpy as np
import pandas as pd
import pytest

from revit.training.metrics import METRICS
from study.report.plots.tuning import plot_importances, plot_pareto_front, plot_search_history, plot_search_slice

COLORS = {"a": 0, "b": 1}
ACCURACY, LOSS, TIME = METRICS["accuracy"], METRICS["loss"], METRICS["train_time_s"]


def points(**columns: object) -> pd.DataFrame:
    """Return four points of cell a, of which the second has not finished, then one of b."""
    values = [0.5, math.nan, 0.25, 0.75, 0.5]
    given = {"cell": ["a"] * 4 + ["b"], "number": [0, 1, 2, 3, 0], "value": values, "text": ["point <i>"] * 5}
    return pd.DataFrame({**given, **columns})


@pytest.mark.parametrize(("metric", "best"), [(ACCURACY, [50, 50, 50, 75]), (LOSS, [0.5, 0.5, 0.25, 0.25])])
def test_the_line_is_the_best_value_so_far(metric: object, best: list[float]) -> None:
    figure = plot_search_history(points(), COLORS, metric)
    lines = {trace.name: trace for trace in figure.data if trace.mode == "lines"}
    assert list(lines) == ["a", "b"]
    assert list(lines["a"].x) == [1, 2, 3, 4]
    assert list(lines["a"].y) == best
    markers = figure.data[0]
    assert np.isnan(markers.y[1])
    assert markers.text[0] == "point &lt;i&gt;", "plotly reads HTML"


def test_chosen_points_are_ringed_and_ends_of_the_range_drawn() -> None:
    frame = points(x=[1e-4, 1e-3, 1e-2, 1e-1, 1e-3], chosen=[False, False, False, True, False])
    figure = plot_search_slice(frame, "optimizer.lr", COLORS, ACCURACY, is_log=True, bounds=(1e-5, 1.0))
    a, b = figure.data
    assert list(a.marker.line.width) == [0, 0, 0, 2]
    assert list(b.marker.line.width) == [0]
    assert (figure.layout.xaxis.type, figure.layout.xaxis.dtick) == ("log", 1)
    narrow = plot_search_slice(frame, "optimizer.lr", COLORS, ACCURACY, is_log=True, bounds=(0.1, 1.0))
    assert narrow.layout.xaxis.dtick == "D2"
    assert [shape.x0 for shape in figure.layout.shapes] == [1e-5, 1.0]


def test_names_are_categories() -> None:
    frame = points(x=["cosine", "linear", "cosine", "None", "linear"], chosen=[False] * 5)
    figure = plot_search_slice(frame, "schedule.name", COLORS, ACCURACY, is_log=False, bounds=())
    assert figure.layout.xaxis.type == "category"
    assert list(figure.data[0].x) == ["cosine", "linear", "cosine", "None"]
    assert not figure.layout.shapes


def test_shares_are_bars_and_the_bias_of_a_sampler_is_said() -> None:
    frame = pd.DataFrame({"cell": ["a", "a", "b"], "axis": ["x", "y", "x"], "share": [0.75, 0.25, 1.0]})
    fair, biased = (plot_importances(frame, COLORS, ACCURACY, is_adaptive=each) for each in (False, True))
    assert [list(trace.x) for trace in fair.data] == [[75, 25], [100]]
    assert fair.layout.showlegend, "one cell is named, too"
    assert "biased" not in fair.layout.meta["caption"]
    assert "biased" in biased.layout.meta["caption"]


@pytest.mark.parametrize(("other", "shape"), [(TIME, "hv"), (ACCURACY, "vh")])
def test_the_front_is_a_staircase_over_what_it_dominates(other: object, shape: str) -> None:
    frame = points(value=[0.5, 0.4, 0.75, 0.2, 0.5], other=[1.0, 2.0, 3.0, 4.0, 1.0], is_front=[1, 0, 1, 0, 1])
    figure = plot_pareto_front(frame.astype({"is_front": bool}), COLORS, ACCURACY, other)
    front = next(trace for trace in figure.data if trace.name == "a" and trace.mode == "lines+markers")
    assert list(front.y) == [50, 75]
    assert front.line.shape == shape
    assert [trace.showlegend for trace in figure.data].count(True) == 2
