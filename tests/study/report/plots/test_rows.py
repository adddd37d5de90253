"""Rows with their labels."""

import numpy as np
import pandas as pd
import pytest

from study.report.plots.rows import MARKS_PX, describe_mean, error_bars, row_figure
from tests.study.report.plots.drawing import NASTY


def test_each_row_has_its_marks_below_its_label_and_above_the_next() -> None:
    figure, heights = row_figure("Rows", "", ["short", "a label of many words " * 6, NASTY])
    tops = [annotation.y for annotation in figure.layout.annotations]
    lines = [annotation.text.count("<br>") + 1 for annotation in figure.layout.annotations]
    assert lines == [1, 3, 1]
    for top, next_top, num_lines, height in zip(tops, [*tops[1:], None], lines, heights, strict=True):
        assert height - MARKS_PX / 2 >= top + 14 * num_lines, "below the label"
        assert next_top is None or height + MARKS_PX / 2 <= next_top
    assert "&lt;b&gt;x" in figure.layout.annotations[2].text


def test_error_bars_end_at_the_limits_and_are_absent_without_any() -> None:
    mean, low, high = (np.array(values) for values in ([0.5, 0.6], [0.4, np.nan], [0.7, np.nan]))
    bars = error_bars(mean, low, high)
    assert bars["array"] == pytest.approx([0.2, 0])
    assert bars["arrayminus"] == pytest.approx([0.1, 0])
    assert bars["visible"]
    assert not error_bars(mean, np.full(2, np.nan), high)["visible"]


@pytest.mark.parametrize(
    ("counts", "intervals", "expected"),
    [
        ((3, 3), ("over seeds", "over seeds"), "mean, 95 % interval over seeds (n = 3)"),
        ((1, 3), ("over test images, 1 seed", "over seeds"), "over test images, 1 seed or over seeds (n = 1 to 3)"),
        ((2, 2), ("needs 3 seeds", "needs 3 seeds"), "mean (n = 2)"),
    ],
)
def test_the_caption_says_what_intervals_are_over_and_how_many_seeds_there_are(
    counts: tuple[int, int], intervals: tuple[str, str], expected: str
) -> None:
    assert describe_mean(pd.DataFrame({"n": counts, "interval": intervals})).endswith(expected)


def test_first_words_are_bold() -> None:
    figure, _ = row_figure("Rows", "", ["good: a", "bad: b"], leads=["good", "bad"])
    assert [annotation.text for annotation in figure.layout.annotations] == ["<b>good</b>: a", "<b>bad</b>: b"]
