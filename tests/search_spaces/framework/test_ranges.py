"""Ranges: shares and values, invalid ranges."""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st

from revit.errors import InputError
from search_spaces.framework.ranges import Range, round_digits


@pytest.mark.parametrize(
    ("searched", "values"),
    [
        (Range(0.0, 1.0), (0.0, 0.25, 0.5, 1.0)),
        (Range(1e-4, 1.0, log=True), (1e-4, 1e-3, 1e-2, 1.0)),
        (Range(0, 8, integer=True), (0, 2, 4, 8)),
        (Range(100, 10000, integer=True, log=True), (100, 315, 998, 10000)),
        (Range(0.12345, 0.6789), (0.12345, 0.262, 0.401, 0.6789)),
    ],
)
def test_a_range_has_a_value_at_each_share(searched: Range, values: tuple[float, ...]) -> None:
    found = [searched.at(share) for share in (0, 0.25, 0.5, 1)]
    assert found == list(values)
    assert {type(value) for value in found} == {int if searched.integer else float}
    for share, value in zip((0, 0.25, 0.5, 1), found, strict=True):
        assert searched.has(value)
        assert searched.share(value) == pytest.approx(share, abs=0.01)


def test_each_whole_number_has_the_same_part_of_a_range() -> None:
    counts = Counter(Range(1, 4, integer=True).at((index + 0.5) / 400) for index in range(400))
    assert counts == {1: 100, 2: 100, 3: 100, 4: 100}


def test_values_are_rounded_within_the_range(fuzz: Callable[..., None]) -> None:
    def check(low: float, width: float, share: float, log: bool) -> None:
        searched = Range(low, low + width, log=log)
        value = searched.at(share)
        assert searched.has(value)
        assert value in (searched.low, searched.high, round_digits(value))
        assert searched.round(value) == value, "rounding again changes nothing"

    fuzz(300, check, st.floats(1e-6, 1e3), st.floats(1e-3, 1e3), st.floats(0, 1), st.booleans())


@pytest.mark.parametrize(("value", "rounded"), [(0.123456, 0.123), (12345.0, 12300.0), (0.0, 0.0), (9.996e-5, 1e-4)])
def test_numbers_have_three_significant_digits(value: float, rounded: float) -> None:
    assert round_digits(value) == rounded


@pytest.mark.parametrize("value", [0.9, 8.1, 2.5, True, "3", None, math.nan, math.inf])
def test_other_values_are_not_in_a_range(value: Any) -> None:
    assert not Range(1, 8, integer=True).has(value)


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "empty": ({"low": 0.1, "high": 0.1}, "Range(0.1, 0.1): low must be below high"),
    "reversed": ({"low": 2, "high": 1}, "Range(2, 1): low must be below high"),
    "a logarithm of 0": ({"low": 0, "high": 1, "log": True}, "Range(0, 1, log=True): low must be above 0, as log=True"),
    "a logarithm of less": ({"low": -1, "high": 1, "log": True}, "Range(-1, 1, log=True): low must be above 0"),
    "text": ({"low": "a", "high": 1}, "low = 'a': must be a number"),
    "no number": ({"low": math.nan, "high": 1}, "low = nan: must be a finite number"),
    "without end": ({"low": 0, "high": math.inf}, "high = inf: must be a finite number"),
    "too large": ({"low": 0, "high": 10**400}, "must be smaller than 2**63"),
    "truth": ({"low": False, "high": 1}, "low = False: must be a number"),
    "a fraction of integers": ({"low": 0.5, "high": 2, "integer": True}, "low must be whole, as integer=True"),
    "log as text": ({"low": 1, "high": 2, "log": "yes"}, "log = 'yes': must be True or False"),
    "when without values": ({"low": 1, "high": 2, "when": "adamw"}, "when = 'adamw': must be a dict"),
}


@pytest.mark.parametrize("case", INVALID)
def test_an_invalid_range_is_refused_in_one_line(case: str) -> None:
    given, message = INVALID[case]
    with pytest.raises(InputError) as raised:
        Range(**given)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_range_is_shown_as_it_is_written() -> None:
    assert str(Range(1e-5, 0.1, log=True)) == "Range(1e-05, 0.1, log=True)"
    searched = Range(0, 500, integer=True, when={"optimizer.name": ["adam", "adamw"]})
    assert str(searched) == "Range(0, 500, integer=True, when={'optimizer.name': ('adam', 'adamw')})"
