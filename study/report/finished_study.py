"""A study with results: what its figures are drawn from."""

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import pandas as pd

from revit.training.metrics import METRICS, Metric
from study.analysis.results import cell_table, trial_table
from study.labels import cell_label, label
from study.ledger.ledger import Ledger
from study.plan import Plan
from study.report.plots.style import MAX_COLORED
from study.trial import Trial

MAX_CURVES = 48
"""Trials whose curves are drawn; of a larger study, those of its first seeds."""


class FinishedStudy(NamedTuple):
    """A study that has results: its plan, its ledger, and the trials reported; none if only searches have results."""

    plan: Plan
    ledger: Ledger
    trials: Sequence[Trial]

    @property
    def metric(self) -> Metric:
        """Metric that the study is about."""
        return METRICS[self.plan.space.metric]

    @property
    def colors(self) -> dict[str, int]:
        """Index of the color of each cell that has one, the same in all figures: of many cells, the best."""
        cells = cell_table(self.plan)
        if len(cells) > MAX_COLORED:
            best = cells.nlargest if self.metric.sign == 1 else cells.nsmallest
            cells = best(MAX_COLORED, "mean")
        axes = list(self.plan.space.scientific)
        names = [label({axis: cell[axis] for axis in axes}) for cell in cells.to_dict("records")]
        return {name: index for index, name in enumerate(names)}

    def first_trials(self, key: Callable[[Trial], Hashable]) -> dict[Hashable, Trial]:
        """Return the first trial for each value of a key."""
        first: dict[Hashable, Trial] = {}
        for trial in self.trials:
            first.setdefault(key(trial), trial)
        return first

    def curves(self, metric: str) -> pd.DataFrame:
        """Return columns cell, seed, step and the metric, of at most MAX_CURVES trials of the cells with a color."""
        colors = self.colors
        colored = [trial for trial in self.trials if cell_label(trial) in colors]
        rows = [
            (cell_label(trial), trial.candidate.config.seed, step, value)
            for trial in sorted(colored, key=lambda trial: trial.candidate.config.seed)[:MAX_CURVES]
            for step, value in self.ledger.curve(run_id(trial), metric)
        ]
        return pd.DataFrame(rows, columns=["cell", "seed", "step", metric])


def finished_table(plan: Plan) -> pd.DataFrame:
    """Return the rows of `trial_table` whose trials have finished and have a value of the study's metric."""
    return trial_table(plan)[[trial.has_result for trial in plan.trials]]


def run_id(trial: Trial) -> str:
    """Return the MLflow run of a finished trial."""
    assert trial.record is not None, "a finished trial has its record"
    return trial.record.run_id
