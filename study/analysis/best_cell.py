"""Best cell of a study, with the cells that may be better.

The best cell is the one with the best mean. The cells that may be better are those that it does not beat in a one-sided
test at 5 % / (K - 1), for K cells: with a probability of 95 % the truly best cell is the shown one or among them. This
is a multiple comparison with the best (Hsu, Annals of Statistics 9 (1981) 1026-1034). The bound adds the probabilities
that the truly best cell is found worse than each other one, so that it does not matter that the best was selected by
its mean. Holm's steps would need more than that. In a sequential design the level is the look's.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from revit.training.metrics import Metric
from search_spaces.framework.claim_cells import Cell
from search_spaces.framework.sequential_design import SequentialDesign
from study.analysis.contrasts import MissingResultError, ResultsByPoint, TrialResult, estimate_contrast
from study.analysis.intervals import LEVEL, VarianceEstimate


@dataclass(frozen=True, kw_only=True)
class BestCell:
    """Cell with the best mean.

    Attributes:
        rivals: cells that may be better, best first.
        num_others: cells with results beside it.
    """

    cell: Cell
    rivals: Sequence[Cell]
    num_others: int


def find_best_cell(
    by_point: ResultsByPoint,
    variances: Mapping[object, VarianceEstimate],
    metric: Metric,
    design: SequentialDesign | None = None,
) -> BestCell | None:
    """Return the cell with the best mean, and those that may be better; None without a result.

    Args:
        variances: between the seeds of the study's cells, by dataset.
        design: of a study whose seeds were added look by look; None for a fixed number.
    """
    if not by_point:
        return None
    best, *others = sorted(by_point.values(), key=lambda cell: -metric.sign * _mean(cell))

    def is_beaten(other: Mapping[int, TrialResult]) -> bool:
        look, correction = look_of(best.keys() & other.keys(), design)
        contrast = [(1.0, until(look, best)), (-1.0, until(look, other))]
        try:
            estimate = estimate_contrast(contrast, variances, metric)
        except MissingResultError:  # no seed in common
            return False
        level = LEVEL / len(others) / correction
        return estimate.prior is not None and metric.sign * estimate.effect > estimate.half_width(level, 1)

    rivals = [_point(cell) for cell in others if not is_beaten(cell)]
    return BestCell(cell=_point(best), rivals=rivals, num_others=len(others))


def _mean(cell: Mapping[int, TrialResult]) -> float:
    return float(np.mean([trial.value for trial in cell.values()]))


def _point(cell: Mapping[int, TrialResult]) -> Cell:
    return next(iter(cell.values())).point


def until(look: float, cell: Mapping[int, TrialResult]) -> Mapping[int, TrialResult]:
    """Return the results of a cell that count at a look (`look_of`), by seed."""
    return cell if math.isinf(look) else {seed: trial for seed, trial in cell.items() if seed < look}


def look_of(seeds: Collection[int], design: SequentialDesign | None) -> tuple[float, float]:
    """Return how many seeds count, and by what p values are multiplied for the looks of a design.

    Seeds that were trained ahead of a look do not count. Fewer seeds than those of the first look are tested at its
    level.

    Args:
        seeds: that all compared cells have.
    """
    if design is None:
        return math.inf, 1.0
    complete = next(number for number in range(len(seeds) + 1) if number not in seeds)
    look = max((each for each in design.looks if each <= complete), default=design.smallest)
    return look, design.level / design.level_of(look)
