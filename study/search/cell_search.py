"""The search of one cell: its points, whether it is over, the best point."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from revit.training.metrics import METRICS
from search_spaces.framework.cells import Point, StudyCell
from study.ledger.schema import CURVE_METRICS, NUM_STEPS_DONE, TRAIN_TIME_S, VAL_ACCURACY, compared_name
from study.ledger.states import TrialState
from study.search.past_point import PastPoint
from study.trial import Trial

ENDED = (TrialState.FINISHED, TrialState.PRUNED, TrialState.DIVERGED, TrialState.FAILED)
"""States in which a point has ended. A failed trial is run again by the next launch."""


@dataclass(frozen=True, kw_only=True)
class SearchPoint:
    """A point that has been asked for, with the trials that train it.

    Attributes:
        number: 0, 1, ... in the order of asking.
        trials: one per seed of the search.
        is_given_up: the trials of its later seeds are left out, as a pruner compared its first ones.
        is_sequential: a seed is trained only once a pruner has compared those before it.
    """

    number: int
    values: Point
    trials: tuple[Trial, ...]
    is_given_up: bool = False
    is_sequential: bool = False

    @property
    def state(self) -> TrialState:
        """FINISHED if all its trials have; where it ended differently, how; else RUNNING or NEW."""
        states = [TrialState.FAILED if trial.unmeasured else trial.state for trial in self.trials]
        if self.is_given_up:
            return TrialState.PRUNED
        ends = [state for state in (TrialState.PRUNED, TrialState.DIVERGED, TrialState.FAILED) if state in states]
        if ends:
            return ends[0]
        if all(state == TrialState.FINISHED for state in states):
            return TrialState.FINISHED
        return TrialState.NEW if all(state == TrialState.NEW for state in states) else TrialState.RUNNING

    @property
    def has_ended(self) -> bool:
        """True if none of its trials is awaited."""
        return self.state in ENDED

    @property
    def to_run(self) -> list[Trial]:
        """Trials that can run and are not completed; of a point that has ended, those that failed."""
        if self.has_ended:
            return [trial for trial in self.trials if trial.state == TrialState.FAILED]
        return [trial for trial in self.trials if not trial.state.is_terminal][: 1 if self.is_sequential else None]

    @property
    def num_waiting(self) -> int:
        """Number of trials that may follow those in `to_run`."""
        if self.has_ended:
            return 0
        return sum(not trial.state.is_terminal for trial in self.trials) - len(self.to_run)

    def seed_values(self, metric: str) -> dict[int, float]:
        """Return the value of each trial that has finished, by its index."""
        name = compared_name(metric)
        finished = [(index, trial.record) for index, trial in enumerate(self.trials) if trial.has_result]
        return {index: record.metrics[name] for index, record in finished if record is not None}

    def value(self, metric: str) -> float:
        """Return the mean over its finished trials of a key of METRICS, on validation images if of predictions."""
        return fmean(self.seed_values(metric).values())


@dataclass(frozen=True, kw_only=True)
class CellSearch:
    """The search of one cell.

    Attributes:
        num_points: points that it has in the end, unless it is exhausted or its time is used.
        num_seeds: trials per point.
        objectives: keys of METRICS; by the first one points are compared.
        time_budget_s: seconds of training after which no further point begins; None for no limit.
        is_exhausted: every point of the cell has been asked for.
        staleness_reason: what changed since trials of this search were recorded that no longer belong to it.
    """

    cell: StudyCell
    points: Sequence[SearchPoint]
    num_points: int
    num_seeds: int
    objectives: tuple[str, ...]
    time_budget_s: float | None = None
    is_exhausted: bool = False
    staleness_reason: str = ""

    @cached_property
    def train_time_s(self) -> float:
        """Seconds that its trials have been trained, as far as they have ended."""
        records = [trial.record for point in self.points for trial in point.trials if trial.record is not None]
        return sum(record.metrics.get(TRAIN_TIME_S, 0.0) for record in records)

    @property
    def num_left(self) -> int:
        """Number of points that are still to be asked for."""
        is_time_used = self.time_budget_s is not None and self.train_time_s >= self.time_budget_s
        return 0 if self.is_exhausted or is_time_used else max(0, self.num_points - len(self.points))

    @property
    def next_number(self) -> int:
        """Number of the next point."""
        return max((point.number for point in self.points), default=-1) + 1

    @property
    def num_unknown(self) -> int:
        """Number of trials of the search that may follow those in `to_run`."""
        return self.num_left * self.num_seeds + sum(point.num_waiting for point in self.points)

    @property
    def is_over(self) -> bool:
        """True if no point is still to be asked for, and all have ended."""
        return not self.num_left and all(point.has_ended for point in self.points)

    @property
    def is_settled(self) -> bool:
        """True if it is over, and no trial is run again because it failed: the best point stays."""
        return self.is_over and not self.to_run

    @property
    def status(self) -> str:
        """Progress in words."""
        num_ended = sum(point.has_ended for point in self.points)
        if self.is_over:
            return "no point finished" if self.best is None else "searched"
        return f"search at {num_ended} of {self.num_points} points"

    @property
    def to_run(self) -> list[Trial]:
        """Trials of its points that are not completed."""
        return [trial for point in self.points for trial in point.to_run]

    @property
    def best(self) -> SearchPoint | None:
        """The finished point with the best mean of the first objective; of equal ones, the first. None for none."""
        metric = self.objectives[0]
        finished = [point for point in self.points if point.state == TrialState.FINISHED]
        return max(finished, key=lambda point: METRICS[metric].sign * point.value(metric), default=None)

    @property
    def chosen(self) -> Point | None:
        """The point that is tested: the best one of a search that is over; None if it is not known."""
        if not self.cell.axes:
            return {}
        return self.best.values if self.is_over and self.best is not None else None

    @property
    def history(self) -> list[PastPoint]:
        """Its points as samplers see them."""
        return [self._past_point(point) for point in self.points]

    def _past_point(self, point: SearchPoint) -> PastPoint:
        is_finished = point.state == TrialState.FINISHED
        return PastPoint(
            number=point.number,
            values=point.values,
            state=point.state,
            objectives=tuple(point.value(name) for name in self.objectives) if is_finished else (),
            curve=self._curve(point),
        )

    def _curve(self, point: SearchPoint) -> dict[int, float]:
        """Return the values of its seeds by index; of one seed, its last validation by step.

        Samplers compare curves as they compare objectives, so there is none where less of the objective is better, and
        more of the curve.
        """
        metric = self.objectives[0]
        if self.num_seeds > 1:
            return point.seed_values(metric)
        record, name = point.trials[0].record, CURVE_METRICS.get(metric, VAL_ACCURACY)
        is_alike = METRICS[metric].sign == METRICS[name.removeprefix("val_")].sign
        if record is None or name not in record.metrics or not is_alike:
            return {}
        return {int(record.metrics[NUM_STEPS_DONE]): record.metrics[name]}
