"""The forest plot against the effects that went in."""

import math

import pandas as pd
import pytest

from revit.training.metrics import METRICS
from study.report.plots.forest import VERDICT_STYLE, plot_forest

NONE = math.nan
FRAME = pd.DataFrame(
    [
        ("Axes", "b less c", "not decided", 1.0, -1.0, 3.0, NONE, NONE, NONE),
        ("Axes", "b less c, with d", "", 1.5, 1.0, 2.0, NONE, NONE, NONE),
        ("Claims", "a is better", "supported", 2.0, 1.0, 3.5, 2.5, NONE, NONE),
        ("Claims", "b and c are equal", "inconclusive", 0.5, -1.5, 2.5, NONE, -1.0, 1.0),
        ("Claims", "d is better by at least 3 pp", "contradicted", -4.0, -5.0, -3.0, NONE, 3.0, 3.0),
    ],
    columns=["group", "text", "verdict", "effect", "low", "high", "published", "bound_low", "bound_high"],
)


def test_each_effect_stands_in_its_row_with_its_interval_and_marker() -> None:
    figure = plot_forest(FRAME, METRICS["accuracy"])
    labels = [annotation.text for annotation in figure.layout.annotations]
    verdicts = [f"<b>{verdict}</b>" for verdict in FRAME["verdict"] if verdict]
    assert [label.partition(":")[0] for label in labels] == [
        verdicts[0],
        "b less c, with d",
        *verdicts[1:],
        "Axes",
        "Claims",
    ]
    drawn = {trace.marker.symbol: trace for trace in figure.data}
    assert set(drawn) == {*(VERDICT_STYLE[verdict][0] for verdict in FRAME["verdict"]), "diamond-open"}
    heights = []
    for row in FRAME.itertuples():
        trace = drawn[VERDICT_STYLE[row.verdict][0]]
        assert list(trace.x) == [row.effect]
        assert row.effect + trace.error_x.array[0] == pytest.approx(row.high)
        assert row.effect - trace.error_x.arrayminus[0] == pytest.approx(row.low)
        heights.append(trace.y[0])
    assert heights == sorted(heights), "in the given order, from the top"
    assert list(drawn["diamond-open"].x) == [2.5]


def test_every_row_has_the_zero_line_and_its_margin() -> None:
    shapes = plot_forest(FRAME, METRICS["accuracy"]).layout.shapes
    lines = [shape.x0 for shape in shapes if shape.type == "line"]
    assert (lines.count(0), lines.count(3)) == (5, 1)
    [band] = [shape for shape in shapes if shape.type == "rect"]
    assert (band.x0, band.x1) == (-1, 1)


def test_the_caption_explains_what_is_there_only() -> None:
    caption = plot_forest(FRAME, METRICS["accuracy"]).layout.meta["caption"]
    assert all(word in caption for word in ("5 effects", "Diamond", "Gray band", "Dotted"))
    caption = plot_forest(FRAME[:2].assign(published=NONE), METRICS["accuracy"]).layout.meta["caption"]
    assert not any(word in caption for word in ("Diamond", "Gray band", "Dotted"))


def test_effects_are_in_the_unit_of_the_metric() -> None:
    assert plot_forest(FRAME, METRICS["accuracy"]).layout.xaxis.title.text == "effect on test accuracy, pp"
    assert plot_forest(FRAME, METRICS["train_time_s"]).layout.xaxis.title.text == "effect on training time, s"


def test_each_verdict_has_a_marker_of_its_own() -> None:
    assert len({symbol for symbol, _ in VERDICT_STYLE.values()}) == len(VERDICT_STYLE)
