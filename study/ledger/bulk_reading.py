"""Runs of a store's database, a query per table. MLflow's own search makes objects of the database layer: slower."""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from mlflow.entities import LifecycleStage, Metric, Run, RunData, RunInfo
from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric, SqlParam, SqlRun, SqlTag
from sqlalchemy import Row, Select, func, select
from sqlalchemy.orm import Session

_IS_ACTIVE: Any = SqlRun.lifecycle_stage == LifecycleStage.ACTIVE

OpenSession = Callable[[], AbstractContextManager[Session]]
"""Opens a session of MLflow's database store: its `ManagedSessionMaker`."""


def read_values(open_session: OpenSession, experiment_id: str, tag: str) -> list[str]:
    """Return the value of a tag in each active run that has it."""
    with open_session() as session:
        return list(session.scalars(_tagged(SqlTag.value, experiment_id, tag).where(_IS_ACTIVE)))


def read_runs(open_session: OpenSession, experiment_id: str, tag: str, value: str = "") -> list[Run]:
    """Return the active runs that have a tag, the newest first: what MLflow's search for it returns.

    Args:
        value: of the tag; empty for any.
    """
    tagged = _tagged(SqlRun.run_uuid, experiment_id, tag)
    has_value: Any = SqlTag.value == value
    ids = (tagged.where(has_value) if value else tagged).scalar_subquery()  # a run may be deleted between two queries
    newest_first = SqlRun.start_time.desc(), SqlRun.run_uuid
    texts: dict[str, str] = {}
    share = texts.setdefault  # one object, however many runs have it
    decode = json.JSONDecoder(
        object_pairs_hook=lambda pairs: {share(key, key): share(text, text) for key, text in pairs}
    ).decode

    def read_texts(table: Any) -> Mapping[str, Mapping[str, str]]:
        """Return the texts of each run by key. SQLite joins them: a row for each takes three times as long."""
        joined = select(table.run_uuid, func.json_group_object(table.key, table.value))
        found = session.execute(joined.where(table.run_uuid.in_(ids)).group_by(table.run_uuid))
        return defaultdict(dict, {run: decode(pairs) for run, pairs in found})

    with open_session() as session:
        active = select(*SqlRun.__table__.c).where(SqlRun.run_uuid.in_(ids), _IS_ACTIVE).order_by(*newest_first)
        infos = [_info(run) for run in session.execute(active)]
        tags, params = read_texts(SqlTag), read_texts(SqlParam)
        columns: Any = SqlLatestMetric.run_uuid, SqlLatestMetric.key, SqlLatestMetric.value, SqlLatestMetric.is_nan
        latest: Any = session.execute(select(*columns).where(columns[0].in_(ids)))
        metrics: defaultdict[str, dict[str, float]] = defaultdict(dict)
        for run, key, value, is_nan in latest:
            metrics[run][share(key, key)] = math.nan if is_nan else value
    return [_run(info, metrics[info.run_id], params[info.run_id], tags[info.run_id]) for info in infos]


def read_points(open_session: OpenSession, run_id: str, metric: str = "") -> list[Metric]:
    """Return every value of a metric of a run.

    Args:
        metric: its name; empty for all.
    """
    columns: Any = SqlMetric.key, SqlMetric.value, SqlMetric.timestamp, SqlMetric.step, SqlMetric.is_nan
    points: Select[Any] = select(*columns).where(SqlMetric.run_uuid == run_id)
    if metric:  # SQLite would look for a bare key in every run, by the index that begins with it
        points = points.where(SqlMetric.key.concat("") == metric)
    with open_session() as session:
        found: Any = session.execute(points).all()
    return [Metric(key, math.nan if is_nan else value, at_ms, step) for key, value, at_ms, step, is_nan in found]


def _run(info: RunInfo, metrics: Mapping[str, float], params: Mapping[str, str], tags: Mapping[str, str]) -> Run:
    """Return a run. Its data is filled as it is: an entity for each of a million values takes as long as reading."""
    data = RunData()
    data.metrics.update(metrics)
    data.params.update(params)
    data.tags.update(tags)
    return Run(info, data)


def _tagged(column: Any, experiment_id: str, tag: str) -> Select[Any]:
    """Return the query for a column of the tags of that name, or of their runs, also of deleted ones."""
    has_tag: Any = (SqlTag.key == tag) & (SqlTag.value != "")
    return select(column).join_from(SqlTag, SqlRun).where(SqlRun.experiment_id == experiment_id, has_tag)


def _info(run: Row[Any]) -> RunInfo:
    return RunInfo(
        run_id=run.run_uuid,
        run_name=run.name,
        experiment_id=str(run.experiment_id),
        user_id=run.user_id,
        status=run.status,
        start_time=run.start_time,
        end_time=run.end_time,
        lifecycle_stage=run.lifecycle_stage,
        artifact_uri=run.artifact_uri,
    )
