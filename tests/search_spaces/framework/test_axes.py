"""Axes: the crossing of their levels, invalid axes."""

import itertools

import pytest

from revit.errors import InputError
from search_spaces.framework.axes import check_axes, conditions_of, exists, first_repeated, levels_of, points_of
from search_spaces.framework.ranges import Range


def test_points_are_the_crossing_of_the_levels() -> None:
    axes = {"resolution": (8, 28), "pace": {"slow": {"optimizer.lr": 0.001, "steps": 9}, "fast": {"steps": 5}}}
    points = list(points_of(axes))
    assert [tuple(labels.values()) for labels, _ in points] == list(itertools.product((8, 28), ("slow", "fast")))
    assert [values for _, values in points[:2]] == [
        {"resolution": 8, "optimizer.lr": 0.001, "steps": 9},
        {"resolution": 8, "steps": 5},
    ]
    assert list(points_of({})) == [({}, {})]


def test_a_value_is_a_level_that_sets_its_own_field() -> None:
    assert levels_of("optimizer.lr", (0.1, 0.2)) == [(0.1, {"optimizer.lr": 0.1}), (0.2, {"optimizer.lr": 0.2})]


@pytest.mark.parametrize(("values", "repeated"), [((1, 2, 1), 1), ((1, 1.0), 1), ((1, 2), None), ((), None)])
def test_the_first_repeated_value_is_found(values: tuple[float, ...], repeated: float | None) -> None:
    assert first_repeated(values) == repeated


VALID = {"resolution": (8, 28)}
INVALID = {
    "a value twice": ({"scientific": {"resolution": (28, 28)}}, "axis resolution has 28 twice"),
    "no values": ({"scientific": {"resolution": ()}}, "axis resolution has no values"),
    "a bare value": ({"scientific": {"resolution": 28}}, "must be a tuple"),
    "an axis in two roles": (
        {"nuisance": {"resolution": (8,)}},
        "axis resolution is both scientific and nuisance: it must be in one of them",
    ),
    "a scientific range": ({"scientific": {"optimizer.lr": Range(0.1, 1)}}, "a scientific axis has values to compare"),
    "a bare nuisance value": ({"nuisance": {"steps": 5}}, "axis steps = 5: must be a tuple of values, a Range, or a"),
    "when on an axis that is not there": (
        {"nuisance": {"steps": Range(1, 5, when={"optimizer": "sgd"})}},
        "axis steps, when = 'optimizer': must be one of the axes with values before it: resolution",
    ),
    "when on a value that is not there": (
        {"nuisance": {"steps": Range(1, 5, when={"resolution": (8, 9)})}},
        "axis steps, when resolution = 9: must be among 8, 28",
    ),
    "when on a later axis": (
        {"nuisance": {"steps": Range(1, 5, when={"hflip": True}), "hflip": (True, False)}},
        "axis steps, when = 'hflip': must be one of the axes with values before it: resolution",
    ),
    "when on a range": (
        {"nuisance": {"mixup": Range(0, 1), "cutmix": Range(0, 1, when={"mixup": 0})}},
        "axis cutmix, when = 'mixup': must be one of the axes with values before it: resolution",
    ),
    "two axes on one field": (
        {"scientific": {"lr": {"low": {"optimizer.lr": 0.1}}, "optimizer.lr": (0.2,)}},
        "axes lr and optimizer.lr both set optimizer.lr",
    ),
    "an axis over seeds": ({"scientific": {"seed": (0, 1)}}, "seed"),
    "no scientific axis": ({"scientific": {}}, "nothing to compare"),
    "an axis of two lines": ({"scientific": {"a\nb": {"a": {"steps": 1}}}}, "must be text of one line"),
    "an axis without a name": ({"scientific": {"": {"a": {"steps": 1}}}}, "axis = ''"),
    "a label with an escape": ({"scientific": {"pace": {"\x1b[31m": {"steps": 1}}}}, "axis pace, label = '\\x1b[31m'"),
    "a label of spaces": ({"scientific": {"pace": {" ": {"steps": 1}}}}, "axis pace, label = ' '"),
    "a value twice in two types": ({"scientific": {"optimizer.lr": (1, 1.0)}}, "axis optimizer.lr has 1 twice"),
    "no dict": ({"scientific": (8, 28)}, "must be a dict of axes by their names"),
    "a level without fields": ({"scientific": {"pace": {"slow": 3}}}, "must be a dict of fields"),
}


@pytest.mark.parametrize("case", INVALID)
def test_invalid_axes_are_refused(case: str) -> None:
    changes, message = INVALID[case]
    with pytest.raises(InputError) as raised:
        check_axes(**{"scientific": VALID, "nuisance": {}, **changes})
    assert message in str(raised.value)
    check_axes(VALID, {"optimizer.lr": (0.1, 0.2)})


DECAY = Range(0, 1, when={"optimizer": ("adamw", "lion"), "warmup": 3})


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ({"optimizer": "lion", "warmup": 3}, True),
        ({"optimizer": "sgd", "warmup": 3}, False),
        ({"optimizer": "lion", "warmup": 4}, False),
        ({"optimizer": "lion"}, False),
        ({}, False),
    ],
)
def test_an_axis_exists_where_its_conditions_hold(point: dict[str, str | int], expected: bool) -> None:
    assert exists(DECAY, point) is expected
    assert exists(Range(0, 1), point)
    assert exists((1, 2), point)
    assert conditions_of(DECAY) == {"optimizer": ("adamw", "lion"), "warmup": (3,)}
