"""Searches with a pruner take fewer steps, and a weak cell keeps its own; the command measures it at length."""

from statistics import fmean

import pytest

from benchmarks.search_steps import MAX_SHARE, MIN_FULL_LENGTH, SEARCHES, full_length, measure, shares_of_grid
from benchmarks.search_tasks import Curve, Point, SearchTask, nano_task
from search_spaces.framework.search import Search

HELD = "tpe with successive_halving"
UPWARDS, DOWNWARDS = ({"a": tuple(levels)} for levels in (range(10), reversed(range(10))))


def _rising(point: Point, _: int) -> Curve:
    return {step: int(str(point["a"])) / 100 + step / 1000 for step in (1, 2, 3, 4)}


def test_the_share_of_the_grid_counts_the_steps_until_the_best_point() -> None:
    upwards = SearchTask(name="up", axes=UPWARDS, levels=UPWARDS, train=_rising, num_steps=4)
    downwards = SearchTask(name="down", axes=DOWNWARDS, levels=DOWNWARDS, train=_rising, num_steps=4)
    assert shares_of_grid(upwards, Search(sampler="grid"), seed=0) == [1.0, 0.8]
    assert shares_of_grid(downwards, Search(sampler="grid"), seed=0) == [0.1, 0.1]


def test_a_pruned_point_counts_the_steps_that_it_took() -> None:
    """The second best of ten comes first, and the best last: most of those between are given up."""
    order = {"a": (*range(8, -1, -1), 9)}
    task = SearchTask(name="late", axes=order, levels=order, train=_rising, num_steps=4)
    whole, pruned = (
        shares_of_grid(task, Search(sampler="grid", pruner=pruner), seed=0)[0]
        for pruner in (None, "successive_halving")
    )
    assert whole == 1.0
    assert 0.25 < pruned < 0.75


def test_a_search_that_gives_the_best_point_up_never_has_it() -> None:
    """The best of six points is behind at the first two steps, and no other gets near it."""
    axes = {"a": (0, 1, 2, 3, 5, 4)}
    task = SearchTask(
        name="crossing",
        axes=axes,
        levels=axes,
        train=lambda point, _: {step: 0.5 if point["a"] != 5 else 0.2 * step for step in (1, 2, 3, 4)},
        num_steps=4,
    )
    assert shares_of_grid(task, Search(sampler="grid", pruner="successive_halving"), seed=0) == [1.0, 1.0]
    assert shares_of_grid(task, Search(sampler="grid"), seed=0) == pytest.approx([5 / 6, 5 / 6])


def test_tpe_with_a_pruner_is_as_good_as_the_best_of_the_grid_with_a_third_of_its_steps() -> None:
    """To within the interval of an accuracy on the validation images."""
    shares = [shares_of_grid(nano_task(), SEARCHES[HELD], seed)[1] for seed in range(2)]
    assert fmean(shares) <= MAX_SHARE


def test_a_weak_cell_keeps_trials_of_full_length_unless_one_pruner_compares_it_with_a_strong_one() -> None:
    for seed in range(2):
        assert min(full_length(seed, is_shared=False)) >= MIN_FULL_LENGTH
        strong, weak = full_length(seed, is_shared=True)
        assert weak < MIN_FULL_LENGTH < strong


@pytest.mark.long
def test_every_line_is_reported() -> None:
    targets = [line.target for line in measure(tiny=True)]
    assert targets == [MAX_SHARE, None, None, MAX_SHARE, None, None, MIN_FULL_LENGTH, MIN_FULL_LENGTH, None]
