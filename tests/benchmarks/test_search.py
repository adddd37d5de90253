"""The regret of searches on a few tasks, in short; the command measures it at length."""

import math

import pytest

from benchmarks.search import CASES, measure_regret, regrets
from benchmarks.search_tasks import SearchTask, simple_hpo_task
from search_spaces.framework.search import Search

LEVELS = {"a": tuple(range(10))}
TEN = SearchTask(name="ten", axes=LEVELS, levels=LEVELS, train=lambda point, _: {1: float(point["a"])})
NAMES = ("australian", "segment", "blood_transfusion")


def test_regret_is_the_distance_to_the_best_of_random_points() -> None:
    """Ten levels in order: the best is 9, and the median 4 or 5."""
    _, median = TEN.regret_scale()
    found = regrets([TEN], Search(sampler="grid"), [1, 5, 10], num_seeds=2, num_parallel=1)
    assert found.shape == (1, 2, 3)
    assert found[0].tolist() == [[(9 - value) / (9 - median) for value in (0, 4, 9)]] * 2


def test_tpe_meets_its_bounds_where_random_points_do_not() -> None:
    """On three tasks, with two seeds, for 30 points: enough for the order."""
    tasks = [simple_hpo_task(name, single_seed=False) for name in NAMES]
    bounds = {case.num_parallel: case.bounds[30] for case in CASES if case.bounds[30] is not None}
    assert bounds == {1: 0.09, 4: 0.10}
    for num_parallel, bound in bounds.items():
        assert regrets(tasks, Search(sampler="tpe"), [30], 2, num_parallel).mean() <= bound
    assert regrets(tasks, Search(sampler="random"), [30], 2, 1).mean() > 0.10


@pytest.mark.slow
def test_every_case_is_a_line() -> None:
    lines = measure_regret(tiny=True)
    assert [line.target for line in lines] == [0.09, 0.10, None, None, None, None]
    assert all(math.isfinite(line.ratio) for line in lines)
    assert "1 tasks, 2 seeds" in lines[0].details
