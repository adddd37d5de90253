"""Confidence limits of a test accuracy for new seeds and new test images.

A result varies for two reasons: training (its seed) and the test set (which images are in it). Each source has limits
of its own: Student's t for the few seeds, Clopper and Pearson's exact ones for the many images. The distances of both
from the mean add in squares (MOVER: Zou & Donner, Statistics in Medicine 27 (2008) 1693-1702), so an interval covers
at least as often as it says, however much the seeds agree. The images are known by their number only: as if all seeds
got the same images right, which makes the interval a little wide where they do not.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

LEVEL = 0.05
NEEDS_SEEDS = "needs 3 seeds"
PRIOR_DF = 4
"""Degrees of freedom that the usual variance between seeds counts for, beside a cell's own."""
MAX_TWO_SEED_WIDTH = 0.2
"""Of two seeds' interval (share), from which it is not shown."""
INTERVALS_NOTE = (
    "95 % intervals are over seeds and test images: another seed, tested on other images of the same kind. "
    "With 1 seed they are over test images only: that one trained model, tested on other images."
)
"""What is said beside every table of intervals."""


class VarianceEstimate(NamedTuple):
    """Variance of a test accuracy (share) from one seed to the next, and the degrees of freedom of its estimate."""

    variance: float
    df: float


def pooled_variance(cells: Iterable[Sequence[float]]) -> VarianceEstimate | None:
    """Pool the variance between the seeds of each cell; None where no cell has two seeds."""
    several = [cell for cell in cells if len(cell) > 1]
    df = sum(len(cell) - 1 for cell in several)
    squares = sum(float(np.var(cell)) * len(cell) for cell in several)
    return VarianceEstimate(squares / df, df) if several else None


def median_variance(cells: Iterable[Sequence[float]]) -> VarianceEstimate:
    """Return the median variance between seeds, over cells; 0 where no cell has two seeds.

    A floor: two or three seeds agree by chance now and then, and the test images that are right are whole numbers, so
    that the variance of one cell is often far too small, or 0. The median, since one cell whose training is unstable
    must not widen the intervals of all the others. Each variance is divided by the median that chance gives it.
    """
    several = [cell for cell in cells if len(cell) > 1]
    variances = [float(np.var(cell)) * len(cell) / special.chdtri(len(cell) - 1, 0.5) for cell in several]
    return VarianceEstimate(float(np.median(variances)) if variances else 0.0, math.inf)


def seed_half_width(seed_variance: float, num_seeds: int, known: VarianceEstimate, level: float) -> float:
    """Return how far a mean over seeds may be off through training, at a one-sided level below .5.

    Args:
        seed_variance: between these seeds; not looked at where there is one.
        known: of other cells. With one seed it takes the variance's place; with more it is a floor (`variance_floor`).
    """
    if num_seeds == 1:
        return float(-special.stdtrit(known.df, level)) * math.sqrt(known.variance)
    own = float(-special.stdtrit(num_seeds - 1, level)) * math.sqrt(seed_variance)
    floor = float(-special.ndtri(level)) * math.sqrt(variance_floor(known.variance, num_seeds))
    return max(own, floor) / math.sqrt(num_seeds)


def variance_floor(variance: float, num_seeds: int | NDArray[np.int_]) -> NDArray[np.float64]:
    """Return what the variance between seeds is not below: what a moderated one would be if these did not differ.

    A moderated variance is the mean of a cell's own and the usual one, weighed by degrees of freedom (Smyth,
    Statistical Applications in Genetics and Molecular Biology 3 (2004)). The more seeds agree, the more they are
    trusted.
    """
    return np.asarray(variance * PRIOR_DF / (PRIOR_DF + num_seeds - 1))


def image_half_widths(accuracy: float, num_test: int, level: float) -> tuple[float, float]:
    """Return how far the accuracy on all images may be below and above that on `num_test` of them, one-sided."""
    num_right = min(accuracy, 1.0) * num_test
    num_wrong = num_test - num_right
    low = special.betaincinv(num_right, num_wrong + 1, level) if num_right > 0 else 0.0
    high = special.betainccinv(num_right + 1, num_wrong, level) if num_wrong > 0 else 1.0
    return accuracy - float(low), float(high) - accuracy


def cell_interval(accuracies: Sequence[float], num_test: int, known: VarianceEstimate) -> tuple[float, float]:
    """Return the 95 % interval of a cell's accuracy (share): of new seeds on new images.

    With one seed it is over the test images only: of this one trained model on new images.

    Args:
        accuracies: one per seed.
        known: `median_variance` of the study's cells on this dataset.
    """
    mean = float(np.mean(accuracies))
    below, above = image_half_widths(mean, num_test, LEVEL / 2)
    if len(accuracies) == 1:
        return mean - below, mean + above
    seeds = seed_half_width(float(np.var(accuracies, ddof=1)), len(accuracies), known, LEVEL / 2)
    return max(0.0, mean - math.hypot(seeds, below)), min(1.0, mean + math.hypot(seeds, above))


def is_too_wide(num_seeds: int, low: float, high: float) -> bool:
    """Return whether an interval (share) is so wide only because it rests on two seeds."""
    return num_seeds == 2 and high - low > MAX_TWO_SEED_WIDTH


def interval_scope(num_seeds: int) -> str:
    """Return what the interval of a cell with so many seeds is over."""
    return "over test images, 1 seed" if num_seeds == 1 else "over seeds and test images"
