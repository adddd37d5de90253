"""Tables that a terminal shows: the trials of a plan, the cells of a study."""

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from revit.training.metrics import Metric, find_metric
from search_spaces.framework.candidates import Candidate
from search_spaces.framework.space import SearchSpace
from study.analysis.intervals import intervals_note
from study.analysis.results import cell_table
from study.labels import format_value
from study.plan import Plan, TrialPreview
from study.report.fitted_table import FittedTable
from study.report.paper_tables import cells_with_candidates, format_status
from study.report.searches import search_table
from study.trial import Trial

MAX_LISTED_TRIALS = 500
"""Trials up to which a plan has a row for each of them."""


def terminal_table(plan: Plan) -> FittedTable:
    """Return a row per cell: axes, mean of the study's metric, its 95 % interval, number of seeds, status."""
    metric = find_metric(plan.space.metric)
    cells = cells_with_candidates(plan)
    statuses = [format_status(cell) for cell, _ in cells]
    rows = [
        [
            *_labels(candidate, plan.space),
            metric.format(cell["mean"]) if cell["n"] else "-",
            _interval(cell, metric),
            str(cell["n"]),
            status,
        ]
        for (cell, candidate), status in zip(cells, statuses, strict=True)
    ]
    numbers = ["mean", "95 % interval", "seeds"]
    headings = [*plan.space.scientific, *plan.space.nuisance_axes, *numbers, *(["status"] if any(statuses) else [])]
    title = f"{plan.space.name}: {metric.heading}"
    shown = [row[: len(headings)] for row in rows]
    spare = list(plan.space.nuisance_axes)[::-1]
    return FittedTable(headings, shown, title=title, caption=intervals_note(metric), numbers=numbers, spare=spare)


def further_table(plan: Plan) -> FittedTable:
    """Return a row per cell and further metric of a measured plan: axes, metric, mean, 95 % interval, seeds."""
    rows = []
    for each in plan.further:
        metric = find_metric(each.space.metric)
        rows += [
            [
                *(format_value(cell[axis]) for axis in plan.space.scientific),
                metric.heading,
                metric.format(cell["mean"]) if cell["n"] else "-",
                _interval(cell, metric),
                str(cell["n"]),
            ]
            for cell in cell_table(each).to_dict("records")
        ]
    numbers = ["mean", "95 % interval", "seeds"]
    headings = [*plan.space.scientific, "metric", *numbers]
    return FittedTable(headings, rows, title=f"{plan.space.name}: further metrics", numbers=numbers)


def searches_table(plan: Plan) -> FittedTable:
    """Return a row per cell of a searched study: axes, points, chosen values, seconds of training, best value."""
    table = search_table(plan)
    rows = table.to_numpy().tolist()
    numbers = list(table.columns[-2:])
    return FittedTable(list(table.columns), rows, title=f"{plan.space.name}: searches", numbers=numbers, spare=numbers)


def plan_table(plan: Plan) -> FittedTable:
    """Return a row per tested trial: axes, seed, steps, state (why, if it is stale or waits), identity, run.

    Of more than MAX_LISTED_TRIALS, return a row per cell: axes, steps, and how many of its trials have each state.
    """
    if len(plan.trials) > MAX_LISTED_TRIALS:
        return _states_table(plan)
    rows = [
        [*_trial_cells(trial, plan.space), _state(trial), trial.identity, trial.record.run_id if trial.record else ""]
        for trial in plan.trials
    ]
    return _trials_table(plan.space, ("state", "identity", "run"), rows)


def _states_table(plan: Plan) -> FittedTable:
    states: dict[tuple[str, ...], Counter[str]] = {}
    for trial in plan.trials:
        cell = (*_labels(trial.candidate, plan.space), format_value(trial.num_steps))
        states.setdefault(cell, Counter())[_state(trial)] += 1
    rows = [
        [*cell, ", ".join(f"{count} {state}" for state, count in counts.items())] for cell, counts in states.items()
    ]
    headings = [*plan.space.scientific, *plan.space.nuisance_axes, "steps", "trials"]
    return FittedTable(headings, rows, title=f"{plan.space.name}: {plan.space.question}")


def preview_table(space: SearchSpace, trials: Sequence[TrialPreview]) -> FittedTable:
    """Return a row per trial whose dataset is not on this machine: axes, seed, steps."""
    return _trials_table(space, (), [_trial_cells(trial, space) for trial in trials])


def _state(trial: Trial) -> str:
    if trial.awaits:
        return trial.awaits
    return f"{trial.state}: {trial.staleness_reason}" if trial.is_stale else trial.state.value


def _trial_cells(trial: Trial | TrialPreview, space: SearchSpace) -> list[str]:
    numbers = (trial.candidate.config.seed, trial.num_steps)
    return [*_labels(trial.candidate, space), *map(format_value, numbers)]


def _labels(candidate: Candidate, space: SearchSpace) -> list[str]:
    """Return a candidate's value on every axis; a dash on a nuisance axis without one, or whose one is not known."""
    return [
        format_value(candidate.point[axis]) if axis in candidate.point else "-"
        for axis in (*space.scientific, *space.nuisance_axes)
    ]


def _trials_table(space: SearchSpace, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> FittedTable:
    columns = [*space.scientific, *space.nuisance_axes, "seed", "steps", *headings]
    return FittedTable(columns, rows, title=f"{space.name}: {space.question}", spare=("run", "identity"))


def _interval(cell: Mapping[Hashable, Any], metric: Metric) -> str:
    if math.isnan(cell["low"]):
        return cell["interval"] or "-"
    scope = " (images only)" if cell["n"] == 1 else ""
    return f"{metric.format(cell['low'])} to {metric.format(cell['high'])}{scope}"
