"""Effects of axes, interactions and the best cell of made-up studies, whose truth is known."""

import itertools
import math
from collections.abc import Callable, ItemsView, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.coverage import AGREEMENTS, Images, mean_accuracy
from revit.training.metrics import METRICS
from search_spaces.framework.claims import BetterThan, Claim, LargerGap, Value
from search_spaces.framework.sequential_design import SequentialDesign
from study.analysis import effects as module
from study.analysis.claim_tests import evaluate_claims, holm
from study.analysis.contrasts import TrialResult
from study.analysis.effects import Effect, StudyEffects, axes_by_question, find_effects
from study.analysis.intervals import VarianceEstimate

OPTIMIZERS, SCHEDULES = ("sgd", "adam"), ("cosine", "constant")
CELLS = [{"optimizer": one, "schedule": other} for one, other in itertools.product(OPTIMIZERS, SCHEDULES)]
AXES = ("schedule", "optimizer")
ACCURACY = METRICS["accuracy"]
STEADY = (-0.001, 0.0, 0.001)
"""Deviations of three seeds."""


def results_of(
    cells: Sequence[Mapping[str, Value]], value: Callable[..., float], seeds: Sequence[float] = STEADY
) -> list[TrialResult]:
    """Return results of cells whose seeds deviate alike, but for a little."""
    return [
        TrialResult(
            point=cell,
            seed=seed,
            value=value(**cell) + deviation * (1 + 0.1 * (number % 4)),
            num_test=10**9,
            correct=None,
            prior_variance=None,
            run_id=f"{number}-{seed}",
        )
        for number, cell in enumerate(cells)
        for seed, deviation in enumerate(seeds)
    ]


def crossed(optimizer: str, schedule: str) -> float:
    """Return an accuracy: the schedule gains 6 points with sgd, none with adam."""
    return 0.80 + 0.06 * (optimizer == "sgd" and schedule == "cosine")


def by_name(found: StudyEffects) -> dict[tuple[str, str], Effect]:
    return {(each.axis, each.moderator): each for each in found.effects}


class CountedPoint(dict[str, Value]):
    """A point that counts how often its values are read."""

    num_reads = 0

    def items(self) -> ItemsView[str, Value]:
        """Return its values by axis."""
        CountedPoint.num_reads += 1
        return super().items()


def test_results_are_grouped_once_for_all_effects() -> None:
    """Grouping 10,000 trials for each of 46 effects took longer than the estimates."""
    cells = [{"a": a, "b": b, "c": c} for a in range(4) for b in range(3) for c in range(2)]
    results = [
        replace(each, point=CountedPoint(each.point)) for each in results_of(cells, lambda a, b, c: 0.1 * (a + b * c))
    ]
    CountedPoint.num_reads = 0
    assert len(find_effects(results, cells, ("a", "b", "c"), ACCURACY).effects) == 10 + 6 * 3 + 6 + 3
    assert CountedPoint.num_reads == len(results)
    claims = [BetterThan(better={"a": a}, worse={"a": 0}, quote="") for a in range(1, 4)]
    evaluate_claims(claims, results)
    assert CountedPoint.num_reads == 2 * len(results)


def test_known_effects_are_found_with_their_signs_and_sizes() -> None:
    found = find_effects(results_of(CELLS, crossed), CELLS, AXES, ACCURACY)
    effects = by_name(found)
    main, interaction = effects["schedule", ""], effects["schedule", "optimizer"]
    assert (main.better, main.worse, main.is_real) == ("cosine", "constant", True)
    assert main.effect == pytest.approx(3, abs=0.01)
    assert (interaction.larger, interaction.smaller, interaction.is_real) == ("sgd", "adam", True)
    assert interaction.effect == pytest.approx(6, abs=0.01)
    assert main.seed_ratio == pytest.approx(0.03 / 0.001, rel=0.3)
    assert [each.where for each in found.simple] == [{"optimizer": "sgd"}, {"optimizer": "adam"}]
    assert [each.effect for each in found.simple] == pytest.approx([6, 0], abs=0.01)
    assert found.best.cell == {"optimizer": "sgd", "schedule": "cosine"}
    assert (found.best.rivals, found.best.num_others) == ([], 3)


def test_an_effect_has_the_numbers_of_the_claim_that_states_it() -> None:
    """One statistic: effects are tested as claims of the same contrasts are."""
    rng = np.random.default_rng(0)
    correct, _ = Images.draw(rng, [0.9, 0.88, 0.91, 0.87], 500, AGREEMENTS["wide"]).test(rng, 3)
    trials = [
        TrialResult(point=cell, seed=seed, value=right.mean(), num_test=500, correct=right, prior_variance=None)
        for cell, by_seed in zip(CELLS, correct, strict=True)
        for seed, right in enumerate(by_seed)
    ]
    found = find_effects(trials, CELLS, AXES, ACCURACY).effects
    claims = [stating(each) for each in found]
    names = ("effect", "low", "high", "p", "p_holm", "test", "num_seeds", "required_seeds", "power")
    for effect, claim in zip(found, evaluate_claims(claims, trials), strict=True):
        assert [getattr(effect, name) for name in names] == pytest.approx([getattr(claim, name) for name in names])
    assert [each.p_holm for each in found] == holm([each.p for each in found]), "one family"


def stating(effect: Effect) -> Claim:
    """Return the claim that states an effect."""
    better, worse = {effect.axis: effect.better}, {effect.axis: effect.worse}
    if not effect.moderator:
        return BetterThan(better=better, worse=worse, quote="")
    at = [{effect.moderator: level} for level in (effect.larger, effect.smaller)]
    gap, than = [({**better, **level}, {**worse, **level}) for level in at]
    return LargerGap(gap=gap, than=(than,), quote="")


def test_every_pair_of_values_is_compared_and_counted() -> None:
    cells = [{"a": a, "b": b, "c": 0} for a in range(4) for b in range(3)]
    found = find_effects(results_of(cells, lambda a, b, c: 0.5 + 0.1 * a), cells, ("a", "b", "c"), ACCURACY)
    assert len(found.of_axis("a")) == 6
    assert len(found.of_axis("b")) == 3
    assert len(found.of_pair("a", "b")) == 18
    assert (list(found.axes), found.of_axis("c")) == (["a", "b"], []), "an axis of one value has no effect"
    assert [round(each.effect) for each in found.of_axis("a")] == [10, 20, 30, 10, 20, 10]


def test_a_grid_with_holes_is_compared_where_it_is_crossed() -> None:
    cells = [{"a": a, "b": b} for a in range(2) for b in range(4)]
    trials = [
        each
        for each in results_of(cells, lambda a, b: 0.5 + 0.1 * a + 0.02 * b * a)
        if not (each.point == {"a": 1, "b": 3} or (each.point == {"a": 0, "b": 2} and each.seed > 0))
    ]
    [effect] = find_effects(trials, cells, ("a", "b"), ACCURACY).of_axis("a")
    assert (effect.num_settings, effect.of_settings, effect.num_seeds) == (2, 4, 3)
    assert effect.effect == pytest.approx(11, abs=0.05), "b = 0 and 1: 10 and 12"
    assert len(effect.run_ids) == 12


def test_cells_that_a_study_leaves_out_are_not_missing() -> None:
    cells = [{"a": a, "b": b} for a, b in ((0, 0), (0, 1), (1, 0))]
    [effect] = find_effects(results_of(cells, lambda a, b: 0.5), cells, ("a", "b"), ACCURACY).of_axis("a")
    assert (effect.num_settings, effect.of_settings) == (1, 1)


def test_one_seed_has_a_difference_without_a_verdict() -> None:
    found = find_effects(results_of(CELLS, crossed, seeds=(0.0,)), CELLS, AXES, ACCURACY)
    assert [(each.low, each.p_holm, each.is_real) for each in found.effects] == 3 * [(None, None, False)]
    assert found.effects[0].effect == pytest.approx(3)
    assert len(found.best.rivals) == 3
    elsewhere = [replace(each, prior_variance=VarianceEstimate(1e-6, 30)) for each in results_of(CELLS, crossed, (0,))]
    assert find_effects(elsewhere, CELLS, AXES, ACCURACY).effects[0].is_real, "other trials show their variance"


def test_nothing_to_compare_has_no_effects() -> None:
    one = find_effects(results_of(CELLS[:1], crossed), CELLS[:1], AXES, ACCURACY)
    assert (one.effects, one.best.num_others) == ([], 0)
    none = find_effects([], CELLS, AXES, ACCURACY)
    assert (none.effects, none.best) == ([], None)


def test_a_look_of_a_sequential_design_corrects_p_and_interval() -> None:
    """Its p is that of a fixed plan times 5 % / level of the look; seeds that were trained ahead do not count."""
    design = SequentialDesign(looks=(3, 6))
    ahead = results_of(CELLS, crossed, seeds=(*STEADY, 0.01))
    looked = find_effects(ahead, CELLS, AXES, ACCURACY, design)
    fixed = find_effects(results_of(CELLS, crossed), CELLS, AXES, ACCURACY)
    factor = 0.05 / design.level_of(3)
    assert factor == pytest.approx(4)
    for one, other in zip((*looked.effects, *looked.simple), (*fixed.effects, *fixed.simple), strict=True):
        assert (one.effect, one.num_seeds) == (pytest.approx(other.effect), 3)
        assert one.p == (None if other.p is None else pytest.approx(min(1, factor * other.p)))
        assert one.high - one.low > 1.5 * (other.high - other.low)
        assert one.required_seeds is None, "further seeds follow the claims"


def test_small_values_are_better_where_the_metric_says_so() -> None:
    found = find_effects(results_of(CELLS, crossed), CELLS, AXES, METRICS["train_time_s"])
    main = by_name(found)["schedule", ""]
    assert (main.better, main.effect) == ("constant", pytest.approx(0.03, abs=1e-4))
    assert found.best.cell != {"optimizer": "sgd", "schedule": "cosine"}


def test_too_many_values_are_left_out_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_COMPARISONS", 6)
    cells = [{"a": a, "b": b} for a in range(5) for b in range(3)]
    found = find_effects(results_of(cells, lambda a, b: 0.5), cells, ("a", "b"), ACCURACY)
    assert found.left_out == [("a",), ("a", "b")]
    assert len(found.effects) == 3


@pytest.mark.parametrize(
    ("question", "order"),
    [
        ("Does the schedule matter, and does it depend on the optimizer?", ("schedule.name", "optimizer")),
        ("Is one optimizer better?", ("optimizer", "schedule.name")),
        ("?", ("schedule.name", "optimizer")),
    ],
)  # fmt: skip
def test_axes_are_in_the_order_of_the_question(question: str, order: tuple[str, ...]) -> None:
    assert tuple(axes_by_question(question, ["optimizer", "schedule.name"])) == order


@pytest.mark.parametrize("is_null", [True, False])
def test_families_of_simulated_studies_have_their_error_rate(is_null: bool) -> None:
    """Seeds and images vary; at most 5 % of studies without effects find one, and intervals cover at least 95 %."""
    num_studies, agreement, rng = 120, AGREEMENTS["wide"], np.random.default_rng(20)
    expected = [0.9] * 4 if is_null else [0.93, 0.86, 0.9, 0.9]
    means = [mean_accuracy(each, agreement) for each in expected]
    truth = {cell["optimizer"] + cell["schedule"]: mean for cell, mean in zip(CELLS, means, strict=True)}
    covered, false, has_best = [], [], []
    for _ in range(num_studies):
        correct, _ = Images.draw(rng, expected, 200, agreement).test(rng, 3)
        trials = [
            TrialResult(point=cell, seed=seed, value=right.mean(), num_test=200, correct=right, prior_variance=None)
            for cell, by_seed in zip(CELLS, correct, strict=True)
            for seed, right in enumerate(by_seed)
        ]
        found = find_effects(trials, CELLS, AXES, ACCURACY)
        truths = [true_effect(each, truth) for each in (*found.effects, *found.simple)]
        covered += [each.low <= true <= each.high for each, true in zip(found.effects, truths, strict=False)]
        is_false = [each.is_real and not true > 0 for each, true in zip(found.effects, truths, strict=False)]
        false.append(any(is_false))
        has_best.append(CELLS[0] in (found.best.cell, *found.best.rivals))
    limit = 3 * math.sqrt(0.05 * 0.95 / num_studies)
    assert np.mean(false) <= 0.05 + limit
    assert np.mean(covered) >= 0.95 - limit
    assert np.mean(has_best) >= 0.95 - limit


def true_effect(effect: Effect, truth: Mapping[str, float]) -> float:
    """Return the true value of an effect in percentage points, within rounding of 0 as 0."""

    def mean(**fixed: Value) -> float:
        return float(np.mean([truth[c["optimizer"] + c["schedule"]] for c in CELLS if fixed.items() <= c.items()]))

    def gain(**fixed: Value) -> float:
        return mean(**{effect.axis: effect.better}, **fixed) - mean(**{effect.axis: effect.worse}, **fixed)

    if effect.moderator:
        sides = [gain(**{effect.moderator: level}) for level in (effect.larger, effect.smaller)]
        return round(100 * (sides[0] - sides[1]), 9)
    return round(100 * gain(**effect.where), 9)
