"""Searches of a study for its readers, as sentences or tables."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from revit.training.metrics import METRICS
from search_spaces.framework.axes import NuisanceAxis
from search_spaces.framework.cells import Point
from search_spaces.framework.claim_cells import Value
from search_spaces.framework.ranges import Range
from search_spaces.framework.search import Pruner, Sampler
from search_spaces.framework.space import SearchSpace
from study.analysis.searched import count_states, pareto_front, searched_cells
from study.labels import format_value, label
from study.plan import Plan
from study.report.axis_words import axis_titles
from study.report.table_markup import flat_to_html
from study.search.cell_search import CellSearch, SearchPoint
from study.search.range_edges import range_edges

SAMPLERS: Mapping[Sampler, str] = {
    "grid": "all combinations of the values",
    "quasi_random": "points of a Sobol sequence, spread evenly, the same ones in every cell",
    "random": "random points",
    "tpe": "points that Optuna's TPESampler chooses near what has been good",
    "gp": "points that Optuna's GPSampler chooses near what has been good",
}
"""Description of each sampler."""
ADAPTIVE: frozenset[Sampler] = frozenset({"tpe", "gp"})
"""Samplers that choose a point by the results of those before it."""
PRUNERS: Mapping[Pruner, str] = {
    "successive_halving": "Optuna's successive halving gives up points of a cell by their validation curves",
    "median": "Optuna's median pruner gives up points of a cell by their validation curves",
    "wilcoxon": "Optuna's Wilcoxon pruner gives up points of a cell by their first seeds",
}
"""Description of each pruner."""
NOT_THERE = "-"


def search_context(plan: Plan) -> dict[str, Any]:
    """Return what the templates show of searches; empty tables where there are none."""
    table, front = search_table(plan), front_table(plan)
    if table.empty:
        return {"searches": "", "front": "", "search_sentences": []}
    titles = axis_titles([*plan.space.scientific, *plan.space.nuisance_axes])
    titles |= {f"chosen {axis}": f"chosen {title}" for axis, title in titles.items()}
    return {
        "searches": flat_to_html(table.rename(columns=titles), "search"),
        "front": "" if front.empty else flat_to_html(front.rename(columns=titles), "front"),
        "search_sentences": describe_search(plan),
    }


def search_table(plan: Plan) -> pd.DataFrame:
    """Return a row of texts per tuned cell: its axes, points, chosen values, seconds of training, best value.

    Values are as the study names them, with the trained ones behind them where these differ.
    """
    objective = plan.space.objectives[0]
    rows = [
        {
            **{axis: format_value(value) for axis, value in cell.items()},
            "points": _points(search),
            **{f"chosen {axis}": _chosen(search, axis) for axis in plan.space.nuisance_axes},
            "training, s": f"{search.train_time_s:,.0f}",
            f"best {METRICS[objective].val_heading}": NOT_THERE
            if search.best is None
            else METRICS[objective].format(search.best.value(objective)),
        }
        for search, cell in _tuned_cells(plan)
    ]
    return pd.DataFrame(rows)


def _tuned_cells(plan: Plan) -> list[tuple[CellSearch, Mapping[str, Value]]]:
    """Return the searches of the cells that have something to tune, with the cells."""
    return [(search, cell) for search, cell in searched_cells(plan) if search.cell.axes]


def _chosen(search: CellSearch, axis: str) -> str:
    return NOT_THERE if search.chosen is None or search.best is None else format_point_value(search.best, axis)


def format_point_value(point: SearchPoint, axis: str) -> str:
    """Return a point's value on an axis, and what was trained where that differs; a dash where there is none."""
    values: Point = point.values  # noqa: PD011  (not of pandas)
    if axis not in values:
        return NOT_THERE
    named, trained = values[axis], point.trials[0].candidate.nuisance[axis]
    return format_value(named) + ("" if named == trained else f" (trained: {format_value(trained)})")


def _points(search: CellSearch) -> str:
    """Return how many points of how many have ended, and how."""
    counts = count_states(search)
    num_ended = sum(counts.values())
    parts = [f"{count} {state}" for state, count in counts.items()]
    if num_ended < len(search.points):
        parts.append(f"{len(search.points) - num_ended} running")
    if search.num_left:
        parts.append(f"{search.num_left} to come")
    if search.is_over and len(search.points) < search.num_points:
        parts.append("the space has no more" if search.is_exhausted else "its time is used")
    return f"{num_ended} of {search.num_points}" + (f": {', '.join(parts)}" if parts else "")


def front_table(plan: Plan) -> pd.DataFrame:
    """Return a row of texts per point of each cell's Pareto front: axes, number, objectives; none for one objective."""
    if len(plan.space.objectives) == 1:
        return pd.DataFrame()
    rows = [
        {
            **{axis: format_value(value) for axis, value in cell.items()},
            "point": str(point.number),
            **{axis: format_point_value(point, axis) for axis in plan.space.nuisance_axes},
            **{METRICS[name].val_heading: METRICS[name].format(point.value(name)) for name in search.objectives},
            "tested": "yes" if search.chosen is not None and point is search.best else "",
        }
        for search, cell in searched_cells(plan)
        for point in pareto_front(search)
    ]
    return pd.DataFrame(rows)


def tuning_caveats(plan: Plan) -> list[str]:
    """Return lines on what is tuned, on cells that keep their validation images, on searches that begin anew."""
    if not _tuned_cells(plan):
        return kept_validation(plan)
    axes = ", ".join(_axis(name, axis) for name, axis in plan.space.nuisance_axes.items())
    tuned = _tuned_cells(plan)
    counts = sorted({search.num_points for search, _ in tuned})
    points = f"{counts[0]} points in each" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} points"
    where = "each cell" if len(tuned) == len(plan.searches) else f"{len(tuned)} of {len(plan.searches)} cells"
    line = f"tuned in {where} by a search on validation images ({plan.space.sampler}, {points}): {axes}"
    return [line + _scale_note(plan.space), *kept_validation(plan), *_stale_lines(plan)]


def _stale_lines(plan: Plan) -> list[str]:
    reasons = Counter(search.staleness_reason for search in plan.searches if search.staleness_reason)
    return [
        f"stale: {count} of {len(plan.searches)} searches have points of an earlier setup: {reason}; they begin anew"
        for reason, count in reasons.items()
    ]


def describe_search(plan: Plan) -> list[str]:
    """Return sentences on how a study was searched: sampler, budget, pruner, seeds, objectives, images."""
    space = plan.space
    objectives = " and ".join(METRICS[name].val_name for name in space.objectives)
    pruner = [] if space.search.pruner is None else [f"{PRUNERS[space.search.pruner]}."]
    second = f" The best {METRICS[space.objectives[0]].title} chooses." if len(space.objectives) > 1 else ""
    return [
        f"In each cell, a search tunes {', '.join(_axis(name, axis) for name, axis in space.nuisance_axes.items())}"
        f"{_scale_note(space)}. It tries {SAMPLERS[space.sampler]}.",
        f"{_budget(plan)} {_seeds(space.search.seeds)}",
        *pruner,
        f"Points are trained on the training images and compared by {objectives}, without the test images."
        f"{second} The chosen point is then trained on training and validation images with each seed of the study, "
        "and tested once: test images choose nothing.",
        *kept_validation(plan),
    ]


def _axis(name: str, axis: NuisanceAxis) -> str:
    """Return an axis with its values or its range."""
    values = f"in {axis}" if isinstance(axis, Range) else f"over {', '.join(map(format_value, axis))}"
    return f"{name} {values}"


def _scale_note(space: SearchSpace) -> str:
    return "" if space.base is not None or space.scale == "paper" else ", at paper scale"


def _budget(plan: Plan) -> str:
    """Return the budget of the cells, equal or not."""
    cells: dict[int, list[str]] = {}
    for search, cell in _tuned_cells(plan):
        cells.setdefault(search.num_points, []).append(label(cell))
    seconds, largest = plan.space.search.time_budget_s, max(cells)
    limit = "" if seconds is None else f", and at most {seconds:g} s of training"
    untuned = len(plan.searches) - len(_tuned_cells(plan))
    rest = f" {untuned} of {len(plan.searches)} cells have nothing to tune." if untuned else ""
    if len(cells) == 1:
        return f"The budget is the same in every {'tuned ' if untuned else ''}cell: {largest} points{limit}.{rest}"
    fewer = [f"{num} in {', '.join(names)}" for num, names in cells.items() if num != largest]
    return f"The budget is {largest} points in a cell{limit}; where the space has no more, {'; '.join(fewer)}.{rest}"


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return f"Each point is trained with seed {seeds[0]}."
    return f"Each point is trained with the seeds {', '.join(map(str, seeds))}, and its value is their mean."


def kept_validation(plan: Plan) -> list[str]:
    """Return a line for each reason why tested trials are not trained on the validation images, with their cells."""
    if not plan.searches:
        return []
    configs = {label(trial.candidate.cell): trial.candidate.config for trial in plan.trials}
    reasons = [
        "schedule plateau" if each.schedule.name == "plateau" else "selection best_val"
        for each in configs.values()
        if each.needs_val
    ]
    return [
        f"{reason} needs the validation images: {count} of {len(configs)} cells are tested without training on them"
        for reason, count in Counter(reasons).items()
    ]


def edge_caveats(plan: Plan) -> list[str]:
    """Return a line for each end of an axis at which chosen values lie, with their cells and a wider axis to paste."""
    names = {str(search.cell.values): label(cell) for search, cell in searched_cells(plan)}
    found: defaultdict[tuple[str, str, str], list[str]] = defaultdict(list)
    for edge in range_edges(plan.space, plan.searches):
        cell = f"{names[str(edge.cell.values)]} ({format_value(edge.value)})"
        found[edge.name, _paste(edge.narrow), _paste(edge.wider)].append(cell)
    return [
        f"best {name} at the edge of {narrow} in {', '.join(cells)}: the range is too narrow for a fair comparison; "
        f"wider: {wider}"
        for (name, narrow, wider), cells in found.items()
    ]


def _paste(axis: NuisanceAxis) -> str:
    """Return an axis as a study writes it."""
    return str(axis) if isinstance(axis, Range) else f"({', '.join(map(format_value, axis))})"
