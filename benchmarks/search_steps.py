"""Optimizer steps of searches on our own table, with a pruner or without; full-length trials of a weak cell."""

from itertools import islice
from statistics import fmean

from benchmarks.ratios import BenchmarkResult, format_mean
from benchmarks.search_tasks import SearchTask, nano_task
from benchmarks.simulated_search import CellPruner, search_points
from search_spaces.framework.claim_cells import Value
from search_spaces.framework.search import DEFAULT_NUM_TRIALS, Search
from study.ledger.states import TrialState
from study.search.past_point import PastPoint

NUM_SEEDS = 5
MAX_SHARE = 1 / 3
TOLERANCES = (0.001, 0.024)
"""Distances from the best of the grid within which a point is as good: one of 1,000 validation images; half of the 95 %
interval of an accuracy of 82 % on so many."""
MIN_FULL_LENGTH = 1 / 4
WORSE_BY = 0.30
PRUNED = Search(sampler="tpe", pruner="successive_halving")
SEARCHES = {
    "tpe with successive_halving": PRUNED,
    "tpe": Search(sampler="tpe"),
    "random": Search(sampler="random"),
}


def measure(*, tiny: bool) -> list[BenchmarkResult]:
    """Measure steps, then the full-length trials of two cells."""
    num_seeds = 2 if tiny else NUM_SEEDS
    return [*measure_steps(num_seeds), *measure_full_length(num_seeds)]


def measure_steps(num_seeds: int) -> list[BenchmarkResult]:
    """Measure the optimizer steps of each search until it has a point as good as the best of the grid."""
    task = nano_task()
    found = {
        name: [shares_of_grid(task, search, seed) for seed in range(num_seeds)] for name, search in SEARCHES.items()
    }
    return [
        BenchmarkResult(
            what=f"optimizer steps of {name}, until one finishes within {100 * tolerance:.1f} points of the best",
            against="steps of the whole grid",
            ratio=fmean(by_seed[index] for by_seed in shares),
            target=MAX_SHARE if SEARCHES[name] is PRUNED else None,
            at_least=False,
            details=f"{format_mean([by_seed[index] for by_seed in shares])}; "
            f"{sum(by_seed[index] == 1 for by_seed in shares)} of {num_seeds} seeds never have one",
        )
        for index, tolerance in enumerate(TOLERANCES)
        for name, shares in found.items()
    ]


def shares_of_grid(task: SearchTask, search: Search, seed: int) -> list[float]:
    """Return the share of the grid's steps that a search takes until a good point has finished, by TOLERANCES.

    It is 1 where the pruner gives up all good points.
    """
    grid = list(search_points(task, Search(sampler="grid"), seed=0))
    total = sum(map(num_steps_of, grid))
    open_points = {tolerance: _good_points(grid, tolerance) for tolerance in TOLERANCES}
    shares = dict.fromkeys(TOLERANCES, 1.0)
    num_steps = 0
    for point in search_points(task, search, seed=seed):
        num_steps += num_steps_of(point)
        for tolerance in [each for each, good in open_points.items() if _key(point) in good]:
            open_points[tolerance].remove(_key(point))
            if point.objectives:
                shares[tolerance] = num_steps / total
            if point.objectives or not open_points[tolerance]:
                del open_points[tolerance]
        if not open_points:
            break
    return list(shares.values())


def _good_points(grid: list[PastPoint], tolerance: float) -> set[tuple[tuple[str, Value], ...]]:
    threshold = max(point.objectives[0] for point in grid if point.objectives) - tolerance - 1e-9
    return {_key(point) for point in grid if point.objectives and point.objectives[0] >= threshold}


def _key(point: PastPoint) -> tuple[tuple[str, Value], ...]:
    return tuple(point.values.items())


def num_steps_of(point: PastPoint) -> int:
    """Return the optimizer steps that a point was trained for."""
    return max(point.curve)


def measure_full_length(num_seeds: int) -> list[BenchmarkResult]:
    """Measure the trials of full length in two cells, one WORSE_BY less accurate: by a pruner each, by one for both."""
    own, shared = ([full_length(seed, is_shared=is_shared) for seed in range(num_seeds)] for is_shared in (False, True))
    return [
        _full_length_line("the better of two cells, a pruner each", [strong for strong, _ in own], is_held=True),
        _full_length_line("the weaker, 30 points behind, a pruner each", [weak for _, weak in own], is_held=True),
        _full_length_line("the weaker, one pruner for both", [weak for _, weak in shared], is_held=False),
    ]


def _full_length_line(cell: str, shares: list[float], *, is_held: bool) -> BenchmarkResult:
    return BenchmarkResult(
        what=f"trials of full length in {cell}: least of the seeds",
        against=f"its {DEFAULT_NUM_TRIALS} trials",
        ratio=min(shares),
        target=MIN_FULL_LENGTH if is_held else None,
        at_least=True,
        details=format_mean(shares),
    )


def full_length(seed: int, *, is_shared: bool) -> list[float]:
    """Return the share of trials of full length in a strong and in a weak cell, which are searched in turns.

    Args:
        is_shared: one pruner compares the trials of both cells.
    """
    tasks = (nano_task(), nano_task(worse_by=WORSE_BY))
    pruners = CellPruner.of(PRUNED, num_cells=2) if is_shared else [CellPruner.of(PRUNED)[0] for _ in tasks]
    searches = [search_points(task, PRUNED, seed=seed, pruner=own) for task, own in zip(tasks, pruners, strict=True)]
    in_turns = islice(zip(*searches, strict=True), DEFAULT_NUM_TRIALS)
    return [fmean(point.state == TrialState.FINISHED for point in points) for points in zip(*in_turns, strict=True)]
