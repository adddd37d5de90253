"""Tables that a terminal shows: the trials of a plan, the cells of a study."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from revit.training.metrics import METRICS, Metric
from search_spaces.framework.space import SearchSpace
from study.analysis.intervals import intervals_note
from study.analysis.results import cell_table
from study.labels import format_value
from study.plan import Plan, TrialPreview
from study.report.fitted_table import FittedTable
from study.report.paper_tables import format_status
from study.trial import Trial


def terminal_table(plan: Plan) -> FittedTable:
    """Return a row per cell: axes, mean of the study's metric, its 95 % interval, number of seeds, status."""
    metric = METRICS[plan.space.metric]
    axes = [*plan.space.scientific, *plan.space.nuisance_axes]
    cells = cell_table(plan).to_dict("records")
    statuses = [format_status(cell) for cell in cells]
    rows = [
        [
            *(format_value(cell[axis]) for axis in axes),
            metric.format(cell["mean"]) if cell["n"] else "-",
            _interval(cell, metric),
            str(cell["n"]),
            status,
        ]
        for cell, status in zip(cells, statuses, strict=True)
    ]
    numbers = ["mean", "95 % interval", "seeds"]
    headings = [*axes, *numbers, *(["status"] if any(statuses) else [])]
    title = f"{plan.space.name}: {metric.heading}"
    shown = [row[: len(headings)] for row in rows]
    return FittedTable(headings, shown, title=title, caption=intervals_note(metric), numbers=numbers)


def plan_table(plan: Plan) -> FittedTable:
    """Return a row per trial: axes, seed, steps, state (why, if it is stale), identity, run."""
    rows = [
        [*_trial_cells(trial), _state(trial), trial.identity, "" if trial.record is None else trial.record.run_id]
        for trial in plan.trials
    ]
    return _trials_table(plan.space, ("state", "identity", "run"), rows)


def preview_table(space: SearchSpace, trials: Sequence[TrialPreview]) -> FittedTable:
    """Return a row per trial whose dataset is not on this machine: axes, seed, steps."""
    return _trials_table(space, (), [_trial_cells(trial) for trial in trials])


def _state(trial: Trial) -> str:
    return f"{trial.state}: {trial.staleness_reason}" if trial.is_stale else trial.state.value


def _trial_cells(trial: Trial | TrialPreview) -> list[str]:
    labels, seed = trial.candidate.point.values(), trial.candidate.config.seed
    return list(map(format_value, (*labels, seed, trial.num_steps)))


def _trials_table(space: SearchSpace, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> FittedTable:
    columns = [*space.scientific, *space.nuisance_axes, "seed", "steps", *headings]
    return FittedTable(columns, rows, title=f"{space.name}: {space.question}", spare=("run", "identity"))


def _interval(cell: Mapping[Hashable, Any], metric: Metric) -> str:
    if math.isnan(cell["low"]):
        return cell["interval"] or "-"
    scope = " (images only)" if cell["n"] == 1 else ""
    return f"{metric.format(cell['low'])} to {metric.format(cell['high'])}{scope}"
