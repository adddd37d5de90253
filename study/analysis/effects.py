"""Effects of the scientific axes of a study: which of its differences are real.

An axis has an effect for each pair of its values: the difference of their means over the cells of the other axes. Two
axes interact for each pair of values of both: the difference between two such differences. All of these are one family:
Holm's correction keeps the probability that any difference is called real without being so below 5 %. They are
estimated as claims are (`contrasts.py`), with the same intervals.

Means are over the largest part of the grid in which the values that are compared have the same cells with the same
seeds. An interaction that is real comes with the axis' effect at each of the two values of the other axis. These have
intervals, which are not corrected, and no verdict of their own.

In a sequential design an effect is that of the seeds of a look. Its p value is multiplied by 5 % / level of the look:
by the union bound over looks it is a p value at whichever look the study ends, and Holm's correction takes it as one.
Its interval is that of the look's level.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from revit.training.metrics import Metric, find_metric
from search_spaces.framework.claim_cells import Cell, Value, short_names
from search_spaces.framework.sequential_design import SequentialDesign
from study.analysis.best_cell import BestCell, find_best_cell, look_of, until
from study.analysis.claim_tests import holm
from study.analysis.contrasts import (
    ContrastEstimate,
    ResultsByPoint,
    Setting,
    TrialResult,
    estimate_contrast,
    group_by_point,
    seed_variances,
    select,
)
from study.analysis.intervals import LEVEL, pooled_variance
from study.analysis.power import ClaimContrast, SeedPlan, plan_seeds
from study.analysis.verdicts import ReadCorrect, stated_point, trial_results
from study.ledger.records import TrialRecord
from study.plan import Plan

MAX_COMPARISONS = 300
"""Pairs that are compared at most: with more values no number of seeds that is run would decide one."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """Difference between two values of an axis, or between two such differences.

    Attributes:
        axis: its effect is meant.
        better, worse: values of `axis`, by their means; of an interaction, ordered as the effect of the axis alone.
        moderator: of an interaction the other axis, else empty.
        larger, smaller: values of `moderator` at which `better` gains more, and less, over `worse`.
        where: of a simple effect, the value of the other axis at which it is.
        effect: how much better, in percentage points or the metric's unit; of an interaction, how much more is gained.
            At least 0 but for a simple effect.
        low, high: its 95 % interval, not corrected for the number of effects; None if one seed does not show it.
        p: two-sided, not corrected; p_holm: after Holm's correction; None for a simple effect.
        is_real: p_holm is at most 5 %.
        seed_ratio: `effect` in standard deviations between the seeds of a cell; None if there is none.
        num_settings, of_settings: settings of the other axes that it is a mean over, and that the study has.
        required_seeds, power: as of `ClaimResult`, for an effect that is not real.
        run_ids: runs of the trials that it is estimated from.
    """

    axis: str
    better: Value
    worse: Value
    moderator: str = ""
    larger: Value = None
    smaller: Value = None
    where: Cell = field(default_factory=dict)
    effect: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    is_real: bool = False
    seed_ratio: float | None = None
    num_seeds: int
    num_settings: int
    of_settings: int
    test: str
    required_seeds: int | None = None
    power: float | None = None
    run_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class StudyEffects:
    """Effects of a study's axes.

    Attributes:
        effects: of axes, then interactions: one family, in the order of `axes`.
        simple: for each two axes, those of the first at the values of their strongest interaction.
        axes: values of each axis that are compared, in the order in which the question names the axes.
        left_out: axes, or pairs of them, with too many values to compare in pairs.
        best: None without a result.
    """

    effects: Sequence[Effect]
    simple: Sequence[Effect]
    axes: Mapping[str, Sequence[Value]]
    left_out: Sequence[tuple[str, ...]]
    best: BestCell | None

    def of_axis(self, axis: str) -> list[Effect]:
        """Return the effects of one axis."""
        return [each for each in self.effects if each.axis == axis and not each.moderator]

    def of_pair(self, axis: str, moderator: str) -> list[Effect]:
        """Return the interactions of two axes."""
        return [each for each in self.effects if (each.axis, each.moderator) == (axis, moderator)]


def study_effects(plan: Plan, records: Mapping[str, TrialRecord], read_correct: ReadCorrect) -> StudyEffects:
    """Return the effects of a study's axes on its metric.

    Args:
        plan: of another metric than accuracy, as `measured.measure` returns it.
        records: every trial of the ledger by identity, other studies' included.
        read_correct: called with all finished trials, for accuracy.
    """
    results = trial_results(plan, records, read_correct)
    trained = plan.space.trained_values
    cells = [stated_point(trial.candidate, trained) for trial in plan.trials]
    axes = axes_by_question(plan.space.question, [*plan.space.scientific])
    return find_effects(results, cells, axes, find_metric(plan.space.metric), plan.design)


def axes_by_question(question: str, axes: Sequence[str]) -> list[str]:
    """Return axes in the order in which a question names them, then the others, the last first.

    "Does the schedule matter, and does it depend on the optimizer?" asks for the effect of the first at values of the
    second. Studies name an axis that they only repeat, such as the dataset, before the one that they ask about.
    """
    words = dict(zip(axes, (name.replace("_", " ").lower() for name in short_names(axes)), strict=True))
    asked = question.lower().replace("_", " ").replace("-", " ")
    named = sorted((axis for axis in axes if words[axis] in asked), key=lambda axis: asked.index(words[axis]))
    return [*named, *(axis for axis in reversed(axes) if axis not in named)]


def find_effects(
    trials: Sequence[TrialResult],
    cells: Sequence[Cell],
    axes: Sequence[str],
    metric: Metric,
    design: SequentialDesign | None = None,
) -> StudyEffects:
    """Return the effects of axes on a metric.

    Args:
        cells: every cell of the study, with results or without.
        axes: in the order in which effects are stated: of the first, at values of the second.
        design: of a study whose seeds were added look by look; None for a fixed number.
    """
    found = {axis: list(dict.fromkeys(cell[axis] for cell in cells)) for axis in axes}
    varied = {axis: values for axis, values in found.items() if len(values) > 1}
    grid = _Grid(trials, cells, metric, design)
    kept, left_out = _split_by_size(varied)
    effects = _judge([each for group in kept for each in _compare(grid, {axis: varied[axis] for axis in group})])
    pairs = [group for group in kept if len(group) == 2]
    return StudyEffects(
        effects=effects,
        simple=[each for pair in pairs for each in _simple_effects(grid, *pair, effects, is_asked=len(varied) == 2)],
        axes=varied,
        left_out=left_out,
        best=find_best_cell(grid.by_point, grid.variances, metric, design),
    )


def _split_by_size(axes: Mapping[str, Sequence[Value]]) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Return axes, then pairs of them, whose values are compared, and those that have too many."""
    kept, left_out, total = list[tuple[str, ...]](), list[tuple[str, ...]](), 0
    for group in [*((axis,) for axis in axes), *itertools.combinations(axes, 2)]:
        size = math.prod(math.comb(len(axes[axis]), 2) for axis in group)
        if total + size <= MAX_COMPARISONS:
            kept.append(group)
            total += size
        else:
            left_out.append(group)
    return kept, left_out


class _Difference(NamedTuple):
    """An effect that is not judged yet, with its estimate, both positive as stated; the estimate is a share."""

    effect: Effect
    estimate: ContrastEstimate
    correction: float
    """5 % / level of the look."""

    @property
    def p(self) -> float:
        p = self.estimate.p_value(0.0, 1)
        return min(1.0, 2 * min(p, 1 - p) * self.correction)


class _Grid:
    """Results of a study, by the cells that have them."""

    def __init__(
        self,
        trials: Sequence[TrialResult],
        cells: Sequence[Cell],
        metric: Metric,
        design: SequentialDesign | None,
    ) -> None:
        self.by_point = group_by_point(trials)
        self.variances = seed_variances(self.by_point)
        self.design = design
        self.cells = [dict(cell) for cell in {frozenset(cell.items()): cell for cell in cells}.values()]
        self.metric = metric

    def count_settings(self, arms: Sequence[Cell]) -> int:
        """Return at how many settings of the other axes the study has all arms."""
        settings = [
            {frozenset(cell.items() - arm.items()) for cell in self.cells if arm.items() <= cell.items()}
            for arm in arms
        ]
        return len(set.intersection(*settings))

    def difference(self, arms: Sequence[tuple[int, Cell]], names: Mapping[str, object]) -> _Difference | None:
        """Return a weighted sum of means as an effect, positive if it is good; None without a crossed part.

        Args:
            arms: weight 1 or -1 and values on the compared axes, each.
            names: attributes of the effect that name its axes and values.
        """
        by_arm = [select(cell, self.by_point) for _, cell in arms]
        settings = _largest_crossed_part(by_arm)
        if not settings:
            return None
        in_all = set.intersection(*({*arm[setting]} for arm in by_arm for setting in settings))
        look, correction = look_of(in_all, self.design)
        weighted = [
            (weight / len(settings), until(look, arm[setting]))
            for (weight, _), arm in zip(arms, by_arm, strict=True)
            for setting in settings
        ]
        estimate = estimate_contrast(weighted, self.variances, self.metric)
        estimate = replace(estimate, effect=self.metric.sign * estimate.effect)
        pooled = pooled_variance([trial.value for trial in cell.values()] for _, cell in weighted)
        factor, has_interval = self.metric.factor, estimate.prior is not None
        half_width = factor * estimate.half_width(LEVEL / 2 / correction, 1) if has_interval else math.nan
        effect = Effect(
            **names,  # type: ignore[arg-type]  # attributes by name
            effect=factor * estimate.effect,
            low=factor * estimate.effect - half_width if has_interval else None,
            high=factor * estimate.effect + half_width if has_interval else None,
            seed_ratio=estimate.effect / math.sqrt(pooled.variance) if pooled is not None and pooled.variance else None,
            num_seeds=estimate.num_seeds,
            num_settings=len(settings),
            of_settings=self.count_settings([cell for _, cell in arms]),
            test=estimate.test,
            run_ids=estimate.run_ids,
        )
        return _Difference(effect, estimate, correction)


def _largest_crossed_part(by_arm: Sequence[ResultsByPoint]) -> list[Setting]:
    """Return the settings at which all arms have results with the same seeds: as many trials as possible.

    A part with two seeds or more is preferred, since one does not show the variance between seeds.
    """
    common = [setting for setting in by_arm[0] if all(setting in arm for arm in by_arm)]
    shared = {setting: frozenset.intersection(*(frozenset(arm[setting]) for arm in by_arm)) for setting in common}
    parts = {
        seeds: [setting for setting, own in shared.items() if own >= seeds]
        for seeds in dict.fromkeys(shared.values())
        if seeds
    }
    if not parts:
        return []
    return max(parts.items(), key=lambda part: (min(len(part[0]), 2), len(part[0]) * len(part[1])))[1]


def _compare(grid: _Grid, axes: Mapping[str, Sequence[Value]]) -> list[_Difference]:
    """Return the differences between values of an axis, or the interactions of two axes, that have results."""
    (axis, values), *others = axes.items()
    found = [_main_effect(grid, axis, pair) for pair in itertools.combinations(values, 2)]
    mains = [each for each in found if each is not None]
    if not others:
        return mains
    ((moderator, levels),) = others
    pairs = itertools.product(mains, itertools.combinations(levels, 2))
    crossed = [_interaction(grid, main.effect, moderator, levels) for main, levels in pairs]
    return [each for each in crossed if each is not None]


def _main_effect(grid: _Grid, axis: str, pair: tuple[Value, Value]) -> _Difference | None:
    """Return the difference between two values of an axis, positive."""
    one, other = pair
    found = grid.difference([(1, {axis: one}), (-1, {axis: other})], {"axis": axis, "better": one, "worse": other})
    return found if found is None or found.estimate.effect >= 0 else _reverse(found, better=other, worse=one)


def _interaction(grid: _Grid, main: Effect, moderator: str, levels: tuple[Value, Value]) -> _Difference | None:
    """Return by how much an effect differs between two values of another axis, positive."""
    one, other = levels
    names = {"axis": main.axis, "better": main.better, "worse": main.worse, "moderator": moderator}
    crossed = itertools.product(((1, one), (-1, other)), ((1, main.better), (-1, main.worse)))
    arms = [(s * t, {moderator: level, main.axis: value}) for (s, level), (t, value) in crossed]
    found = grid.difference(arms, {**names, "larger": one, "smaller": other})
    return found if found is None or found.estimate.effect >= 0 else _reverse(found, larger=other, smaller=one)


def _reverse(difference: _Difference, **names: Value) -> _Difference:
    """Return the difference of the same values in the other order."""
    effect, estimate, correction = difference
    low, high = (None if limit is None else -limit for limit in (effect.high, effect.low))
    ratio = None if effect.seed_ratio is None else -effect.seed_ratio
    numbers = {"effect": -effect.effect, "low": low, "high": high, "seed_ratio": ratio}
    reversed_effect = replace(effect, **numbers, **names)  # type: ignore[arg-type]  # attributes by name
    return _Difference(reversed_effect, replace(estimate, effect=-estimate.effect), correction)


def _judge(differences: Sequence[_Difference]) -> list[Effect]:
    """Return effects with p values after Holm's correction over all of them, and the seeds that would decide them."""
    testable = [index for index, each in enumerate(differences) if each.estimate.prior is not None]
    p = {index: differences[index].p for index in testable}
    p_holm = dict(zip(testable, holm([*p.values()]), strict=True))
    inconclusive = [index for index in testable if p_holm[index] > LEVEL]
    fixed = [index for index in inconclusive if differences[index].correction == 1]  # looks follow the claims
    plans = dict(zip(fixed, plan_seeds([_to_plan(differences[index].estimate) for index in fixed]), strict=True))
    judged = []
    for index, (effect, _, _) in enumerate(differences):
        plan = plans.get(index, SeedPlan())
        judged.append(
            replace(
                effect,
                p=p.get(index),
                p_holm=p_holm.get(index),
                is_real=index in p and p_holm[index] <= LEVEL,
                required_seeds=plan.required_seeds,
                power=plan.power,
            )
        )
    return judged


def _to_plan(estimate: ContrastEstimate) -> ClaimContrast:
    """Return a difference whose sign, either one, is to be decided."""
    return ClaimContrast(contrast=estimate, num_contrasts=1, bounds=((0.0, 1),))


def _simple_effects(
    grid: _Grid, axis: str, moderator: str, effects: Sequence[Effect], *, is_asked: bool
) -> list[Effect]:
    """Return the effect of an axis at both values of the other one, of their strongest interaction.

    Args:
        is_asked: whether the answer is about their interaction, also if it is not real.
    """
    strongest = find_strongest([each for each in effects if (each.axis, each.moderator) == (axis, moderator)])
    if strongest is None or not (strongest.is_real or is_asked):
        return []
    found = []
    for level in (strongest.larger, strongest.smaller):
        ends = ((1, strongest.better), (-1, strongest.worse))
        arms = [(weight, {axis: value, moderator: level}) for weight, value in ends]
        names = {"axis": axis, "better": strongest.better, "worse": strongest.worse, "where": {moderator: level}}
        found.append(grid.difference(arms, names))
    return [each.effect for each in found if each is not None]


def find_strongest(effects: Sequence[Effect]) -> Effect | None:
    """Return the largest effect that is real, or the largest of all; None of none."""
    return max(effects, key=lambda each: (each.is_real, each.effect), default=None)
