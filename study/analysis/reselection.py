"""Selection of an axis' values by another validation metric, without training."""

import pandas as pd

from revit.errors import InputError
from revit.training.metrics import METRICS
from study.analysis.results import trial_table
from study.ledger.schema import val_value_name, value_name
from study.ledger.states import TrialState
from study.plan import Plan


def reselection_table(plan: Plan, axis: str, by: str) -> pd.DataFrame:
    """Return a row per cell of the other axes: the value of an axis that is best on validation images, and its test.

    Columns are the other axes, the axis with the selected value, `val` (mean of the metric `by` on validation images
    over seeds), `n`, and `mean` (of the study's metric on test images).

    Args:
        axis: a scientific axis.
        by: key of METRICS of predictions.

    Raises:
        InputError: there is no such axis or metric, or a finished trial has no validation images.
    """
    axes = list(plan.space.scientific)
    if axis not in axes:
        raise InputError(f"axis = {axis!r}: must be one of {', '.join(axes)}")
    known = [name for name, metric in METRICS.items() if metric.of_predictions]
    if by not in known:
        raise InputError(f"by = {by!r}: must be one of {', '.join(known)}")
    trials = trial_table(plan)
    finished = trials[trials["state"] == TrialState.FINISHED]
    names = {val_value_name(by): "val", value_name(plan.space.metric): "mean"}
    if finished[[*names]].isna().any(axis=None):
        raise InputError(f"{plan.space.name}: not every finished trial has {' and '.join(names)}: no validation images")
    by_cell = finished.groupby(axes, sort=False, dropna=False)
    cells = by_cell[[*names]].mean().rename(columns=names).assign(n=by_cell.size()).reset_index()
    ranked = cells.sort_values("val", ascending=METRICS[by].sign < 0, kind="stable")
    others = [name for name in axes if name != axis]
    best = ranked.drop_duplicates(others) if others else ranked.head(1)
    return best.sort_index().reset_index(drop=True)[[*others, axis, "val", "n", "mean"]]
