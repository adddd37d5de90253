"""Confidence intervals of a test accuracy, or another metric, over two sources of variance: seeds, test images.

A result varies for two reasons: training (its seed) and the test set (which images are in it). Each source has limits
of its own: Student's t for the few seeds, Clopper and Pearson's exact ones for the many images. Their distances from
the mean add in squares (MOVER: Zou & Donner, Statistics in Medicine 27 (2008) 1693-1702), so an interval covers at
least as often as it states, however much the seeds agree. The images are known by their number only, as if all seeds
got the same images right. Where they do not, the interval is a little wide. Other metrics of predictions have no exact
limits: theirs are percentiles of bootstrap replicates over images (Efron & Tibshirani 1993, chapter 13), around their
mean, since resampling shifts some metrics. What is measured while training varies over seeds only.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from revit.training.metrics import Metric

LEVEL = 0.05
NEEDS_SEEDS = "needs 3 seeds"
PRIOR_DF = 4
"""Weight of the median variance between seeds, in degrees of freedom, relative to a cell's own variance."""
INTERVALS_NOTE = (
    "95 % intervals are over seeds and test images: another seed, tested on other images of the same kind. "
    "With 1 seed they are over test images only: that one trained model, tested on other images."
)
"""Note on every table of intervals."""
SEEDS_NOTE = "95 % intervals are over seeds: another seed on the same machine. With 1 seed there are none."
"""Note on tables of what is measured while training."""


def intervals_note(metric: Metric) -> str:
    """Return the note on tables of a metric."""
    return INTERVALS_NOTE if metric.of_predictions else SEEDS_NOTE


class VarianceEstimate(NamedTuple):
    """Variance of a metric (accuracy as a share) between seeds, and the degrees of freedom of its estimate."""

    variance: float
    df: float


def pooled_variance(cells: Iterable[Sequence[float]]) -> VarianceEstimate | None:
    """Pool the variance between the seeds of each cell; None if no cell has two seeds."""
    several = [cell for cell in cells if len(cell) > 1]
    df = sum(len(cell) - 1 for cell in several)
    squares = sum(float(np.var(cell)) * len(cell) for cell in several)
    return VarianceEstimate(squares / df, df) if several else None


def median_variances(cells: Iterable[tuple[object, Sequence[float]]]) -> dict[object, VarianceEstimate]:
    """Return the `median_variance` of the cells on each dataset, given each cell's dataset and accuracies."""
    by_dataset: dict[object, list[Sequence[float]]] = {}
    for dataset, accuracies in cells:
        by_dataset.setdefault(dataset, []).append(accuracies)
    return {dataset: median_variance(found) for dataset, found in by_dataset.items()}


def median_variance(cells: Iterable[Sequence[float]]) -> VarianceEstimate:
    """Return the median variance between seeds, over cells; 0 if no cell has two seeds.

    It serves as a lower bound: two or three seeds may agree by chance, and the correct test images are whole numbers,
    so that the variance of one cell is often far too small, or 0. It is the median, since one cell whose training is
    unstable must not widen the intervals of all others. Each variance is divided by its median under chance.
    """
    several = [cell for cell in cells if len(cell) > 1]
    variances = [float(np.var(cell)) * len(cell) / special.chdtri(len(cell) - 1, 0.5) for cell in several]
    return VarianceEstimate(float(np.median(variances)) if variances else 0.0, math.inf)


def seed_half_width(seed_variance: float, num_seeds: int, prior: VarianceEstimate, level: float) -> float:
    """Return the distance from a mean over seeds to its one-sided limit, at a level below 0.5.

    Args:
        seed_variance: between these seeds; ignored with one.
        prior: from other cells. With one seed it replaces `seed_variance`; with more it is its lower bound
            (`variance_floor`).
    """
    if num_seeds == 1:
        return float(-special.stdtrit(prior.df, level)) * math.sqrt(prior.variance)
    own = float(-special.stdtrit(num_seeds - 1, level)) * math.sqrt(seed_variance)
    floor = float(-special.ndtri(level)) * math.sqrt(variance_floor(prior.variance, num_seeds))
    return max(own, floor) / math.sqrt(num_seeds)


def variance_floor(variance: float, num_seeds: int | NDArray[np.int_]) -> NDArray[np.float64]:
    """Return the lower bound of the variance between seeds: a moderated variance of seeds that do not differ.

    A moderated variance is the mean of a cell's own and the usual one, weighed by degrees of freedom (Smyth,
    Statistical Applications in Genetics and Molecular Biology 3 (2004)). More seeds lower the bound.
    """
    return np.asarray(variance * PRIOR_DF / (PRIOR_DF + num_seeds - 1))


def image_half_widths(accuracy: float, num_test: int, level: float) -> tuple[float, float]:
    """Return the distances from the accuracy on `num_test` images to its one-sided limits below and above."""
    num_correct = min(accuracy, 1.0) * num_test
    num_wrong = num_test - num_correct
    low = special.betaincinv(num_correct, num_wrong + 1, level) if num_correct > 0 else 0.0
    high = special.betainccinv(num_correct + 1, num_wrong, level) if num_wrong > 0 else 1.0
    return accuracy - float(low), float(high) - accuracy


def cell_interval(accuracies: Sequence[float], num_test: int, prior: VarianceEstimate) -> tuple[float, float]:
    """Return the 95 % interval of a cell's accuracy (share), for new seeds on new images.

    With one seed it is over the test images only: for this one trained model on new images.

    Args:
        accuracies: one per seed.
        prior: `median_variance` of the study's cells on this dataset.
    """
    images = image_half_widths(float(np.mean(accuracies)), num_test, LEVEL / 2)
    return interval_of(accuracies, images, prior, (0.0, 1.0))


def bootstrap_half_widths(replicates: NDArray[np.float64], level: float) -> tuple[float, float]:
    """Return the distances from the mean of bootstrap replicates (B,) to their percentiles below and above."""
    center = float(replicates.mean())
    low, high = np.quantile(replicates, (level, 1 - level))
    return center - float(low), float(high) - center


def interval_of(
    values: Sequence[float], images: tuple[float, float], prior: VarianceEstimate, limits: tuple[float, float]
) -> tuple[float, float]:
    """Return the 95 % interval of a cell's value, within the limits of its metric, for new seeds on new images.

    Args:
        values: one per seed.
        images: half widths over the test images, below and above; 0 for a value that these do not change.
        prior: as for `cell_interval`.
    """
    mean, (below, above) = float(np.mean(values)), images
    if len(values) == 1:
        return mean - below, mean + above
    seeds = seed_half_width(float(np.var(values, ddof=1)), len(values), prior, LEVEL / 2)
    return max(limits[0], mean - math.hypot(seeds, below)), min(limits[1], mean + math.hypot(seeds, above))
