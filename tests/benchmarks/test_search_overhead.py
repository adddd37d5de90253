"""Asking for a point is cheap; the command measures it at length."""

from benchmarks.search_overhead import MAX_S, asking_s, measure


def test_asking_takes_a_fraction_of_a_second() -> None:
    """At half the points of the command, the fastest of 3, with a factor for slow machines."""
    assert min(asking_s(100, 3)) < 4 * MAX_S


def test_a_line_is_reported() -> None:
    [line] = measure(tiny=True)
    assert line.what == "processor time to ask tpe for a point of a cell that has 12"
    assert 0 < line.ratio < 1
