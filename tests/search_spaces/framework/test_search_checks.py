"""Checks of a search against the axes that it is over."""

from typing import Any

import pytest

from revit.errors import InputError
from search_spaces.framework.ranges import Range
from search_spaces.framework.search import Search
from search_spaces.framework.search_checks import check_search

AXES = {"optimizer.lr": Range(1e-4, 0.1, log=True), "pace": {"slow": {"steps": 10}, "fast": {"steps": 5}}}
INVALID: dict[str, tuple[Search, Any, str]] = {
    "no axes": (Search(num_trials=3), {}, "it has a search, and no nuisance axes to search over"),
    "a grid over a range": (
        Search(sampler="grid"), AXES,
        "sampler = 'grid': axis optimizer.lr = Range(0.0001, 0.1, log=True) has no values; give a tuple, or another",
    ),
    "an enqueued axis that is not there": (
        Search(enqueue=({"optimizer.lrr": 0.1},)), AXES,
        "enqueue: 'optimizer.lrr' is not a nuisance axis; did you mean optimizer.lr?",
    ),
    "an enqueued value outside": (
        Search(enqueue=({"optimizer.lr": 1.0},)), AXES,
        "enqueue, optimizer.lr = 1.0: must be in Range(0.0001, 0.1, log=True)",
    ),
    "an enqueued level that is not there": (
        Search(enqueue=({"pace": "medium"},)), AXES, "enqueue, pace = 'medium': must be among slow, fast",
    ),
    "fewer trials than enqueued points": (
        Search(num_trials=1, enqueue=({"pace": "slow"}, {"pace": "fast"})), AXES,
        "num_trials = 1: must be at least 2, the points of `enqueue`",
    ),
    "an unknown objective": (
        Search(objectives=("accuracy", "speed")), AXES, "objectives = 'speed': must be among accuracy,",
    ),
    "another first objective": (
        Search(objectives=("loss",)), AXES, "objectives = ('loss',): must be accuracy, the metric of the study, and",
    ),
    "three objectives": (
        Search(objectives=("accuracy", "loss", "macro_f1")), AXES, "and at most one more",
    ),
    "an objective twice": (Search(objectives=("accuracy", "accuracy")), AXES, "and at most one more"),
}  # fmt: skip


@pytest.mark.parametrize("case", INVALID)
def test_a_search_that_does_not_fit_its_axes_is_refused_in_one_line(case: str) -> None:
    search, axes, message = INVALID[case]
    with pytest.raises(InputError) as raised:
        check_search(search, axes, "accuracy")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_search_that_fits_its_axes_is_accepted() -> None:
    check_search(Search(), {}, "accuracy")
    check_search(Search(enqueue=({"optimizer.lr": 0.1, "pace": "slow"}, {})), AXES, "accuracy")
    check_search(Search(objectives=("loss", "train_time_s")), AXES, "loss")
    check_search(Search(sampler="grid"), {"pace": AXES["pace"]}, "accuracy")
