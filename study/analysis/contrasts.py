"""Weighted sums of accuracies, which claims rest on, and where their variance comes from.

A result varies for two reasons: training (its seed) and the test set (which images are in it). A claim is about both:
that another seed, on other images of the same kind, would show the same. So neither many images nor many seeds decide
alone. The variance of a weighted sum has a part of each:

    seeds    trials of a seed are paired over the cells, since a seed sets the order of the images, the crops and the
             new head in all of them alike. Where that makes them no more alike, pairing costs degrees of freedom only.
    images   cells tested on the same images are compared image by image, on what McNemar's test counts: images that one
             gets right and the other wrong. Seeds share the images, so the images on which seeds agree stay uncertain
             however many seeds there are.

The two parts are those of readers (here seeds) crossed with cases (here images), as diagnostic radiology parts them:
Dorfman, Berbaum & Metz, Investigative Radiology 27 (1992) 723-731. Each part is weighed by its own quantile, Student's
for the few seeds and the normal one for the many images (Banerjee, Sankhya 22 (1960) 359-376): an interval covers at
least as often as it says, whatever the two are. With no image part this is the paired t test over seeds. A sum of one
cell has that cell's interval (`study.analysis.intervals`).

Few seeds may agree by chance. The variance between them is not taken to be below what the study's cells on a dataset
usually have. With one seed, what the ledger knows of trials of the same dataset and model takes its place.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from search_spaces.framework.claims import Cell, Contrast
from study.analysis.intervals import VarianceEstimate, image_half_widths, median_variance, seed_half_width

Array = NDArray[np.float64]
MIN_LEVEL, MAX_LEVEL = 1e-12, 0.5


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished trial: what it is, and which of the test images it got right.

    Attributes:
        point: its value on each axis.
        num_test: None where it is not known.
        right: (num_test,), None where it is not known.
        spread: what is known of the variance between seeds from other trials of its dataset and model.
    """

    point: Mapping[str, Any]
    seed: int
    accuracy: float
    num_test: int | None
    right: NDArray[np.bool_] | None
    spread: VarianceEstimate | None


@dataclass(frozen=True, kw_only=True)
class ContrastEstimate:
    """A weighted sum of accuracies (share), and where its variance comes from.

    Attributes:
        effect: less the published accuracy, where the claim has one.
        seed_variance: of the sum, between its seeds; 0 with one.
        known: what seed_variance is not below; with one seed, what it is, or None where that is not known.
        image_variance: of the mean over seeds, from one test set to the next, however many seeds there are.
        cell: accuracy and number of test images, where the sum is of one cell.
        num_seeds: seeds that all of the cells have.
        test: in a few words.
        left_out: seeds that only some of the cells have.
    """

    effect: float
    seed_variance: float
    known: VarianceEstimate | None
    image_variance: float
    cell: tuple[float, int] | None
    num_seeds: int
    test: str
    left_out: tuple[int, ...]

    def half_width(self, level: float, side: int) -> float:
        """Return how far the one-sided limit of the effect is below (side -1) or above it (side 1).

        Satterthwaite's degrees of freedom, and Hillis's for this layout (Statistics in Medicine 26 (2007) 596-619),
        make narrower ones. With 2 or 3 seeds they trust seeds that agree by chance: simulated studies of six claims
        without a true difference got a wrong verdict up to four times as often as they should.
        """
        assert self.known is not None, "checked before"
        seeds = seed_half_width(self.seed_variance, self.num_seeds, self.known, level)
        return math.hypot(seeds, self._images_half_width(level, side))

    def _images_half_width(self, level: float, side: int) -> float:
        if self.cell is None:
            return float(-special.ndtri(level)) * math.sqrt(self.image_variance)
        below, above = image_half_widths(*self.cell, level)
        return above if side > 0 else below

    def p_beyond(self, bound: float, direction: int) -> float:
        """Return the one-sided p of the effect being above (direction 1) or below (-1) a bound.

        It is the level at which the limit that faces the bound reaches it.
        """
        distance, side = abs(bound - self.effect), 1 if bound > self.effect else -1
        level = self._level_of(distance, side)
        return level if side == -direction else 1 - level

    def _level_of(self, distance: float, side: int) -> float:
        def surplus(log_level: float) -> float:
            return self.half_width(math.exp(log_level), side) - distance

        lowest, highest = math.log(MIN_LEVEL), math.log(MAX_LEVEL)
        if surplus(highest) >= 0:
            return MAX_LEVEL
        if surplus(lowest) <= 0:
            return MIN_LEVEL
        return math.exp(optimize.brentq(surplus, lowest, highest))


class MissingResultError(Exception):
    """A comparison cannot be made; the message says what is missing."""


def median_variances(runs: Sequence[Run]) -> dict[object, VarianceEstimate]:
    """Return what a study knows of the variance between the seeds of a cell, by dataset."""
    cells: dict[frozenset[tuple[str, Any]], list[Run]] = {}
    for run in runs:
        cells.setdefault(frozenset(run.point.items()), []).append(run)
    by_dataset: dict[object, list[list[float]]] = {}
    for cell in cells.values():
        by_dataset.setdefault(cell[0].point.get("dataset"), []).append([run.accuracy for run in cell])
    return {dataset: median_variance(accuracies) for dataset, accuracies in by_dataset.items()}


def compare(
    contrast: Contrast, published: float, runs: Sequence[Run], usual: Mapping[object, VarianceEstimate]
) -> ContrastEstimate:
    """Estimate a contrast less what is published, and the parts of its variance.

    Args:
        usual: `median_variances` of the study.

    Raises:
        MissingResultError: a cell has no finished trial, no seed is in all cells, or a test count is unknown.
    """
    cells = _weighted_cells(contrast, runs)
    common = set.intersection(*(set(trials) for _, trials in cells))
    if not common:
        raise MissingResultError("no seed is finished in all of its cells")
    seeds = sorted(common)
    sums = np.array([sum(weight * trials[seed].accuracy for weight, trials in cells) for seed in seeds])
    is_alone = len(cells) == 1
    image_variance, is_paired = _image_variance(cells, seeds)
    return ContrastEstimate(
        effect=float(sums.mean()) - published,
        seed_variance=float(sums.var(ddof=1)) if len(seeds) > 1 else 0.0,
        known=_known_spread(cells, seeds, usual),
        image_variance=image_variance,
        cell=(float(sums.mean()), _num_test(cells[0][1][seeds[0]])) if is_alone else None,
        num_seeds=len(seeds),
        test=_test(len(seeds), is_paired=is_paired, is_alone=is_alone),
        left_out=tuple(sorted(set().union(*(trials for _, trials in cells)) - common)),
    )


def _test(num_seeds: int, *, is_paired: bool, is_alone: bool) -> str:
    seeds = "1 seed" if num_seeds == 1 else "over seeds" if is_alone else "paired by seed"
    return f"{seeds}, {'image by image' if is_paired else 'test images by their number'}"


def _known_spread(
    cells: Sequence[tuple[float, dict[int, Run]]], seeds: Sequence[int], usual: Mapping[object, VarianceEstimate]
) -> VarianceEstimate | None:
    """Return what is known of the variance between seeds of a sum whose cells vary independently."""
    runs = [(weight, trials[seeds[0]]) for weight, trials in cells]
    spreads = [usual[run.point.get("dataset")] if len(seeds) > 1 else run.spread for _, run in runs]
    found = [spread for spread in spreads if spread is not None]
    if len(found) < len(spreads):
        return None
    variance = sum(weight**2 * spread.variance for (weight, _), spread in zip(runs, found, strict=True))
    return VarianceEstimate(variance, min(spread.df for spread in found))


def _weighted_cells(contrast: Contrast, runs: Sequence[Run]) -> list[tuple[float, dict[int, Run]]]:
    """Return each cell's weight in a contrast, and its trials by seed; averaged over axes that are not selected."""
    found = [_selected(cell, runs) for _, cell in contrast]
    others = set().union(*found) or {frozenset[tuple[str, Any]]()}
    weighted = []
    for (weight, cell), trials in zip(contrast, found, strict=True):
        for other in others:
            if other not in trials:
                lacking = ", ".join(f"{axis} {value}" for axis, value in {**cell, **dict(other)}.items())
                raise MissingResultError(f"no result of {lacking}")
            weighted.append((weight / len(others), trials[other]))
    return weighted


def _selected(cell: Cell, runs: Sequence[Run]) -> dict[frozenset[tuple[str, Any]], dict[int, Run]]:
    """Return the trials that have a cell's values: by their values on the other axes, then by seed."""
    trials: dict[frozenset[tuple[str, Any]], dict[int, Run]] = {}
    for run in runs:
        if cell.items() <= run.point.items():
            trials.setdefault(frozenset(run.point.items() - cell.items()), {})[run.seed] = run
    return trials


def _image_variance(cells: Sequence[tuple[float, dict[int, Run]]], seeds: Sequence[int]) -> tuple[float, bool]:
    """Return the variance that the choice of test images gives a sum, and whether it compares image by image.

    A cell alone has no other to be compared with, and counts as in its table.
    """
    by_dataset: dict[object, list[tuple[float, list[Run]]]] = {}
    for weight, trials in cells:
        dataset = trials[seeds[0]].point.get("dataset")
        by_dataset.setdefault(dataset, []).append((weight, [trials[seed] for seed in seeds]))
    variance, is_paired = 0.0, True
    for group in by_dataset.values():
        rights = [run.right for _, runs in group for run in runs]
        sizes = {None if right is None else len(right) for right in rights}
        if len(cells) > 1 and len(sizes) == 1 and None not in sizes:
            weights = np.array([weight for weight, _ in group])
            variance += paired_variance(weights, np.array(rights).reshape(len(group), len(seeds), -1))
        else:
            variance += sum(weight**2 * _count_variance(runs) for weight, runs in group)
            is_paired = False
    return variance, is_paired


def paired_variance(weights: Array, right: NDArray[np.bool_]) -> float:
    """Return the part of images in the variance of a contrast whose cells share their images.

    With d the contrast of one image under one seed, it is (MS_image - MS_rest) / (S n), the variance component of
    images in the two-way layout of d, and not below 0; with one seed all that varies over images. The last term keeps
    it above 0 where no images differ: half an image more in each cell of McNemar's table (Agresti & Min, Biostatistics
    6 (2005)).

    Args:
        weights: (C,), C cells.
        right: (C, S, n), S seeds, n images.
    """
    d: Array = np.tensordot(weights, right, 1)
    num_seeds, num_images = len(d), len(d[0])
    by_image = d.mean(0)
    per_image = float(by_image.var(ddof=1))
    if num_seeds > 1:
        rest = d - by_image - (d.mean(1) - d.mean())[:, None]
        rest_mean_square = float((rest**2).sum()) / ((num_seeds - 1) * (num_images - 1))
        per_image = max(per_image - rest_mean_square / num_seeds, 0.0)
    return per_image / num_images + float((weights**2).sum()) / 2 / num_images**2


def _count_variance(runs: Iterable[Run]) -> float:
    """Return the binomial variance of an accuracy whose images are known by number only: other cells' are others.

    One right and one wrong more keep it above 0 (Agresti & Caffo, The American Statistician 54 (2000)).
    """
    runs = list(runs)
    num_test = _num_test(runs[0])
    share = (num_test * float(np.mean([run.accuracy for run in runs])) + 1) / (num_test + 2)
    return share * (1 - share) / (num_test + 2)


def _num_test(run: Run) -> int:
    if run.num_test is None:
        raise MissingResultError("the number of test images is not known")
    return run.num_test
