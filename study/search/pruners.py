"""Pruners: decisions that a point of a cell's search is given up. Optuna makes them."""

import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, MedianPruner, SuccessiveHalvingPruner, WilcoxonPruner

from revit.training.metrics import METRICS
from search_spaces.framework.search import Pruner
from study.ledger.schema import CURVE_METRICS, VAL_ACCURACY
from study.ledger.states import TrialState
from study.search.cell_search import CellSearch
from study.search.optuna_study import OPTUNA_STATES, rebuild
from study.search.past_point import PastPoint

MIN_FULL_LENGTH = 1 / 4
"""Share of a cell's points that are kept, whatever a pruner says: successive halving alone may keep 1 of 16."""


def _wilcoxon() -> BasePruner:
    with warnings.catch_warnings():  # its interface may change, says Optuna; our tests would notice
        warnings.simplefilter("ignore", ExperimentalWarning)
        return WilcoxonPruner(p_threshold=0.1, n_startup_steps=2)


# A resource is a validation, counted from 1: points of different lengths compare, and 5 validations are enough.
# Measured in cells of 16 synthetic curves of 5 and 10 validations, as steps used and accuracy lost against no pruner:
# reduction factor 2: 53 % and 43 %, .05 and .08 pp; 3: 48 % and 39 %, .12 and .24 pp; 2, from the second validation:
# 69 % and 53 %, .01 and .08 pp. On the table of benchmarks/tabular.parquet, tpe gave up the best of 504 points, which
# begins slowly, in 2 of 12 searches where the first validation counted (seeds 100 to 111), from the second on in none.
# Median after 4 points, a quarter of 16: 61 % and 55 %; after Optuna's 5: 65 % and 60 %.
PRUNERS: Mapping[Pruner, Callable[[], BasePruner]] = {
    "successive_halving": lambda: SuccessiveHalvingPruner(min_resource=2, reduction_factor=2),
    "median": lambda: MedianPruner(n_startup_trials=4),
    "wilcoxon": _wilcoxon,
}
"""Optuna's pruner, by the name that a search gives it."""


@dataclass
class _Point:
    """A point with a curve.

    Attributes:
        decisions: whether it is given up, by the step of each validation.
    """

    trial: optuna.Trial
    state: TrialState = TrialState.RUNNING
    decisions: dict[int, bool] = field(default_factory=dict)


class CurvePruner:
    """The pruner of one cell: gives a point up by its validation curve, in comparison with others of the cell.

    Args:
        name: `successive_halving` or `median`.
        objective: metric that the search optimizes.

    Attributes:
        metric: metric of each validation by which it compares: loss where the search optimizes it, else accuracy.
    """

    def __init__(self, name: Pruner, objective: str) -> None:
        self.metric = CURVE_METRICS.get(objective, VAL_ACCURACY)
        self._shown = METRICS[self.metric.removeprefix("val_")]
        self._study = _new_study(name, self._shown.sign)
        self._points: dict[int, _Point] = {}

    def replay(self, past: PastPoint) -> None:
        """Take over a point with its whole curve, perhaps of an earlier launch. It can be repeated as a point goes on.

        A point that trained on after a validation was not given up there, whatever is decided with what is known now.
        """
        steps = sorted(past.curve)
        for step in steps:
            self.report(past.number, step, past.curve[step])
        if steps:
            self._points[past.number].decisions |= dict.fromkeys(steps[:-1], False)
        if past.state != TrialState.FAILED:  # each launch trains it again
            self.end(past.number, past.state)

    def missing(
        self, search: CellSearch, number: int, read_curve: Callable[[str, str], Iterable[tuple[int, float]]]
    ) -> list[PastPoint]:
        """Return the points that are to be replayed: those that ended elsewhere, and one that is about to run.

        Args:
            number: of the latter. Others that run report themselves.
            read_curve: reads the steps and values of a metric of a run, as `Ledger.curve` does.
        """
        ended = {known for known, point in self._points.items() if point.state in OPTUNA_STATES}
        return [
            replace(past, curve=dict(read_curve(point.trials[0].record.run_id, self.metric)))
            for point, past in zip(search.points, search.history, strict=True)
            if point.trials[0].record is not None
            and point.number not in ended
            and (point.has_ended or point.number == number)
        ]

    def report(self, number: int, step: int, value: float) -> bool:
        """Return whether a point is given up after a validation. Repeated ones have the decision of the first time."""
        if number not in self._points:
            self._points[number] = _Point(self._study.ask())
        point = self._points[number]
        if point.state in OPTUNA_STATES:
            return False
        if step not in point.decisions:
            point.trial.report(value, step=1 + len(point.decisions))
            others = [each.state for each in self._points.values() if each is not point]
            point.decisions[step] = point.trial.should_prune() and _may_prune(others)
        return point.decisions[step]

    def end(self, number: int, state: TrialState) -> None:
        """Take over the state of a point. One that has not ended, or has no curve, changes nothing."""
        point = self._points.get(number)
        if point is None or point.state in OPTUNA_STATES or state not in OPTUNA_STATES:
            return
        point.state = state
        value = 0.0 if state == TrialState.FINISHED else None  # these pruners read curves only
        self._study.tell(point.trial, value, OPTUNA_STATES[state])

    def describe(self, value: float) -> str:
        """Return the value of a validation as it is shown: `val accuracy 41.00 %`."""
        return f"{self.metric.replace('_', ' ')} {self._shown.format(value)} {self._shown.unit}"


def should_drop_seeds(past: Sequence[PastPoint], values: Sequence[float], objective: str) -> bool:
    """Return whether the rest of a point's seeds is left out: the first ones are worse than those of the best point.

    By Wilcoxon's signed-rank test (p < .1), which pairs the points by seed: at least 4 seeds are needed.

    Args:
        past: the other points of the cell, with their values by index of the seed as curves.
        values: of the point's first seeds, in the order of the search's seeds.
    """
    points = [replace(point, values={}) for point in past]
    study = _new_study("wilcoxon", METRICS[objective].sign, points)
    trial = study.ask()
    for index, value in enumerate(values):
        trial.report(value, index)
    return trial.should_prune() and _may_prune([point.state for point in past])


def _may_prune(others: Collection[TrialState]) -> bool:
    """Return whether a cell has enough points of full length, ended or running, without one more."""
    num_pruned = sum(state == TrialState.PRUNED for state in others)
    num_kept = sum(OPTUNA_STATES.get(state) in (None, optuna.trial.TrialState.COMPLETE) for state in others)
    return num_kept >= MIN_FULL_LENGTH * (num_kept + num_pruned + 1)


def _new_study(pruner: Pruner, sign: int, history: Sequence[PastPoint] = ()) -> optuna.Study:
    study = rebuild({}, history, [sign])
    study.pruner = PRUNERS[pruner]()
    return study
