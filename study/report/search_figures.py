"""Figures of a study's searches, from their points."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd
import plotly.graph_objects as go

from revit.training.metrics import METRICS, find_metric
from search_spaces.framework.axes import Axis, NuisanceAxis
from search_spaces.framework.claim_cells import Value
from search_spaces.framework.ranges import Range
from study.analysis.searched import pareto_front, searched_cells
from study.labels import format_value, label
from study.ledger.states import TrialState
from study.report.axis_words import cell_title
from study.report.finished_study import FinishedStudy
from study.report.plots.tuning import plot_importances, plot_pareto_front, plot_search_history, plot_search_slice
from study.report.searches import ADAPTIVE
from study.search.cell_search import CellSearch, SearchPoint

LOG_RATIO = 10
"""Ratio of the ends of a tuple of numbers from which on their axis is logarithmic."""


class DrawnPoint(NamedTuple):
    """A point of a search, with the name of its cell."""

    cell: str
    search: CellSearch
    point: SearchPoint

    @property
    def is_finished(self) -> bool:
        """True if it has a value."""
        return self.point.state == TrialState.FINISHED

    @property
    def named(self) -> Mapping[str, Value]:
        """Value by nuisance axis, as the study names it."""
        return self.point.values  # noqa: PD011  (not of pandas)

    def row(self, **more: object) -> dict[str, object]:
        """Return what every figure shows of it."""
        value = self.point.value(self.search.objectives[0]) if self.is_finished else math.nan
        text = f"point {self.point.number}: {label(self.named)}"
        return {"cell": self.cell, "number": self.point.number, "value": value, "text": text, **more}


def draw_searches(study: FinishedStudy) -> list[go.Figure]:
    """Draw the searches of the cells that have a color: history, slices, importances, a front of two objectives."""
    colors, objectives = study.colors, [find_metric(name) for name in study.plan.space.objectives]
    points = [
        DrawnPoint(cell_title(cell), search, point)
        for search, cell in searched_cells(study.plan)
        for point in search.points
        if cell_title(cell) in colors
    ]
    history = pd.DataFrame([each.row() for each in points])
    points = [each for each in points if each.is_finished]
    if not points:
        return []
    return [
        plot_search_history(history, colors, objectives[0]),
        *(_draw_front(points, colors) if len(objectives) > 1 else []),
        *(
            figure
            for name, axis in study.plan.space.nuisance_axes.items()
            for figure in _draw_slice(points, name, axis, colors)
        ),
        *_draw_importances(study, points, colors),
    ]


def _draw_front(points: Sequence[DrawnPoint], colors: Mapping[str, int]) -> list[go.Figure]:
    one, other = points[0].search.objectives
    searches = {each.cell: each.search for each in points}
    fronts = {cell: {point.number for point in pareto_front(search)} for cell, search in searches.items()}
    rows = [each.row(other=each.point.value(other), is_front=each.point.number in fronts[each.cell]) for each in points]
    return [plot_pareto_front(pd.DataFrame(rows), colors, METRICS[one], METRICS[other])]


def _draw_slice(
    points: Sequence[DrawnPoint], name: str, axis: NuisanceAxis, colors: Mapping[str, int]
) -> list[go.Figure]:
    having = [each for each in points if name in each.named]
    rows = [each.row(x=_shown(axis, each.named[name]), chosen=each.search.chosen == each.named) for each in having]
    if not rows:
        return []
    bounds = (axis.low, axis.high) if isinstance(axis, Range) else ()
    metric = METRICS[points[0].search.objectives[0]]
    return [plot_search_slice(pd.DataFrame(rows), name, colors, metric, is_log=_is_log(axis), bounds=bounds)]


def _shown(axis: NuisanceAxis, value: Value) -> Value:
    """Return a value of an axis of numbers as it is, another as text."""
    return value if isinstance(axis, Range) or _numbers(axis) else format_value(value)


def _is_log(axis: NuisanceAxis) -> bool:
    if isinstance(axis, Range):
        return axis.log
    numbers = _numbers(axis)
    return bool(numbers) and min(numbers) > 0 and max(numbers) >= LOG_RATIO * min(numbers)


def _numbers(axis: Axis) -> list[float]:
    """Return the values of an axis of numbers, none of another."""
    numbers = [value for value in axis if isinstance(value, int | float) and not isinstance(value, bool)]
    return numbers if len(numbers) == len(axis) else []


def _draw_importances(study: FinishedStudy, points: Sequence[DrawnPoint], colors: Mapping[str, int]) -> list[go.Figure]:
    """Draw the importances of searches that vary two axes or more; of one axis there is nothing to divide."""
    from study.search.optuna_study import importances, rebuild  # loads Optuna and scikit-learn

    signs = [find_metric(name).sign for name in study.plan.space.objectives]
    rows = []
    for cell, search in {each.cell: each.search for each in points}.items():
        shares = importances(rebuild(search.cell.axes, search.history, signs)) if len(search.cell.axes) > 1 else None
        rows += [{"cell": cell, "axis": axis, "share": share} for axis, share in (shares or {}).items()]
    if not rows:
        return []
    metric, is_adaptive = METRICS[study.plan.space.objectives[0]], study.plan.space.sampler in ADAPTIVE
    return [plot_importances(pd.DataFrame(rows), colors, metric, is_adaptive=is_adaptive)]
