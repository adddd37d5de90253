"""Samples that claims are tested on, with the units of their effects."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from revit.training.metrics import Metric, find_metric
from search_spaces.framework.claims import BetterThan, Claim
from study.analysis.contrasts import ResultsByPoint, TrialResult, group_by_point, seed_variances
from study.analysis.intervals import VarianceEstimate


def metric_of(claim: Claim, metric: Metric) -> Metric:
    """Return the metric that a claim is about: its own, or that of its study."""
    return metric if claim.metric is None else find_metric(claim.metric)


@dataclass(frozen=True)
class Sample:
    """Values that claims are tested on.

    Attributes:
        variances: `seed_variances` of the results.
    """

    metric: Metric
    by_point: ResultsByPoint
    variances: Mapping[object, VarianceEstimate]

    @classmethod
    def of(cls, metric: Metric, trials: Sequence[TrialResult]) -> "Sample":
        """Return the values of trials, with their variances."""
        by_point = group_by_point(trials)
        return cls(metric, by_point, seed_variances(by_point))

    def in_logs(self) -> "Sample":
        """Return the logarithms of the values, whose differences are relative ones."""
        return self.of(self.metric, [_log(each) for by_seed in self.by_point.values() for each in by_seed.values()])


def _log(trial: TrialResult) -> TrialResult:
    """Return a result with the logarithm of its value, which is above 0, and the variance that this has."""
    prior = trial.prior_variance
    relative = None if prior is None else prior._replace(variance=prior.variance / trial.value**2)
    return replace(trial, value=math.log(trial.value), prior_variance=relative)


@dataclass(frozen=True)
class Unit:
    """Unit that effects are shown in.

    Attributes:
        factor: of the metric's unit: 100 for percentage points.
        relative: 1 or -1 where effects are differences of logarithms, which are shown as percent more, or less; else 0.
    """

    factor: int
    relative: int = 0

    def show(self, effect: float) -> float:
        """Return an effect in this unit."""
        return 100 * self.relative * math.expm1(self.relative * effect) if self.relative else self.factor * effect

    def read(self, shown: float) -> float:
        """Return the effect that is shown as a number in this unit."""
        return self.relative * math.log1p(self.relative * shown / 100) if self.relative else shown / self.factor


def unit_of(claim: Claim, metric: Metric) -> Unit:
    """Return the unit of a claim's effect."""
    is_relative = isinstance(claim, BetterThan) and claim.relative
    return Unit(metric.factor, metric.sign if is_relative else 0)
