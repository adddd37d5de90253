"""Views in MLflow's UI: a study's tested trials, grouped by cell, the best cell first; the curves of some runs.

MLflow keeps a view that was shared as JSON in a tag of the experiment; an address names it by its key (function
`useSharedExperimentViewState` of its UI). Nothing else in an address can group the table.
"""

import hashlib
import json
from collections.abc import Sequence
from urllib.parse import quote, urlencode

from revit.training.metrics import find_metric
from study.ledger.schema import (
    CELL_PREFIX,
    KIND_TAG,
    PHASE_TAG,
    STUDY_PREFIX,
    TEST_PHASE,
    TRIAL,
    YES,
    val_value_name,
    value_name,
)

SHARED_VIEW_PREFIX = "mlflow.sharedViewState."
"""Prefix of the tag of an experiment that has a shared view, by its key."""


def study_view(study: str, metric: str, axes: Sequence[str], tags: dict[str, str]) -> tuple[str, str]:
    """Return the key and the content of the view of a study.

    Args:
        metric: key of METRICS, by which cells are sorted.
        axes: config fields that are shown as columns.
        tags: recipe and scale of the trials to show.
    """
    wanted = {f"{STUDY_PREFIX}{study}": YES, KIND_TAG: TRIAL, PHASE_TAG: TEST_PHASE, **tags}
    metrics = [value_name(metric), *([val_value_name(metric)] if find_metric(metric).of_predictions else [])]
    columns = [*(_column("metrics", name) for name in metrics), *(_column("params", axis) for axis in axes)]
    by_cell = {"mode": "tag", "groupByData": f"{CELL_PREFIX}{study}"}
    view = {
        "searchFilter": " and ".join(f"tags.`{name}` = '{value}'" for name, value in wanted.items()),
        "orderByKey": columns[0],
        "orderByAsc": find_metric(metric).direction == "minimize",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "selectedColumns": columns,
        "groupBy": {"aggregateFunction": "average", "groupByKeys": [by_cell]},
    }
    content = json.dumps(view)
    return hashlib.sha256(content.encode()).hexdigest()[:16], content


def curves_query(run_ids: Sequence[str], metric: str) -> str:
    """Return the part of an address that shows the curves of these runs, and of no others, beside each other.

    Args:
        metric: key of METRICS, by which the runs are sorted: where they are not, the UI adds their launches.
    """
    ids = ", ".join(f"'{run_id}'" for run_id in run_ids)
    values = {
        "compareRunsMode": "CHART",
        "searchFilter": f"attributes.run_id IN ({ids})",
        "orderByKey": _column("metrics", value_name(metric)),
        "orderByAsc": str(find_metric(metric).direction == "minimize").lower(),
        "startTime": "ALL",
    }
    return urlencode(values, quote_via=quote)


def _column(kind: str, name: str) -> str:
    return f"{kind}.`{name}`"
