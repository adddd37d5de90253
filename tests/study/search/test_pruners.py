"""Decisions to give a point up, on synthetic curves. Oracles: Optuna's own loop, scipy's test."""

import itertools
import math
from collections.abc import Callable, Mapping
from typing import get_args

import numpy as np
import optuna
import pytest
from optuna.pruners import MedianPruner, SuccessiveHalvingPruner
from scipy.stats import wilcoxon

from search_spaces.framework.search import Pruner
from study.ledger.states import TrialState
from study.search import pruners
from study.search.past_point import PastPoint
from study.search.pruners import PRUNERS, CurvePruner, should_drop_seeds

Curve = list[float]
CURVE_PRUNERS: tuple[Pruner, ...] = ("successive_halving", "median")


def draw_curves(seed: int, num_points: int, num_validations: int, offset: float = 0.0) -> list[Curve]:
    """Accuracies by the share of training done: fast points are not the best ones, and 1 pp of noise is added."""
    rng = np.random.default_rng(seed)
    done = np.arange(1, num_validations + 1) / num_validations
    curves = []
    for position in rng.uniform(size=num_points):
        final = 0.6 * math.exp(-(((position - 0.6) / 0.3) ** 2)) + 0.05 + offset
        curves.append(list(final * (1 - np.exp(-(1.5 + 20 * position) * done)) + rng.normal(0, 0.01, len(done))))
    return curves


def run(pruner: CurvePruner, number: int, curve: Curve, interval: int = 10) -> Curve:
    """Train a point as its pruner lets it, and return the curve up to its end. The last validation ends it anyway."""
    for length, value in enumerate(curve[:-1], start=1):
        if pruner.report(number, length * interval, value):
            pruner.end(number, TrialState.PRUNED)
            return curve[:length]
    pruner.report(number, len(curve) * interval, curve[-1])
    pruner.end(number, TrialState.FINISHED)
    return curve


def past_point(number: int, curve: Curve, state: TrialState) -> PastPoint:
    objectives = curve[-1:] if state == TrialState.FINISHED else []
    return PastPoint(
        number=number,
        values={},
        state=state,
        objectives=tuple(objectives),
        curve={10 * length: value for length, value in enumerate(curve, start=1)},
    )


def test_the_table_has_the_pruners_of_a_search() -> None:
    assert set(PRUNERS) == set(get_args(Pruner))


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("successive_halving", lambda: SuccessiveHalvingPruner(min_resource=2, reduction_factor=2)),
        ("median", lambda: MedianPruner(n_startup_trials=4)),
    ],
)
@pytest.mark.parametrize(("objective", "sign"), [("accuracy", 1), ("loss", -1)])
def test_decisions_are_those_of_an_optuna_study(
    name: Pruner, make: Callable[[], optuna.pruners.BasePruner], objective: str, sign: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Optuna's own loop over the same curves, one after the other; without the share that is kept in any case."""
    monkeypatch.setattr(pruners, "MIN_FULL_LENGTH", 0.0)
    curves = [[sign * value for value in curve] for curve in draw_curves(0, num_points=24, num_validations=6)]
    lengths: list[int] = []

    def objective_function(trial: optuna.Trial) -> float:
        curve = curves[trial.number]
        for length, value in enumerate(curve, start=1):
            trial.report(value, length)
            if length < len(curve) and trial.should_prune():
                lengths.append(length)
                raise optuna.TrialPruned
        lengths.append(len(curve))
        return curve[-1]

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize" if sign > 0 else "minimize", pruner=make())
    study.optimize(objective_function, n_trials=len(curves))
    pruner = CurvePruner(name, objective)
    assert [len(run(pruner, number, curve)) for number, curve in enumerate(curves)] == lengths
    assert 2 < lengths.count(6) < 20


@pytest.mark.parametrize(("name", "num_validations", "max_share"), [
    ("successive_halving", 5, 0.75), ("successive_halving", 10, 0.6), ("median", 5, 0.7), ("median", 10, 0.6),
])  # fmt: skip
def test_pruning_saves_steps_and_loses_no_accuracy(name: Pruner, num_validations: int, max_share: float) -> None:
    shares, losses = [], []
    for seed in range(20):
        curves = draw_curves(seed, 16, num_validations)
        pruner = CurvePruner(name, "accuracy")
        ended = [run(pruner, number, curve) for number, curve in enumerate(curves)]
        shares.append(sum(map(len, ended)) / (16 * num_validations))
        losses.append(max(curve[-1] for curve in curves) - max(c[-1] for c in ended if len(c) == num_validations))
    assert np.mean(shares) < max_share
    assert np.mean(losses) < 0.002, "2 tenths of a percentage point"


@pytest.mark.parametrize("name", CURVE_PRUNERS)
@pytest.mark.parametrize("order", ["best first", "best last", "any"])
def test_each_of_two_cells_30_points_apart_keeps_a_quarter_of_its_points(name: Pruner, order: str) -> None:
    for seed in range(10):
        for offset in (0.0, 0.3):
            curves = draw_curves(seed, 16, 10, offset)
            if order != "any":
                curves.sort(key=lambda curve: curve[-1], reverse=order == "best first")
            pruner = CurvePruner(name, "accuracy")
            lengths = [len(run(pruner, number, curve)) for number, curve in enumerate(curves)]
            assert lengths.count(10) >= 4


def test_one_pruner_of_both_cells_would_starve_the_weak_one() -> None:
    weak, strong = (draw_curves(1, 16, 10, offset) for offset in (0.0, 0.3))
    pruner = CurvePruner("successive_halving", "accuracy")
    mixed = [curve for pair in zip(strong, weak, strict=True) for curve in pair]
    lengths = [len(run(pruner, number, curve)) for number, curve in enumerate(mixed)]
    assert lengths[1::2].count(10) < 4


@pytest.mark.parametrize("name", CURVE_PRUNERS)
def test_a_launch_that_is_started_again_decides_as_one_that_was_not(name: Pruner) -> None:
    curves = draw_curves(2, 24, 8)
    whole = CurvePruner(name, "accuracy")
    ended = [run(whole, number, curve) for number, curve in enumerate(curves)]
    for stop in (1, 7, 13):
        again = CurvePruner(name, "accuracy")
        for number, curve in enumerate(ended[:stop]):
            again.replay(past_point(number, curve, TrialState.FINISHED if len(curve) == 8 else TrialState.PRUNED))
        rest = [run(again, number, curve) for number, curve in enumerate(curves) if number >= stop]
        assert rest == ended[stop:]


def test_validations_count_and_not_steps() -> None:
    """A point with a longer budget has more steps between its validations."""
    curves = draw_curves(3, 16, 8)
    lengths = []
    for interval in (lambda number: 1, lambda number: 10 ** (number % 4)):
        pruner = CurvePruner("successive_halving", "accuracy")
        lengths.append([len(run(pruner, number, curve, interval(number))) for number, curve in enumerate(curves)])
    assert lengths[0] == lengths[1]
    assert 4 <= lengths[0].count(8) < 10


def weak_after_a_good_one(name: Pruner = "successive_halving") -> CurvePruner:
    """A cell with a finished point and two at work; one of these is given up after its second validation."""
    pruner = CurvePruner(name, "accuracy")
    assert len(run(pruner, 0, [0.5, 0.8, 0.9])) == 3
    assert not pruner.report(1, 10, 0.6)
    assert [pruner.report(2, 10, 0.7), pruner.report(2, 20, 0.75)] == [False, True]
    return pruner


def test_repeated_rows_of_a_resumed_trial_change_no_decision() -> None:
    pruner = weak_after_a_good_one()
    assert [pruner.report(2, 10, 0.7), pruner.report(2, 20, 0.75)] == [False, True]
    pruner.end(2, TrialState.INTERRUPTED)
    assert pruner.report(2, 20, 0.75), "it has not ended"
    pruner.end(2, TrialState.PRUNED)
    pruner.end(2, TrialState.PRUNED)
    assert not pruner.report(2, 20, 0.75), "it is no longer asked about"


def test_a_running_point_of_an_earlier_launch_is_decided_on_by_its_last_validation() -> None:
    """With what is known by then, its first validation would not pass; it has passed."""
    pruner = CurvePruner("median", "accuracy")
    for number in range(4):
        pruner.replay(past_point(number, [0.8, 0.8, 0.9], TrialState.FINISHED))
    for length, decisions in ((1, [True]), (2, [False, True]), (2, [False, True])):
        pruner.replay(past_point(4, [0.4, 0.5][:length], TrialState.RUNNING))
        assert [pruner.report(4, step, 0.0) for step in (10, 20)[:length]] == decisions
    pruner.replay(past_point(4, [0.4, 0.5], TrialState.PRUNED))
    assert not pruner.report(4, 30, 0.0)


def test_a_point_that_fails_is_neither_compared_with_by_the_median_nor_kept() -> None:
    for state, is_pruned in ((TrialState.FAILED, False), (TrialState.DIVERGED, False), (TrialState.FINISHED, True)):
        pruner = CurvePruner("median", "accuracy")
        for number in range(4):
            pruner.replay(past_point(number, [0.8, 0.8], state))
        assert pruner.report(4, 10, 0.4) == is_pruned
    pruner = CurvePruner("successive_halving", "accuracy")
    pruner.replay(past_point(0, [0.8], TrialState.DIVERGED))
    assert not pruner.report(1, 10, 0.4), "a cell needs a point of full length"
    pruner.replay(PastPoint(number=2, values={}, state=TrialState.FAILED))


def test_other_objectives_than_loss_are_compared_by_accuracy() -> None:
    """Whatever their direction: validations measure these two."""
    assert CurvePruner("median", "loss").metric == "val_loss"
    assert CurvePruner("median", "loss").describe(0.5) == "val loss 0.5000 nats"
    pruner = CurvePruner("successive_halving", "calibration_error")
    assert (pruner.metric, pruner.describe(0.5)) == ("val_accuracy", "val accuracy 50.00 %")
    values = ((0, 0.5), (1, 0.6), (2, 0.4))
    assert not any(pruner.report(number, 10, value) for number, value in values)
    assert [pruner.report(number, 20, value) for number, value in values] == [False, False, True]


BEST = (0.9, 0.8, 0.85, 0.95, 0.7)


def seeds_point(number: int, values: Mapping[int, float], state: TrialState = TrialState.FINISHED) -> PastPoint:
    objectives = (sum(values.values()) / len(values),) if state == TrialState.FINISHED else ()
    return PastPoint(number=number, values={}, state=state, objectives=objectives, curve=values)


@pytest.mark.parametrize(("objective", "sign", "alternative"), [("accuracy", 1, "less"), ("loss", -1, "greater")])
def test_seeds_are_left_out_by_wilcoxons_test_against_the_best_point(
    objective: str, sign: int, alternative: str
) -> None:
    best = seeds_point(0, {index: sign * value for index, value in enumerate(BEST)})
    other = seeds_point(1, {index: sign * (value - 0.2) for index, value in enumerate(BEST)})
    dropped = 0
    for length in (2, 3, 4, 5):
        for shifts in itertools.product((-0.03, 0.02), repeat=length):
            values = [
                sign * (value + shift * (1 + index))
                for index, (value, shift) in enumerate(zip(BEST[:length], shifts, strict=True))
            ]
            differences = np.array(values) - sign * np.array(BEST[:length])
            p = wilcoxon(differences, alternative=alternative, zero_method="zsplit").pvalue
            is_worse = sign * (np.mean(values) - sign * np.mean(BEST)) < 0
            expected = p < 0.1 and is_worse
            assert should_drop_seeds([best, other], values, objective) == expected, (values, p)
            dropped += expected
    assert dropped > 1


def test_no_seed_is_left_out_before_the_fourth() -> None:
    """The smallest p of 3 pairs is 1/8."""
    best = seeds_point(0, dict(enumerate(BEST)))
    assert [should_drop_seeds([best], [0.1, 0.2, 0.15, 0.12][:length], "accuracy") for length in range(5)] == [
        *[False] * 4,
        True,
    ]


def test_without_a_finished_point_no_seed_is_left_out() -> None:
    pruned = seeds_point(0, dict(enumerate(BEST)), TrialState.PRUNED)
    assert not should_drop_seeds([], [0.1] * 4, "accuracy")
    assert not should_drop_seeds([pruned], [0.1] * 4, "accuracy")


def test_a_quarter_of_the_points_are_trained_with_every_seed() -> None:
    best = seeds_point(0, dict(enumerate(BEST)))
    pruned = [seeds_point(number, {0: 0.1}, TrialState.PRUNED) for number in (1, 2, 3)]
    values = [0.1, 0.2, 0.15, 0.12]
    assert should_drop_seeds([best, *pruned[:2]], values, "accuracy")
    assert not should_drop_seeds([best, *pruned], values, "accuracy")
