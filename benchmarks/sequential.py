"""Simulated studies with `--until-decided`: wrong verdicts, power against what is stated, seeds saved.

    python -m benchmarks sequential

Studies are those of `benchmarks.coverage`: seeds and test images are both random, and all trials share the images.
Verdicts are those of the report, replayed look by look, against a fixed plan of the largest number of seeds.

1. Studies of seven claims of all kinds, whose effects are at the bounds: no verdict is right.
2. Studies of three claims, with effects that few seeds can just resolve. Stated is what the first look
   says of the claims that it leaves open.
3. The choice of looks and spending function: one claim, or one of seven, with normal seeds. It must lose less than 10
   points of power, whatever the effect, against a fixed plan.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import special

from benchmarks.coverage import AGREEMENTS, BASE, CLAIMS, NULL, PLANNED, Agreement, Images, result_of, study
from benchmarks.ratios import BenchmarkResult
from search_spaces.framework.claims import Claim
from search_spaces.framework.sequential_design import LEVEL, OBRIEN_FLEMING, POCOCK, POWER_FAMILY, SequentialDesign
from study.analysis.claim_tests import ClaimResult, evaluate_claims
from study.analysis.contrasts import ContrastEstimate, TrialResult
from study.analysis.intervals import VarianceEstimate
from study.analysis.power import SeedPlan, future_half_width
from study.analysis.sequential import ClaimProgress, LookOptions, num_seeds_of, replay_looks

DESIGN = SequentialDesign.between(3, 10)
NUM_STUDIES, NUM_TINY = 2000, 20
SETTINGS = (("tight", 600), ("wide", 40), ("wide", 600), ("wide", 10_000), ("little", 600))
MAX_POWER_GAP, MAX_POWER_LOSS = 0.05, 0.1


def measure(*, tiny: bool) -> list[BenchmarkResult]:
    """Return wrong verdicts, power, seeds saved, and the designs that were compared."""
    num_studies = NUM_TINY if tiny else NUM_STUDIES
    settings = SETTINGS[:1] if tiny else SETTINGS
    found = [_null_line(each, num_studies) for each in settings]
    found += [line for each in settings for line in _power_lines(each, num_studies)]
    return [*found, *_choice_lines(500 if tiny else 10_000)]


# 1. No effect


@dataclass
class Looks:
    """Looks at one study, with the verdicts of other rules on the same data.

    Attributes:
        is_naive: True if a look at 5 % each would have given a verdict, too.
    """

    progress: list[ClaimProgress] = field(default_factory=list)
    is_naive: bool = False

    @property
    def num_decided(self) -> int:
        """Number of claims with a verdict."""
        return sum(each.result.verdict != "inconclusive" for each in self.progress)


def look_at(claims: Sequence[Claim], trials: Sequence[TrialResult], *, with_power: bool = False) -> Looks:
    """Replay the looks of a study whose trials have all ended."""
    looks = Looks()

    def evaluate(
        tested: Sequence[Claim], is_read: Callable[[TrialResult], bool], options: LookOptions
    ) -> list[ClaimResult]:
        options = options if with_power else {**options, "plan": lambda open_: [SeedPlan()] * len(open_)}
        results = evaluate_claims(tested, [each for each in trials if is_read(each)], **options)
        looks.is_naive |= any(each.p_holm is not None and each.p_holm <= LEVEL for each in results)
        return results

    looks.progress = replay_looks(claims, DESIGN, evaluate, lambda *_: True)
    return looks


def wrong_verdicts(agreement: Agreement, num_test: int, num_studies: int) -> tuple[int, int]:
    """Return how many studies without an effect get a verdict: by the design, and by looks at 5 % each."""
    rng, by_design, naive = np.random.default_rng(0), 0, 0
    for _ in range(num_studies):
        looks = look_at(CLAIMS, study(rng, NULL, agreement, num_test, DESIGN.largest))
        by_design += looks.num_decided > 0
        naive += looks.is_naive
    return by_design, naive


def _null_line(setting: tuple[str, int], num_studies: int) -> BenchmarkResult:
    name, num_test = setting
    wrong, naive = wrong_verdicts(AGREEMENTS[name], num_test, num_studies)
    return BenchmarkResult(
        what=f"studies without an effect that get a verdict: {name}, {num_test:,} images",
        against="5 %",
        ratio=wrong / num_studies / LEVEL,
        target=1,
        at_least=False,
        details=f"{format_share(wrong, num_studies)}; looks at 5 % each: {format_share(naive, num_studies)}",
    )


def format_share(count: int, total: int) -> str:
    """Return a share in percent with its 95 % interval (Wilson, J. American Statistical Association 1927)."""
    z = float(special.ndtri(0.975))
    share, spread = count / total, z * z / total
    center = (share + spread / 2) / (1 + spread)
    margin = z / (1 + spread) * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    return f"{100 * share:.1f} % ({100 * max(center - margin, 0):.1f} to {100 * (center + margin):.1f})"


# 2. Effects


@dataclass
class Power:
    """Sums over claims and studies.

    Attributes:
        stated, reached: power of the claims that the first look leaves open.
        expected, taken: seeds at which they end.
        decided, decided_by_all: claims with a verdict: by the design, by a fixed plan of the largest number.
        seeds, seeds_of_all: seeds of all cells.
    """

    num_open: int = 0
    stated: float = 0.0
    reached: int = 0
    expected: float = 0.0
    taken: int = 0
    num_claims: int = 0
    decided: int = 0
    decided_by_all: int = 0
    seeds: int = 0
    seeds_of_all: int = 0


def power_of(agreement: Agreement, num_test: int, num_studies: int) -> Power:
    """Return the power of the looks to come, stated by the first look, and what they then reach.

    Effects are drawn anew for each study, with a scale that three seeds can just resolve.
    """
    rng, found = np.random.default_rng(0), Power()
    scale = math.sqrt(4 * agreement.seed_sd**2 / DESIGN.smallest + 4 * BASE * (1 - BASE) / num_test)
    for _ in range(num_studies):
        expected = np.clip(BASE + scale * rng.standard_normal(4), 0.6, 0.99)
        correct, _ = Images.draw(rng, expected, num_test, agreement).test(rng, DESIGN.largest)
        trials = [
            result_of({"arm": arm}, seed, images, None)
            for arm, by_seed in enumerate(correct)
            for seed, images in enumerate(by_seed)
        ]
        _add_study(found, trials)
    return found


def _add_study(found: Power, trials: Sequence[TrialResult]) -> None:
    first = replay_looks(PLANNED, DESIGN, _evaluator(trials), lambda _, look: look == DESIGN.smallest)
    last = look_at(PLANNED, trials)
    fixed = evaluate_claims(PLANNED, trials)
    for begun, ended in zip(first, last.progress, strict=True):
        if begun.result.power is not None and begun.result.expected_seeds is not None:
            found.num_open += 1
            found.stated += begun.result.power
            found.reached += ended.result.verdict != "inconclusive"
            found.expected += begun.result.expected_seeds
            found.taken += ended.num_seeds
    found.num_claims += len(fixed)
    found.decided += last.num_decided
    found.decided_by_all += sum(each.verdict != "inconclusive" for each in fixed)
    points = {str(each.point): each.point for each in trials}.values()
    found.seeds += sum(num_seeds_of(point, last.progress, DESIGN) for point in points)
    found.seeds_of_all += DESIGN.largest * len(points)


def _evaluator(trials: Sequence[TrialResult]) -> Callable[..., list[ClaimResult]]:
    def evaluate(
        tested: Sequence[Claim], is_read: Callable[[TrialResult], bool], options: LookOptions
    ) -> list[ClaimResult]:
        return evaluate_claims(tested, [each for each in trials if is_read(each)], **options)

    return evaluate


def _power_lines(setting: tuple[str, int], num_studies: int) -> list[BenchmarkResult]:
    name, num_test = setting
    found = power_of(AGREEMENTS[name], num_test, num_studies)
    stated, reached = (each / max(found.num_open, 1) for each in (found.stated, found.reached))
    expected, taken = (each / max(found.num_open, 1) for each in (found.expected, found.taken))
    return [
        BenchmarkResult(
            what=f"power reached: {name}, {num_test:,} images",
            against="stated by the first look, difference",
            ratio=abs(reached - stated),
            target=MAX_POWER_GAP,
            at_least=False,
            details=f"{found.num_open:,} claims: stated {100 * stated:.1f} %, reached {100 * reached:.1f} %; "
            f"seeds expected {expected:.2f}, taken {taken:.2f}",
        ),
        BenchmarkResult(
            what=f"seeds: {name}, {num_test:,} images",
            against=f"a fixed plan of {DESIGN.largest}",
            ratio=found.seeds / found.seeds_of_all,
            target=1,
            at_least=False,
            details=f"verdicts on {100 * found.decided / found.num_claims:.1f} % of claims, "
            f"by the fixed plan {100 * found.decided_by_all / found.num_claims:.1f} %",
        ),
    ]


# 3. The choice of a design

EFFECTS = (0.7, 1.0, 1.4, 2.0, 3.0, 6.0, 12.0)
"""Effects in standard deviations between seeds."""
FAMILIES, IMAGE_VARIANCES = (1, 7), (0.0, 0.1)
LOOK_SETS = ((3, 10), (3, 6, 10), (3, 4, 6, 10), (3, 4, 6, 8, 10), tuple(range(3, 11)))
SPENDINGS: Mapping[str, Mapping[str, object]] = {
    POCOCK: {"spending": POCOCK},
    OBRIEN_FLEMING: {"spending": OBRIEN_FLEMING},
    **{f"power {each:g}": {"spending": POWER_FAMILY, "exponent": each} for each in (1.0, 1.5, 2.0, 3.0)},
}
CHOSEN = (DESIGN.looks, "power 2")


def try_design(design: SequentialDesign, num_studies: int) -> tuple[float, float, list[float]]:
    """Return the mean and largest loss of power against one look at the largest number, and mean seeds by effect."""
    losses, seeds = [], []
    for family, image_variance, effect in itertools.product(FAMILIES, IMAGE_VARIANCES, EFFECTS):
        power, mean = _simulate(design, effect, image_variance, family, num_studies)
        at_once, _ = _simulate(SequentialDesign(looks=(design.largest,)), effect, image_variance, family, num_studies)
        losses.append(at_once - power)
        seeds.append(mean)
    by_effect = np.reshape(seeds, (-1, len(EFFECTS))).mean(0)
    return float(np.mean(losses)), max(losses), by_effect.tolist()


def _simulate(
    design: SequentialDesign, effect: float, image_variance: float, family: int, num_studies: int
) -> tuple[float, float]:
    """Return the share of studies that decide a claim, and their mean number of seeds."""
    rng = np.random.default_rng(0)
    contrast = ContrastEstimate(
        effect=effect, seed_variance=1.0, prior=VarianceEstimate(1.0, math.inf), image_variance=image_variance,
        cell=None, num_seeds=design.largest, test="", excluded_seeds=(),
    )  # fmt: skip
    images = math.sqrt(image_variance) * rng.standard_normal(num_studies)
    values = effect + images + rng.standard_normal((design.largest, num_studies))
    seeds, is_open = np.full(num_studies, float(design.largest)), np.ones(num_studies, bool)
    for look in design.looks:
        read = values[:look]
        half_width = future_half_width(contrast, read.var(0) * look, look, design.level_of(look) / 2 / family)
        passed = is_open & (np.abs(read.mean(0)) > half_width)
        seeds[passed] = look
        is_open &= ~passed
    return 1 - is_open.mean(), float(seeds.mean())


def _choice_lines(num_studies: int) -> list[BenchmarkResult]:
    return [
        _choice_line(looks, name, num_studies)
        for looks, name in itertools.product(LOOK_SETS, SPENDINGS)
        if name == CHOSEN[1] or looks == CHOSEN[0]
    ]


def _choice_line(looks: tuple[int, ...], name: str, num_studies: int) -> BenchmarkResult:
    design = SequentialDesign(looks=looks, **SPENDINGS[name])  # type: ignore[arg-type]  # its keywords
    mean, largest, seeds = try_design(design, num_studies)
    by_effect = ", ".join(f"{effect:g}: {each:.1f}" for effect, each in zip(EFFECTS, seeds, strict=True))
    return BenchmarkResult(
        what=f"largest loss of power: looks at {', '.join(map(str, looks))}, {name}",
        against="a fixed plan of 10, difference",
        ratio=largest,
        target=MAX_POWER_LOSS if (looks, name) == CHOSEN else None,
        at_least=False,
        details=f"mean loss {mean:.3f}; mean seeds {np.mean(seeds):.2f}; by effect in sd, {by_effect}",
    )
