"""Points of a study's searches as tables: a row per point, or a row per cell."""

import math
import operator
from collections import Counter
from collections.abc import Mapping

import pandas as pd

from revit.training.metrics import METRICS, find_metric
from search_spaces.framework.claim_cells import Value
from study.analysis.tidy import typed
from study.ledger.schema import TRAIN_TIME_S
from study.ledger.states import TrialState
from study.plan import Plan
from study.search.cell_search import ENDED, CellSearch, SearchPoint


def point_table(plan: Plan) -> pd.DataFrame:
    """Return a row per point that has been asked for, cell by cell in the order of numbers.

    Columns:
        one per axis: its value, as trained; None for a nuisance axis that does not exist at the point.
        number: int, 0 for the first point of a cell.
        state: str, how the point ended.
        one per objective: float, the mean over the point's seeds, NaN unless it finished; `val_accuracy` for a metric
            of predictions, which is of the validation images.
        seconds: float, of training, of all its seeds; NaN where none was measured.
        chosen: bool, whether it is the one that is tested.
        identities, run_ids: tuples of str, one for each seed of the search; a run that was not begun is None.
    """
    rows = [_point_row(plan, search, point) for search in plan.searches for point in search.points]
    axes = [*plan.space.scientific, *plan.space.nuisance_axes]
    objectives = [value_column(name) for name in plan.space.objectives]
    columns = [*axes, "number", "state", *objectives, "seconds", "chosen", "identities", "run_ids"]
    types = {"number": int, "chosen": bool, "seconds": float, **dict.fromkeys(objectives, float)}
    frame = pd.DataFrame(rows, columns=columns, dtype=object).astype(types)
    return frame.assign(**{axis: typed([row[axis] for row in rows]) for axis in axes})


def value_column(objective: str) -> str:
    """Return the column of an objective: `val_accuracy` for a metric of predictions."""
    return f"val_{objective}" if METRICS[objective].of_predictions else objective


def _point_row(plan: Plan, search: CellSearch, point: SearchPoint) -> dict[str, object]:
    candidate = point.trials[0].candidate
    records = [trial.record for trial in point.trials]
    is_finished = point.state == TrialState.FINISHED
    return {
        **candidate.cell,
        **{axis: candidate.nuisance.get(axis) for axis in plan.space.nuisance_axes},
        "number": point.number,
        "state": point.state.value,
        **{value_column(name): point.value(name) if is_finished else math.nan for name in search.objectives},
        "seconds": _seconds(point),
        "chosen": search.chosen is not None and point is search.best,
        "identities": tuple(trial.identity for trial in point.trials),
        "run_ids": tuple(None if record is None else record.run_id for record in records),
    }


def _seconds(point: SearchPoint) -> float:
    measured = [trial.record.metrics.get(TRAIN_TIME_S) for trial in point.trials if trial.record is not None]
    known = [seconds for seconds in measured if seconds is not None]
    return sum(known) if known else math.nan


def searched_cells(plan: Plan) -> list[tuple[CellSearch, Mapping[str, Value]]]:
    """Return the search of each cell, with the cell's values on the scientific axes as trained."""
    trained = {str(trial.candidate.requested_values): trial.candidate.cell for trial in plan.trials}
    return [(search, trained[str(search.cell.values)]) for search in plan.searches]


def count_states(search: CellSearch) -> dict[TrialState, int]:
    """Return the number of points in each state in which a point has ended; states of none are left out."""
    counts = Counter(point.state for point in search.points)
    return {state: counts[state] for state in ENDED if counts[state]}


def pareto_front(search: CellSearch) -> list[SearchPoint]:
    """Return the finished points that no other finished one beats, or equals and beats in one objective, best first."""
    finished = [point for point in search.points if point.state == TrialState.FINISHED]
    costs = {point.number: _costs(search, point) for point in finished}

    def is_dominated(point: SearchPoint) -> bool:
        own = costs[point.number]
        return any(other != own and all(map(operator.le, other, own)) for other in costs.values())

    front = [point for point in finished if not is_dominated(point)]
    return sorted(front, key=lambda point: costs[point.number])


def _costs(search: CellSearch, point: SearchPoint) -> tuple[float, ...]:
    """Return the value of each objective, signed so that less is better."""
    return tuple(-find_metric(name).sign * point.value(name) for name in search.objectives)
