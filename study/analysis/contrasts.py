"""Contrasts: weighted sums of values, with the parts of their variance.

A claim should hold for other seeds and for other images of the same kind. So neither many images nor many seeds suffice
alone. The variance of a contrast has a part of each:

    seeds    Trials of a seed are paired over the cells: a seed sets the order of the images, the crops and the new head
             in all of them alike. Where pairing does not help, it costs only degrees of freedom.
    images   Cells tested on the same images are compared image by image, as in McNemar's test: by the images that one
             gets right and the other wrong. Seeds share the images, so more seeds do not remove this part.

This is the two-way random-effects layout of readers (here seeds) and cases (here images) in diagnostic radiology:
Dorfman, Berbaum & Metz, Investigative Radiology 27 (1992) 723-731. Each part is weighed by its own quantile, Student's
t for the few seeds and the normal for the many images (Banerjee, Sankhya 22 (1960) 359-376), so that an interval covers
at least as often as it states, whatever the parts are. Without the image part this is the paired t test over seeds. A
contrast of one cell has that cell's interval (`study.analysis.intervals`).

This is about accuracies. For other metrics of predictions the image part is the variance of bootstrap replicates, which
resample the same images in all trials of a dataset. A metric that is measured while training has a seed part only.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from revit.training.metrics import Metric
from search_spaces.framework.claim_cells import Cell, Contrast, Value
from study.analysis.intervals import (
    VarianceEstimate,
    bootstrap_half_widths,
    image_half_widths,
    median_variances,
    seed_half_width,
)

Array = NDArray[np.float64]
Setting = frozenset[tuple[str, Value]]
"""Values on some axes."""
MIN_LEVEL, MAX_LEVEL = 1e-12, 0.5


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """Result of a finished trial.

    Attributes:
        value: of the metric that is tested.
        num_test: test images, None if unknown.
        correct: (num_test,), which test images are classified correctly; None if unknown, or for another metric.
        replicates: (B,), bootstrap replicates over test images; None for accuracy, or what does not depend on images.
        prior_variance: between seeds, estimated from other trials of its dataset and model.
        run_id: MLflow's; empty for a published result.
    """

    point: Mapping[str, Any]
    seed: int
    value: float
    num_test: int | None
    correct: NDArray[np.bool_] | None
    replicates: Array | None = None
    prior_variance: VarianceEstimate | None
    run_id: str = ""


ResultsByPoint: TypeAlias = Mapping[Setting, Mapping[int, TrialResult]]
"""Results by their values on all axes, or on those that are not compared, then by seed."""
WeightedCell: TypeAlias = tuple[float, Mapping[int, TrialResult]]
"""Weight of a cell in a contrast, and its results by seed."""


def group_by_point(trials: Iterable[TrialResult]) -> ResultsByPoint:
    """Return results by their values on all axes, then by seed. Later steps take the time of cells, not of trials."""
    grouped: dict[Setting, dict[int, TrialResult]] = {}
    for trial in trials:
        grouped.setdefault(frozenset(trial.point.items()), {})[trial.seed] = trial
    return grouped


def select(cell: Cell, by_point: ResultsByPoint) -> ResultsByPoint:
    """Return the results that have a cell's values, by their values on the other axes, then by seed."""
    values = frozenset(cell.items())
    return {point - values: by_seed for point, by_seed in by_point.items() if values <= point}


def seed_variances(by_point: ResultsByPoint) -> dict[object, VarianceEstimate]:
    """Return the median variance between the seeds of cells (`median_variances`), by dataset."""
    cells = [[*by_seed.values()] for by_seed in by_point.values()]
    return median_variances((cell[0].point.get("dataset"), [trial.value for trial in cell]) for cell in cells)


@dataclass(frozen=True, kw_only=True)
class ContrastEstimate:
    """Estimate of a weighted sum of values, and of the parts of its variance.

    Attributes:
        effect: minus the published accuracy, where the claim has one.
        seed_variance: of the sum, between its seeds; 0 with one.
        prior: lower bound of the seed variance; with one seed, its estimate, or None if unknown.
        image_variance: of the mean over seeds, between test sets, however many seeds there are; None if unknown, as
            the number of test images is.
        cell: accuracy and number of test images, where the sum is of one cell's accuracy.
        replicates: mean over seeds of the bootstrap replicates, where the sum is of one cell's value of another metric.
        num_seeds: seeds that all cells have.
        excluded_seeds: seeds that only some of the cells have.
        run_ids: runs of the trials that it is estimated from.
    """

    effect: float
    seed_variance: float
    prior: VarianceEstimate | None
    image_variance: float | None
    cell: tuple[float, int] | None
    replicates: Array | None = None
    num_seeds: int
    test: str
    excluded_seeds: tuple[int, ...]
    run_ids: tuple[str, ...] = ()

    def half_width(self, level: float, side: int) -> float:
        """Return the distance from the effect to its one-sided limit below (side -1) or above it (side 1).

        Satterthwaite's degrees of freedom, and Hillis's for this layout (Statistics in Medicine 26 (2007) 596-619),
        give narrower limits. With 2 or 3 seeds they trust seeds that agree by chance: simulated studies of six claims
        without a true difference got a wrong verdict up to four times as often as they should.
        """
        assert self.prior is not None, "checked before"
        seeds = seed_half_width(self.seed_variance, self.num_seeds, self.prior, level)
        return math.hypot(seeds, self._image_half_width(level, side))

    def _image_half_width(self, level: float, side: int) -> float:
        """Return the half width over the test images alone; of one cell, that of its table."""
        if self.cell is not None:
            below, above = image_half_widths(*self.cell, level)
        elif self.replicates is not None:
            below, above = bootstrap_half_widths(self.replicates, level)
        else:
            assert self.image_variance is not None, "checked before"
            return -float(special.ndtri(level)) * math.sqrt(self.image_variance)
        return above if side > 0 else below

    def p_value(self, bound: float, direction: int) -> float:
        """Return the one-sided p value of the effect being above (direction 1) or below (-1) a bound.

        It is the level at which the limit that faces the bound reaches it.
        """
        distance, side = abs(bound - self.effect), 1 if bound > self.effect else -1

        def root_function(log_level: float) -> float:
            return self.half_width(math.exp(log_level), side) - distance

        if root_function(math.log(MAX_LEVEL)) >= 0:
            level = MAX_LEVEL
        elif root_function(math.log(MIN_LEVEL)) <= 0:
            level = MIN_LEVEL
        else:
            level = math.exp(optimize.brentq(root_function, math.log(MIN_LEVEL), math.log(MAX_LEVEL)))
        return level if side == -direction else 1 - level


class MissingResultError(Exception):
    """A contrast cannot be estimated; the message names what is missing."""


def estimate_contrast(
    cells: Sequence[WeightedCell],
    variances: Mapping[object, VarianceEstimate],
    metric: Metric,
    published: float = 0.0,
) -> ContrastEstimate:
    """Estimate a contrast minus the published accuracy, and the parts of its variance.

    Args:
        cells: of `weighted_cells`.
        variances: between the seeds of the study's cells, by dataset.
        published: share, 0 for none.

    Raises:
        MissingResultError: no seed is in all cells.
    """
    common = set.intersection(*(set(by_seed) for _, by_seed in cells))
    if not common:
        raise MissingResultError("no seed is finished in all of its cells")
    seeds = sorted(common)
    sums = np.array([sum(weight * by_seed[seed].value for weight, by_seed in cells) for seed in seeds])
    is_single = len(cells) == 1
    is_accuracy = metric.is_accuracy
    image_variance, images = _image_variance(cells, seeds, metric)
    used = [by_seed[seed] for _, by_seed in cells for seed in seeds]
    return ContrastEstimate(
        effect=float(sums.mean()) - published,
        seed_variance=float(sums.var(ddof=1)) if len(seeds) > 1 else 0.0,
        prior=_prior(cells, seeds, variances),
        image_variance=image_variance,
        cell=_cell(used[0], float(sums.mean())) if is_single and is_accuracy else None,
        replicates=_mean_replicates(used) if is_single and images and not is_accuracy else None,
        num_seeds=len(seeds),
        test=_test_name(len(seeds), images, is_single=is_single),
        excluded_seeds=tuple(sorted(set().union(*(by_seed for _, by_seed in cells)) - common)),
        run_ids=tuple(trial.run_id for trial in used if trial.run_id),
    )


def _test_name(num_seeds: int, images: str, *, is_single: bool) -> str:
    """Return the name of a test.

    Args:
        images: how images are compared: McNemar, binomial, bootstrap; empty for a metric that does not depend on them.
    """
    images = f"exact {images}" if is_single and images == "binomial" else images
    if num_seeds == 1:
        return f"{images} over test images, 1 seed" if images else "t over seeds of other trials, 1 seed"
    if images == "McNemar":
        return "two-way random effects (seed x test image)"
    over_seeds = "t over seeds" if is_single else "paired t over seeds"
    return f"{over_seeds}, {images} over test images" if images else over_seeds


def _prior(
    cells: Sequence[WeightedCell],
    seeds: Sequence[int],
    variances: Mapping[object, VarianceEstimate],
) -> VarianceEstimate | None:
    """Return the variance between seeds of a sum of independent cells, from other cells or trials."""
    trials = [(weight, by_seed[seeds[0]]) for weight, by_seed in cells]
    priors = [variances[trial.point.get("dataset")] if len(seeds) > 1 else trial.prior_variance for _, trial in trials]
    found = [prior for prior in priors if prior is not None]
    if len(found) < len(priors):
        return None
    variance = sum(weight**2 * prior.variance for (weight, _), prior in zip(trials, found, strict=True))
    return VarianceEstimate(variance, min(prior.df for prior in found))


def weighted_cells(contrast: Contrast, by_point: ResultsByPoint) -> list[WeightedCell]:
    """Return each cell's weight in a contrast, and its results by seed; averaged over axes that are not selected.

    Raises:
        MissingResultError: a cell has no result.
    """
    found = [select(cell, by_point) for _, cell in contrast]
    others = dict.fromkeys(itertools.chain(*found)) or {frozenset(): None}
    weighted = []
    for (weight, cell), selected in zip(contrast, found, strict=True):
        for other in others:
            if other not in selected:
                absent = ", ".join(f"{axis} {value}" for axis, value in {**cell, **dict(other)}.items())
                raise MissingResultError(f"no result for {absent}")
            weighted.append((weight / len(others), selected[other]))
    return weighted


def _image_variance(cells: Sequence[WeightedCell], seeds: Sequence[int], metric: Metric) -> tuple[float | None, str]:
    """Return the variance of a sum between test sets, None if unknown, and how images are compared (`_test_name`).

    A single cell has no other to be compared with; its images are known by their number, as in its table.
    """
    if metric.of_predictions is None:
        return 0.0, ""
    by_dataset: dict[object, list[tuple[float, list[TrialResult]]]] = {}
    for weight, by_seed in cells:
        dataset = by_seed[seeds[0]].point.get("dataset")
        by_dataset.setdefault(dataset, []).append((weight, [by_seed[seed] for seed in seeds]))
    if not metric.is_accuracy:
        return sum(_bootstrap_variance(group, metric) for group in by_dataset.values()), "bootstrap"
    if any(by_seed[seed].num_test is None for _, by_seed in cells for seed in seeds):
        return None, "binomial"
    variance, is_paired = 0.0, True
    for group in by_dataset.values():
        predictions = [trial.correct for _, trials in group for trial in trials]
        sizes = {None if correct is None else len(correct) for correct in predictions}
        if len(cells) > 1 and len(sizes) == 1 and None not in sizes:
            weights = np.array([weight for weight, _ in group])
            variance += paired_variance(weights, np.array(predictions).reshape(len(group), len(seeds), -1))
        else:
            variance += sum(weight**2 * _binomial_variance(trials) for weight, trials in group)
            is_paired = False
    return variance, "McNemar" if is_paired else "binomial"


def _bootstrap_variance(group: Sequence[tuple[float, list[TrialResult]]], metric: Metric) -> float:
    """Return the variance of a sum of cells on one dataset, from replicates of their means over seeds.

    Half an image more in each cell keeps that of a share above 0, as in `paired_variance`.
    """
    sums = np.sum([weight * _mean_replicates(trials) for weight, trials in group], axis=0)
    variance = float(sums.var(ddof=1))
    num_test = group[0][1][0].num_test
    if not metric.is_share or num_test is None:
        return variance
    return variance + sum(weight**2 for weight, _ in group) / 2 / num_test**2


def _mean_replicates(trials: Sequence[TrialResult]) -> Array:
    replicates = [trial.replicates for trial in trials if trial.replicates is not None]
    assert len(replicates) == len(trials), "measured before (study.analysis.measured)"
    return np.asarray(np.mean(replicates, axis=0))


def paired_variance(weights: Array, correct: NDArray[np.bool_]) -> float:
    """Return the image part of the variance of a contrast whose cells share their images.

    With d the contrast of one image under one seed, it is (MS_image - MS_rest) / (S n), the variance component of
    images in the two-way layout of d, at least 0; with one seed, the variance over images. The last term keeps it above
    0 where no images differ: half an image more in each cell of McNemar's table (Agresti & Min, Statistics in
    Medicine 24 (2005) 729-740).

    Args:
        weights: (C,), C cells.
        correct: (C, S, n), S seeds, n images.
    """
    d: Array = np.tensordot(weights, correct, 1)
    num_seeds, num_images = len(d), len(d[0])
    by_image = d.mean(0)
    per_image = float(by_image.var(ddof=1))
    if num_seeds > 1:
        rest = d - by_image - (d.mean(1) - d.mean())[:, None]
        rest_mean_square = float((rest**2).sum()) / ((num_seeds - 1) * (num_images - 1))
        per_image = max(per_image - rest_mean_square / num_seeds, 0.0)
    return per_image / num_images + float((weights**2).sum()) / 2 / num_images**2


def _binomial_variance(trials: Sequence[TrialResult]) -> float:
    """Return the binomial variance of an accuracy whose images are known only by their number.

    One correct and one wrong image more keep it above 0 (Agresti & Caffo, The American Statistician 54 (2000)).
    """
    num_test = trials[0].num_test
    assert num_test is not None, "checked before"
    share = (num_test * float(np.mean([trial.value for trial in trials])) + 1) / (num_test + 2)
    return share * (1 - share) / (num_test + 2)


def _cell(trial: TrialResult, mean: float) -> tuple[float, int] | None:
    return None if trial.num_test is None else (mean, trial.num_test)
