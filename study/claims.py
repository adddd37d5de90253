"""Are a study's claims so? Each is judged from finished trials: supported, contradicted or undecided.

A result varies for two reasons: training (its seed) and the test set (which images are in it). A claim is about both:
that another seed, on other images of the same kind, would show the same. So neither many images nor many seeds decide
alone. Each claim rests on weighted sums of accuracies, and the variance of such a sum has a part of each:

    seeds    trials of a seed are paired over the cells, since a seed sets the order of the images, the crops and the
             new head in all of them alike. Where that makes them no more alike, pairing costs degrees of freedom only.
    images   cells tested on the same images are compared image by image, on what McNemar's test counts: images that one
             gets right and the other wrong. Seeds share the images, so the images on which seeds agree stay uncertain
             however many seeds there are.

The two parts are those of readers (here seeds) crossed with cases (here images), as diagnostic radiology parts them:
Dorfman, Berbaum & Metz, Investigative Radiology 27 (1992) 723-731. Each part is weighed by its own quantile, Student's
for the few seeds and the normal one for the many images (Banerjee, Sankhya 22 (1960) 359-376): an interval covers at
least as often as it says, whatever the two are. With no image part this is the paired t test over seeds. With one seed
it is McNemar's test in Wald's form; the spread between seeds is then unknown, and ASSUMED_SEED_SD takes its place, so
that one seed decides only what hardly another could undo.

All tests are two-sided at 5 %, and Holm's correction covers the claims of a study. A verdict needs every comparison
that a claim rests on (an intersection-union test: Berger, Technometrics 24 (1982) 295-300); one comparison contradicts
it, after Bonferroni's correction over them.
"""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, special

from search_spaces.claims import Cell, Claim, Contrast, Gap, Matches, NoDifference
from search_spaces.published import Published

Verdict = Literal["supported", "contradicted", "undecided"]
Array = NDArray[np.float64]

LEVEL = 0.05
POWER = 0.8
MOST_SEEDS = 100

ASSUMED_SEED_SD = 0.01
"""Standard deviation of accuracy between seeds (share) that is assumed where there is one seed.

Four times the widest that is published for fine-tuning a ViT on all of a small dataset: CIFAR-100 at 91.09 to 91.62 in
five runs (big_vision, configs/transfer.py), which is a standard deviation of about 0.23 points. Training on little
data, or from scratch, may spread more: one seed says nothing of that.
"""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What became of a claim.

    Attributes:
        effect: in percentage points, positive as claimed; of the comparison that supports the claim least, where it
            rests on several. For NoDifference, the difference of that pair; for Matches, ours less what is published.
        low, high: 95 % interval of the effect, percentage points, not corrected.
        p: two-sided, of the claim alone.
        p_holm: by Holm's correction over the study's claims.
        test: in a few words.
        num_seeds: seeds that every cell of that comparison has.
        seeds_to_decide: seeds per cell that would decide an undecided claim in 80 of 100 studies, if the effect and the
            variances are as seen; None where no number up to 100 does, or it cannot be said.
        reason: in a line, what to know beside the numbers; may be empty.
    """

    claim: Claim
    verdict: Verdict
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    test: str = ""
    num_seeds: int = 0
    seeds_to_decide: int | None = None
    reason: str = ""


def judge(claims: Sequence[Claim], frame: pd.DataFrame, *, comparable: bool = True) -> list[Judgement]:
    """Judge a study's claims, in their order.

    Args:
        claims: of one study: Holm's correction is over them.
        frame: a row per finished trial that counts: the study's scientific axes, in the claims' terms, and `seed`,
            `test_accuracy` (0 to 1), `num_test`, and `right` (None, or bool of shape (num_test,): which test images
            it got right, in the same order in all trials on a `dataset`).
        comparable: whether the trials are of the paper's scale. If not, Matches stays undecided, and Holm's correction
            leaves it out.

    Raises:
        ValueError: two rows are of the same cell and seed.
    """
    runs = [_run(row) for row in frame.to_dict("records")]
    return _judge(claims, runs, comparable)


def judge_published(claims: Sequence[Claim], rows: Iterable[Published]) -> list[Judgement]:
    """Judge claims from published numbers by the same rules: one run a cell, its count of right answers, no more.

    Args:
        claims: of one study.
        rows: of that study's table, from one source.

    Raises:
        ValueError: two rows are of the same cell.
    """
    runs = [
        _Run(point=row.point, seed=0, accuracy=row.accuracy_pct / 100, num_test=row.num_test, right=None)
        for row in rows
    ]
    return _judge(claims, runs, comparable=True)


@dataclass(frozen=True, kw_only=True)
class _Run:
    """A finished trial: what it is, and what of the test images it got right."""

    point: Mapping[str, Any]
    seed: int
    accuracy: float
    num_test: int | None
    right: NDArray[np.bool_] | None


@dataclass(frozen=True, kw_only=True)
class _Comparison:
    """A weighted sum of accuracies (share), and where its variance comes from.

    Attributes:
        effect: less the published accuracy, where the claim has one.
        seed_variance: of the sum, from one seed to the next.
        image_variance: of the mean over seeds, from one test set to the next, however many seeds there are.
        is_seen: whether seed_variance is seen, not assumed.
        test: in a few words.
        left_out: seeds that only some of the cells have.
    """

    effect: float
    seed_variance: float
    image_variance: float
    num_seeds: int
    is_seen: bool
    test: str
    left_out: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class _Evidence:
    """What a claim rests on: its weakest comparison, or what is missing for one.

    Attributes:
        num_comparisons: how many it rests on.
        p_for, p_against: one-sided: small where the claim, or its contrary, is so.
    """

    claim: Claim
    weakest: _Comparison | None = None
    num_comparisons: int = 0
    p_for: float = 1.0
    p_against: float = 1.0
    missing: str = ""

    @property
    def p(self) -> float:
        """Two-sided."""
        return min(1.0, 2 * min(self.p_for, self.p_against))


class _MissingError(Exception):
    """A comparison cannot be made; the message says what is missing."""


def _run(row: Mapping[Any, Any]) -> _Run:
    right = row["right"]
    return _Run(
        point={axis: value for axis, value in row.items() if axis not in _NO_AXES},
        seed=row["seed"],
        accuracy=row["test_accuracy"],
        num_test=row["num_test"],
        right=right if isinstance(right, np.ndarray) else None,
    )


_NO_AXES = ("seed", "test_accuracy", "num_test", "right")


def _judge(claims: Sequence[Claim], runs: Sequence[_Run], comparable: bool) -> list[Judgement]:
    seen: set[object] = set()
    for run in runs:
        trial = (frozenset(run.point.items()), run.seed)
        if trial in seen:
            raise ValueError(f"two results of one cell and seed: {dict(run.point)}, seed {run.seed}")
        seen.add(trial)
    return _verdicts([_evidence(claim, runs, comparable) for claim in claims])


def _evidence(claim: Claim, runs: Sequence[_Run], comparable: bool) -> _Evidence:
    if isinstance(claim, Matches) and not comparable:
        return _Evidence(claim=claim, missing="published accuracies are of the paper's scale: not comparable")
    contrasts = zip(claim.contrasts, _published(claim), strict=True)
    try:
        comparisons = [_compare(contrast, published, runs) for contrast, published in contrasts]
    except _MissingError as error:
        return _Evidence(claim=claim, missing=str(error))
    p_for = [_p(comparison, _beyond(claim, comparison.effect)) for comparison in comparisons]
    p_against = [_p(comparison, _short_of(claim, comparison.effect)) for comparison in comparisons]
    return _Evidence(
        claim=claim,
        weakest=max(zip(p_for, p_against, comparisons, strict=True), key=lambda each: (each[0], -each[1]))[2],
        num_comparisons=len(comparisons),
        p_for=max(p_for),
        p_against=min(1.0, len(comparisons) * min(p_against)),
    )


def _published(claim: Claim) -> tuple[float, ...]:
    """What is to be taken off each of a claim's contrasts (share)."""
    match claim:
        case Matches(published=published):
            return tuple(accuracy / 100 for accuracy in published.values())
        case _:
            return (0.0,) * len(claim.contrasts)


def _beyond(claim: Claim, effect: float) -> tuple[float, ...]:
    """How far an effect (share) is on the claim's side of each of its bounds."""
    match claim:
        case NoDifference(margin=margin) | Matches(margin=margin):  # two one-sided tests: Schuirmann 1987
            return (margin / 100 - effect, margin / 100 + effect)
        case Gap(at_least=at_least):
            return (effect - at_least / 100,)
        case _:
            return (effect,)


def _short_of(claim: Claim, effect: float) -> tuple[float, ...]:
    """How far an effect (share) is on the other side of its bounds, of whichever is nearest."""
    return (-min(_beyond(claim, effect)),)


def _compare(contrast: Contrast, published: float, runs: Sequence[_Run]) -> _Comparison:
    """Estimate a contrast less what is published, and the parts of its variance.

    Raises:
        _MissingError: a cell has no finished trial, no seed is in all cells, or a test count is unknown.
    """
    cells = _weighted_cells(contrast, runs)
    common = set.intersection(*(set(trials) for _, trials in cells))
    if not common:
        raise _MissingError("no seed is finished in all of its cells")
    seeds = sorted(common)
    sums = np.array([sum(weight * trials[seed].accuracy for weight, trials in cells) for seed in seeds])
    image_variance, paired = _image_variance(cells, seeds)
    if len(seeds) > 1:
        seed_variance = float(sums.var(ddof=1))
        test = "t, seeds x images" if paired else "t, seeds, images by count"
    else:
        seed_variance = ASSUMED_SEED_SD**2 * sum(weight**2 for weight, _ in cells)
        test = "McNemar, 1 seed" if paired and len(contrast) > 1 else "proportions, 1 seed"
    return _Comparison(
        effect=float(sums.mean()) - published,
        seed_variance=seed_variance,
        image_variance=image_variance,
        num_seeds=len(seeds),
        is_seen=len(seeds) > 1,
        test=test,
        left_out=tuple(sorted(set().union(*(trials for _, trials in cells)) - common)),
    )


def _weighted_cells(contrast: Contrast, runs: Sequence[_Run]) -> list[tuple[float, dict[int, _Run]]]:
    """Each cell's weight in a contrast, and its trials by seed; over axes that are not selected it averages."""
    found = [_selected(cell, runs) for _, cell in contrast]
    others = set().union(*found) or {frozenset[tuple[str, Any]]()}
    weighted = []
    for (weight, cell), trials in zip(contrast, found, strict=True):
        for other in others:
            if other not in trials:
                lacking = ", ".join(f"{axis} {value}" for axis, value in {**cell, **dict(other)}.items())
                raise _MissingError(f"no result of {lacking}")
            weighted.append((weight / len(others), trials[other]))
    return weighted


def _selected(cell: Cell, runs: Sequence[_Run]) -> dict[frozenset[tuple[str, Any]], dict[int, _Run]]:
    """Trials that have a cell's values: by their values on the other axes, then by seed."""
    trials: dict[frozenset[tuple[str, Any]], dict[int, _Run]] = {}
    for run in runs:
        if cell.items() <= run.point.items():
            trials.setdefault(frozenset(run.point.items() - cell.items()), {})[run.seed] = run
    return trials


def _image_variance(cells: Sequence[tuple[float, dict[int, _Run]]], seeds: Sequence[int]) -> tuple[float, bool]:
    """Variance that the choice of test images gives a contrast; and whether images were compared one by one."""
    by_dataset: dict[object, list[tuple[float, list[_Run]]]] = {}
    for weight, trials in cells:
        dataset = trials[seeds[0]].point.get("dataset")
        by_dataset.setdefault(dataset, []).append((weight, [trials[seed] for seed in seeds]))
    variance, paired = 0.0, True
    for group in by_dataset.values():
        rights = [run.right for _, runs in group for run in runs]
        sizes = {None if right is None else len(right) for right in rights}
        if len(sizes) == 1 and None not in sizes:
            weights = np.array([weight for weight, _ in group])
            variance += _paired_variance(weights, np.array(rights).reshape(len(group), len(seeds), -1))
        else:
            variance += sum(weight**2 * _count_variance(runs) for weight, runs in group)
            paired = False
    return variance, paired


def _paired_variance(weights: Array, right: NDArray[np.bool_]) -> float:
    """The part of images in the variance of a contrast whose cells share their images.

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


def _count_variance(runs: Sequence[_Run]) -> float:
    """Binomial variance of an accuracy whose images are known by number only: those of other cells count as others.

    One right and one wrong more keep it above 0 (Agresti & Caffo, The American Statistician 54 (2000)).

    Raises:
        _MissingError: not even their number is known.
    """
    num_test = runs[0].num_test
    if num_test is None:
        raise _MissingError("the number of test images is not known")
    share = (num_test * float(np.mean([run.accuracy for run in runs])) + 1) / (num_test + 2)
    return share * (1 - share) / (num_test + 2)


def _half_width(comparison: _Comparison, level: float) -> float:
    """Of the one-sided interval of the effect (share) at a level between 0 and .5: Banerjee 1960.

    Satterthwaite's degrees of freedom, and Hillis's for this layout (Statistics in Medicine 26 (2007) 596-619), make
    narrower ones. With 2 or 3 seeds they trust seeds that agree by chance: simulated studies of six claims without a
    true difference got a wrong verdict up to four times as often as they should.
    """
    by_seed = comparison.seed_variance / comparison.num_seeds
    seeds = special.stdtrit(comparison.num_seeds - 1, level) if comparison.is_seen else special.ndtri(level)
    return math.hypot(seeds * math.sqrt(by_seed), special.ndtri(level) * math.sqrt(comparison.image_variance))


def _p(comparison: _Comparison, distances: Sequence[float]) -> float:
    """One-sided p of being beyond every bound, from the distances to them: where the interval ends at the nearest."""
    distance = min(distances)
    error = math.sqrt(comparison.seed_variance / comparison.num_seeds + comparison.image_variance)
    p = max(float(special.ndtr(-abs(distance) / error)), 1e-300)  # as if seeds were many: it is not below
    if comparison.is_seen and 0 < abs(distance) < _half_width(comparison, p):
        p = math.exp(
            optimize.brentq(
                lambda log_level: _half_width(comparison, math.exp(log_level)) - abs(distance),
                math.log(p) - 1e-9,  # where all variance is of images, p is the root up to rounding
                math.log(0.5),
            )
        )
    return p if distance > 0 else 1 - p


def _verdicts(evidence: Sequence[_Evidence]) -> list[Judgement]:
    """Verdicts after Holm's correction over all claims that can be judged."""
    judged = [each for each in evidence if each.weakest is not None]
    p_holm = {id(each): p for each, p in zip(judged, holm([each.p for each in judged]), strict=True)}
    num_open = sum(p > LEVEL for p in p_holm.values())
    return [_judgement(each, p_holm.get(id(each), 1.0), num_open) for each in evidence]


def holm(p: Sequence[float]) -> list[float]:
    """Holm's corrected p values (Scandinavian Journal of Statistics 6 (1979)), as of statsmodels' `multipletests`.

    That function runs the garbage collector each time, which takes ten times as long as all of a study's verdicts.
    """
    ascending = np.argsort(p)
    stepped = np.maximum.accumulate(np.sort(p) * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[ascending] = np.minimum(stepped, 1.0)
    return [float(each) for each in corrected]


def _judgement(evidence: _Evidence, p_holm: float, num_open: int) -> Judgement:
    weakest = evidence.weakest
    if weakest is None:
        return Judgement(claim=evidence.claim, verdict="undecided", reason=evidence.missing)
    verdict: Verdict = "undecided"
    if p_holm <= LEVEL:
        verdict = "supported" if evidence.p_for < evidence.p_against else "contradicted"
    seeds = _seeds_to_decide(evidence, weakest, num_open) if verdict == "undecided" else None
    half_width = _half_width(weakest, LEVEL / 2)
    return Judgement(
        claim=evidence.claim,
        verdict=verdict,
        effect=100 * weakest.effect,
        low=100 * (weakest.effect - half_width),
        high=100 * (weakest.effect + half_width),
        p=evidence.p,
        p_holm=p_holm,
        test=f"TOST, {weakest.test}" if isinstance(evidence.claim, NoDifference | Matches) else weakest.test,
        num_seeds=weakest.num_seeds,
        seeds_to_decide=seeds,
        reason=_reason(weakest, verdict, seeds),
    )


def _seeds_to_decide(evidence: _Evidence, weakest: _Comparison, num_open: int) -> int | None:
    """The fewest seeds with POWER for a verdict, either way, if effect and variances are as seen.

    Holm's correction is reckoned as if this claim were the first of the open ones to be decided.
    """
    if not weakest.is_seen:
        return None
    num_seeds = np.arange(weakest.num_seeds + 1, MOST_SEEDS + 1, dtype=float)
    level = LEVEL / 2 / num_open
    for_it = _power(weakest, num_seeds, _beyond(evidence.claim, weakest.effect), level)
    against = _short_of(evidence.claim, weakest.effect)
    against_it = _power(weakest, num_seeds, against, level / evidence.num_comparisons)
    enough = num_seeds[np.maximum(for_it, against_it) >= POWER]
    return int(enough[0]) if len(enough) else None


def _power(comparison: _Comparison, num_seeds: Array, distances: Sequence[float], level: float) -> Array:
    """Power to be beyond every bound, (K,) for K numbers of seeds; at least so much where there are two bounds.

    The mean over the variances between seeds that a study may come to see.
    """
    df = num_seeds - 1
    by_seed = comparison.seed_variance / num_seeds
    seen = by_seed * _seen_variances()[:, num_seeds.astype(int)]
    half_widths = np.sqrt(
        special.stdtrit(df, level) ** 2 * seen + special.ndtri(level) ** 2 * comparison.image_variance
    )
    error = np.sqrt(by_seed + comparison.image_variance)
    hits = [special.ndtr((distance - half_widths) / error).mean(0) for distance in distances]
    power: Array = np.sum(hits, axis=0) - (len(hits) - 1)
    return power


@functools.cache
def _seen_variances() -> Array:
    """Sample variance over true variance: (25, MOST_SEEDS + 1), 25 quantiles by the number of seeds, from 2 on."""
    tails = (np.arange(25) + 0.5) / 25
    df = np.arange(-1, MOST_SEEDS, dtype=float)
    df[:2] = np.nan
    quantiles: Array = special.chdtri(df, tails[:, None]) / df
    return quantiles


def _reason(comparison: _Comparison, verdict: Verdict, seeds_to_decide: int | None) -> str:
    reasons = []
    if not comparison.is_seen:
        assumed = f"a standard deviation of {100 * ASSUMED_SEED_SD:g} point between seeds is assumed"
        reasons.append(f"one seed does not show how much training varies: {assumed}")
    elif verdict == "undecided":
        number = f"{seeds_to_decide} seeds" if seeds_to_decide else f"no number of seeds up to {MOST_SEEDS}"
        reasons.append(f"{number} would decide it, if effect and variances are as seen")
    if comparison.left_out:
        reasons.append(f"left out, as not all of its cells have them: seeds {', '.join(map(str, comparison.left_out))}")
    return "; ".join(reasons)
