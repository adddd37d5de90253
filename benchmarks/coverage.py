"""Simulated studies: coverage of intervals, rate of false verdicts, calibration of power.

    python -m benchmarks.coverage                    2,000 studies per setting, two hours on a CPU core
    python -m benchmarks.coverage --studies 100      fewer
    python -m benchmarks.coverage power              one of the three tables

Seeds and test images are both random, and all trials of a study share the images. The difficulty of an image is a
standard normal number, the sum of three parts: for all trials, for one cell, for one trial. A trial classifies it
correctly if the sum is below a threshold, which sets the trial's accuracy on new images. The command fails if a limit
is exceeded by more than three standard errors of the simulation.
"""

import argparse
import itertools
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from search_spaces.framework.claims import Best, BetterThan, Claim, LargerGap, Matches, NoDifference, Trend
from study.analysis.claim_tests import evaluate_claims
from study.analysis.contrasts import TrialResult
from study.analysis.intervals import VarianceEstimate, cell_interval, median_variance, pooled_variance
from study.analysis.power import MAX_SEEDS

Bools = NDArray[np.bool_]
Cells = Mapping[tuple[int, int], float]
"""Accuracy of each cell, minus 0.9, by its values on two axes: arm and level."""

BASE = 0.9
MIN_COVERAGE, MAX_FALSE, MAX_POWER_GAP = 0.94, 0.05, 0.08
NUMS_TEST, NUMS_SEEDS = (40, 600, 10_000), (1, 2, 3, 5)


@dataclass(frozen=True)
class Agreement:
    """Agreement between the trials of one cell.

    Attributes:
        seed_sd: standard deviation of their accuracies on new images (share).
        common: share of an image's difficulty that is common to all trials of a cell.
    """

    seed_sd: float
    common: float


AGREEMENTS = {"tight": Agreement(0.002, 0.95), "wide": Agreement(0.03, 0.7), "little": Agreement(0.01, 0.2)}


@dataclass(frozen=True)
class Images:
    """Test images of a dataset, with their difficulty for each cell of a study."""

    expected: NDArray[np.float64]
    difficulty: NDArray[np.float32]
    agreement: Agreement

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        expected: Sequence[float] | NDArray[np.float64],
        num_test: int,
        agreement: Agreement,
    ) -> "Images":
        """Draw images. `expected` is each cell's accuracy on new images, averaged over seeds."""
        to_all, to_cell = math.sqrt(0.8 * agreement.common), math.sqrt(0.2 * agreement.common)
        difficulty = to_all * rng.standard_normal(num_test, np.float32)
        difficulty = difficulty + to_cell * rng.standard_normal((len(expected), num_test), np.float32)
        return cls(np.asarray(expected), difficulty, agreement)

    def test(self, rng: np.random.Generator, num_seeds: int) -> tuple[Bools, NDArray[np.float64]]:
        """Simulate seeds of each cell: which images are correct (C, S, n), accuracies on new images (C, S)."""
        deviations = self.agreement.seed_sd * rng.standard_normal((len(self.expected), num_seeds))
        accuracy = np.clip(self.expected[:, None] + deviations, 0.001, 0.999)
        own = rng.standard_normal((*accuracy.shape, self.difficulty.shape[-1]), np.float32)
        own *= math.sqrt(1 - self.agreement.common)
        return own + self.difficulty[:, None] < special.ndtri(accuracy)[..., None].astype(np.float32), accuracy


def mean_accuracy(expected: float, agreement: Agreement) -> float:
    """Return a cell's accuracy on new images, averaged over seeds clipped to 0.001 and 0.999."""
    tails = (np.arange(10_000) + 0.5) / 10_000
    return float(np.clip(expected + agreement.seed_sd * special.ndtri(tails), 0.001, 0.999).mean())


# Intervals

ACCURACIES = (0.95, 0.9, 0.8, 0.6)


def coverage(rng: np.random.Generator, agreement: Agreement, num_test: int, num_seeds: int, num_studies: int) -> float:
    """Return the coverage of the cell whose interval covers least.

    An interval must cover the accuracy on new images: averaged over seeds, or that of its one seed.
    """
    covered = []
    for _ in range(num_studies):
        correct, accuracy = Images.draw(rng, ACCURACIES, num_test, agreement).test(rng, num_seeds)
        measured = correct.mean(-1)
        prior = median_variance(measured)
        intervals = [cell_interval(by_seed, num_test, prior) for by_seed in measured]
        truth = accuracy[:, 0] if num_seeds == 1 else [mean_accuracy(each, agreement) for each in ACCURACIES]
        covered.append([low <= true <= high for (low, high), true in zip(intervals, truth, strict=True)])
    return float(np.mean(covered, axis=0).min())


# Verdicts: studies with one claim of each kind

MARGIN = 0.02
CLAIMS: tuple[Claim, ...] = (
    BetterThan(better={"dataset": "better than", "arm": 0}, worse={"dataset": "better than", "arm": 1}, quote=""),
    BetterThan(
        better={"dataset": "gap", "arm": 0}, worse={"dataset": "gap", "arm": 1}, at_least=100 * MARGIN, quote=""
    ),
    Best(axis="arm", value=0, among=(0, 1, 2, 3), where={"dataset": "best"}, quote=""),
    Best(axis="arm", value=(0, 1), among=(0, 1, 2, 3), where={"dataset": "one of two"}, quote=""),
    Trend(axis="arm", direction="increasing", values=(0, 1, 2, 3), where={"dataset": "trend"}, quote=""),
    LargerGap(
        gap=({"arm": 1, "level": 1}, {"arm": 1, "level": 0}),
        than=(({"arm": 0, "level": 1}, {"arm": 0, "level": 0}),),
        where={"dataset": "larger gap"},
        quote="",
    ),
    NoDifference(axis="arm", among=(0, 1, 2), margin=100 * MARGIN, where={"dataset": "no difference"}, quote=""),
    Matches(axis="arm", published={0: 90, 1: 88}, margin=100 * MARGIN, where={"dataset": "matches"}, quote=""),
)
NULL: Mapping[str, Cells] = {
    "better than": {(0, 0): 0.0, (1, 0): 0.0},
    "gap": {(0, 0): MARGIN, (1, 0): 0.0},
    "best": {(arm, 0): 0.0 for arm in range(4)},
    "one of two": {(arm, 0): 0.0 for arm in range(4)},
    "trend": {(arm, 0): 0.0 for arm in range(4)},
    "larger gap": {(0, 0): 0.0, (0, 1): -0.05, (1, 0): 0.0, (1, 1): -0.05},
    "no difference": {(0, 0): -MARGIN / 2, (1, 0): 0.0, (2, 0): MARGIN / 2},
    "matches": {(0, 0): MARGIN, (1, 0): -0.02},
}
"""Effects at the bounds of each claim, where neither the claim nor its opposite is true."""


def study(
    rng: np.random.Generator, truth: Mapping[str, Cells], agreement: Agreement, num_test: int, num_seeds: int
) -> list[TrialResult]:
    """Draw a study with a dataset for each claim; the variance of a single seed comes from other cells."""
    results = []
    for dataset, cells in truth.items():
        expected = [BASE + each for each in cells.values()]
        correct, _ = Images.draw(rng, expected, num_test, agreement).test(rng, num_seeds)
        prior = variance_elsewhere(rng, agreement, num_test) if num_seeds == 1 else None
        results += [
            result_of({"dataset": dataset, "arm": arm, "level": level}, seed, images, prior)
            for (arm, level), by_seed in zip(cells, correct, strict=True)
            for seed, images in enumerate(by_seed)
        ]
    return results


def result_of(point: Mapping[str, object], seed: int, correct: Bools, prior: VarianceEstimate | None) -> TrialResult:
    """Return the result of a trial, from which of its test images are correct: (num_test,)."""
    return TrialResult(
        point=point,
        seed=seed,
        value=correct.mean(),
        num_test=len(correct),
        correct=correct,
        prior_variance=prior,
    )


def variance_elsewhere(rng: np.random.Generator, agreement: Agreement, num_test: int) -> VarianceEstimate | None:
    """Estimate the variance between seeds from four other cells of three seeds each."""
    correct, _ = Images.draw(rng, [BASE] * 4, num_test, agreement).test(rng, 3)
    return pooled_variance(correct.mean(-1))


def false_verdicts(
    rng: np.random.Generator, agreement: Agreement, num_test: int, num_seeds: int, num_studies: int
) -> float:
    """Return the share of studies with a false verdict, with all effects at the bounds of their claims."""
    found = [evaluate_claims(CLAIMS, study(rng, NULL, agreement, num_test, num_seeds)) for _ in range(num_studies)]
    return float(np.mean([any(each.verdict != "inconclusive" for each in results) for results in found]))


# Power: a pilot of three seeds, then seeds added to the same study

PILOT = 3
PLANNED: tuple[Claim, ...] = (
    BetterThan(better={"arm": 0}, worse={"arm": 1}, quote=""),
    BetterThan(better={"arm": 2}, worse={"arm": 1}, at_least=100 * MARGIN, quote=""),
    NoDifference(axis="arm", among=(2, 3), margin=100 * MARGIN, quote=""),
)


@dataclass(frozen=True)
class Power:
    """Power stated for claims that a pilot left inconclusive, with the share of them that came to a verdict."""

    num_claims: int
    stated: float
    reached: float


def power(rng: np.random.Generator, agreement: Agreement, num_test: int, num_studies: int) -> tuple[Power, Power]:
    """Return the power of the required seeds, and of MAX_SEEDS for claims that require more.

    Effects are drawn anew for each study, with a scale that a pilot can just resolve.
    """
    found: dict[bool, list[tuple[float, bool]]] = {True: [], False: []}
    scale = math.sqrt(4 * agreement.seed_sd**2 / PILOT + 4 * BASE * (1 - BASE) / num_test)
    for _ in range(num_studies):
        expected = list(np.clip(BASE + scale * rng.standard_normal(4), 0.6, 0.99))
        images = Images.draw(rng, expected, num_test, agreement)
        correct, _ = images.test(rng, PILOT)
        for index, pilot in enumerate(evaluate_claims(PLANNED, _results(correct))):
            if pilot.power is not None:
                more, _ = images.test(rng, (pilot.required_seeds or MAX_SEEDS) - PILOT)
                later = evaluate_claims(PLANNED, _results(np.concatenate([correct, more], axis=1)))[index]
                found[pilot.required_seeds is not None].append((pilot.power, later.verdict != "inconclusive"))
    up_to_max, above_max = (
        Power(len(each), *map(float, np.mean(each, axis=0))) for each in (found[True], found[False])
    )
    return up_to_max, above_max


def _results(correct: Bools) -> list[TrialResult]:
    return [
        result_of({"arm": arm}, seed, images, None)
        for arm, by_seed in enumerate(correct)
        for seed, images in enumerate(by_seed)
    ]


# The command


def by_seeds(measure: Callable[..., float], num_studies: int) -> Iterator[tuple[str, list[float]]]:
    """Yield the start of a row per agreement and number of images, with a share per number of seeds."""
    for (name, agreement), num_test in itertools.product(AGREEMENTS.items(), NUMS_TEST):
        rng = np.random.default_rng(0)
        yield (
            f"| {name} | {num_test:,} |",
            [measure(rng, agreement, num_test, each, num_studies) for each in NUMS_SEEDS],
        )


def print_by_seeds(title: str, measure: Callable[..., float], num_studies: int) -> list[float]:
    """Print a table of shares by number of seeds; return the shares."""
    columns = " | ".join("1 seed" if each == 1 else f"{each} seeds" for each in NUMS_SEEDS)
    print(f"\n{title}\n\n| agreement | test images | {columns} |\n|{'---|' * (2 + len(NUMS_SEEDS))}")
    found = []
    for row, shares in by_seeds(measure, num_studies):
        print(row, " | ".join(f"{100 * share:.1f}" for share in shares), "|", flush=True)
        found += shares
    return found


def print_power(num_studies: int) -> list[float]:
    """Print a table of stated and reached power; return their differences beyond noise."""
    columns = "| agreement | test images | required seeds | claims | stated | reached |"
    print(f"\nPower, %: stated by {PILOT} seeds, and reached by seeds added to them\n\n{columns}\n|{'---|' * 6}")
    gaps = []
    for (name, agreement), num_test in itertools.product(AGREEMENTS.items(), NUMS_TEST):
        measured = power(np.random.default_rng(0), agreement, num_test, num_studies)
        for required, each in zip((f"up to {MAX_SEEDS}", f"> {MAX_SEEDS}"), measured, strict=True):
            shares = f"{100 * each.stated:.1f} | {100 * each.reached:.1f}"
            print(f"| {name} | {num_test:,} | {required} | {each.num_claims} | {shares} |", flush=True)
            gaps.append(abs(each.stated - each.reached) - noise(each.stated, each.num_claims))
    return gaps


def noise(share: float, count: int) -> float:
    """Return three standard errors of a share."""
    return 3 * math.sqrt(share * (1 - share) / count)


def is_within_limit(table: str, num_studies: int) -> bool:
    """Print a table; return whether all its shares are within their limit."""
    match table:
        case "intervals":
            title = "Intervals of a cell that cover its accuracy on new images, %"
            return min(print_by_seeds(title, coverage, num_studies)) >= MIN_COVERAGE - noise(MIN_COVERAGE, num_studies)
        case "verdicts":
            title = "Studies of seven claims with a false verdict, %"
            return max(print_by_seeds(title, false_verdicts, num_studies)) <= MAX_FALSE + noise(MAX_FALSE, num_studies)
        case _:
            return max(print_power(num_studies)) <= MAX_POWER_GAP


TABLES = ("intervals", "verdicts", "power")


def main() -> None:
    """Print the requested tables; fail if one exceeds its limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=[*TABLES, "all"], nargs="?", default="all")
    parser.add_argument("--studies", type=int, default=2000, help="simulated studies per setting")
    arguments = parser.parse_args()
    passed = [is_within_limit(table, arguments.studies) for table in TABLES if arguments.table in (table, "all")]
    sys.exit(0 if all(passed) else "a limit is exceeded")


if __name__ == "__main__":
    main()
