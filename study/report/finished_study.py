"""A study with results: what its figures are drawn from."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from revit.training.metrics import Metric, find_metric
from study.analysis.anova import anova
from study.analysis.effects import StudyEffects
from study.analysis.results import cell_table, trial_table
from study.analysis.verdicts import ClaimVerdict
from study.ledger.ledger import Ledger
from study.plan import Plan
from study.report.axis_words import cell_title
from study.report.plots.style import MAX_COLORED
from study.trial import Trial

MIN_NUMERIC_VALUES = 3
"""Values from which on a numeric axis has a figure of the metric along it."""
MIN_GRID_AXES = 3
"""Scientific axes from which on a study is analyzed as a grid of factors."""
MAX_CURVES = 48
"""Trials of cells with a color whose curves are drawn; of a larger study, those of its first seeds."""
MAX_GRAY_CURVES = 200
"""Cells without a color whose curves are drawn, one seed each."""


@dataclass(frozen=True)
class FinishedStudy:
    """A study that has results: its plan, its ledger, and the trials reported; none if only searches have results.

    Its tables are computed once, when they are first used.
    """

    plan: Plan
    ledger: Ledger
    trials: Sequence[Trial]
    verdicts: Sequence[ClaimVerdict] = ()
    effects: StudyEffects | None = None

    @property
    def metric(self) -> Metric:
        """Metric that the study is about."""
        return find_metric(self.plan.space.metric)

    @cached_property
    def cells(self) -> pd.DataFrame:
        """Rows of `cell_table`."""
        return cell_table(self.plan)

    @cached_property
    def table(self) -> pd.DataFrame:
        """Rows of `trial_table`."""
        return trial_table(self.plan)

    @cached_property
    def finished(self) -> pd.DataFrame:
        """Rows of `trial_table` whose trials have finished and have a value of the study's metric."""
        return self.table[[trial.has_result for trial in self.plan.trials]]

    @property
    def means(self) -> dict[str, float]:
        """Mean of the metric by the name of each cell."""
        return dict(zip(self.cell_names, self.cells["mean"], strict=True))

    @property
    def cell_names(self) -> list[str]:
        """Name of each row of `cells`."""
        axes = list(self.plan.space.scientific)
        return [cell_title({axis: cell[axis] for axis in axes}) for cell in self.cells.to_dict("records")]

    @property
    def numeric_axes(self) -> list[str]:
        """Axes along which the metric is drawn."""
        return [axis for axis in self.plan.space.scientific if _is_numeric(self.cells[axis])]

    @cached_property
    def anova(self) -> pd.DataFrame:
        """Analysis of variance of a crossed grid; empty of any other study."""
        axes = list(self.plan.space.scientific)
        is_grid = len(axes) >= MIN_GRID_AXES and len(self.finished) > 0
        return anova(self.finished, axes, self.plan.space.metric) if is_grid else pd.DataFrame()

    @cached_property
    def colors(self) -> dict[str, int]:
        """Index of the color of each cell that has one, the same in all figures: of many cells, the best."""
        cells = self.cells.assign(cell=self.cell_names)
        if len(cells) > MAX_COLORED:
            best = cells.nlargest if self.metric.sign == 1 else cells.nsmallest
            cells = best(MAX_COLORED, "mean")
        return {name: index for index, name in enumerate(cells["cell"])}

    def first_trials(self, key: Callable[[Trial], Hashable]) -> dict[Hashable, Trial]:
        """Return the first trial for each value of a key."""
        first: dict[Hashable, Trial] = {}
        for trial in self.trials:
            first.setdefault(key(trial), trial)
        return first

    def curves(self, metric: str) -> pd.DataFrame:
        """Return columns cell, seed, step and the metric, of cells with a color, then of the first seed of others."""
        colors = self.colors
        colored = [trial for trial in self.trials if cell_name(trial) in colors]
        colored = sorted(colored, key=lambda trial: trial.candidate.config.seed)[:MAX_CURVES]
        others = [trial for cell, trial in self.first_trials(cell_name).items() if cell not in colors]
        rows = [
            (cell_name(trial), trial.candidate.config.seed, step, value)
            for trial in [*colored, *others[:MAX_GRAY_CURVES]]
            for step, value in self.ledger.curve(run_id(trial), metric)
        ]
        return pd.DataFrame(rows, columns=["cell", "seed", "step", metric])


def cell_name(trial: Trial) -> str:
    """Return the name of a trial's cell in figures."""
    return cell_title(trial.candidate.cell)


def _is_numeric(values: pd.Series) -> bool:
    kinds = {type(value) for value in values}
    return kinds <= {int, float} and values.nunique() >= MIN_NUMERIC_VALUES


def run_id(trial: Trial) -> str:
    """Return the MLflow run of a finished trial."""
    assert trial.record is not None, "a finished trial has its record"
    return trial.record.run_id
