"""Runs of a store's database, a query per table. MLflow's own search makes objects of the database layer: slower."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from mlflow.entities import LifecycleStage, Metric, Param, Run, RunData, RunInfo, RunTag
from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlParam, SqlRun, SqlTag
from sqlalchemy import Row, Select, select
from sqlalchemy.orm import Session

T = TypeVar("T")
_IS_ACTIVE: Any = SqlRun.lifecycle_stage == LifecycleStage.ACTIVE

OpenSession = Callable[[], AbstractContextManager[Session]]
"""Opens a session of MLflow's database store: its `ManagedSessionMaker`."""


def read_values(open_session: OpenSession, experiment_id: str, tag: str) -> list[str]:
    """Return the value of a tag in each active run that has it."""
    with open_session() as session:
        return list(session.scalars(_tagged(SqlTag.value, experiment_id, tag).where(_IS_ACTIVE)))


def read_runs(open_session: OpenSession, experiment_id: str, tag: str) -> list[Run]:
    """Return the active runs that have a tag, the newest first: what MLflow's search for it returns."""
    ids = _tagged(SqlRun.run_uuid, experiment_id, tag).scalar_subquery()  # a run may be deleted between two queries
    newest_first = SqlRun.start_time.desc(), SqlRun.run_uuid
    texts: dict[str, str] = {}

    def share(text: str) -> str:  # one object, however many runs have it
        return texts.setdefault(text, text)

    def query(table: Any, *columns: Any) -> Select[Any]:
        return select(table.run_uuid, table.key, table.value, *columns).where(table.run_uuid.in_(ids))

    with open_session() as session:
        active = select(*SqlRun.__table__.c).where(SqlRun.run_uuid.in_(ids), _IS_ACTIVE).order_by(*newest_first)
        infos = [_info(run) for run in session.execute(active)]
        tags = _group(session.execute(query(SqlTag)), lambda key, value: RunTag(share(key), share(value)))
        params = _group(session.execute(query(SqlParam)), lambda key, value: Param(share(key), share(value)))
        latest = query(SqlLatestMetric, SqlLatestMetric.timestamp, SqlLatestMetric.step, SqlLatestMetric.is_nan)
        metrics = _group(session.execute(latest), lambda key, *values: _metric(share(key), *values))
    return [Run(each, RunData(*(found[each.run_id] for found in (metrics, params, tags)))) for each in infos]


def _tagged(column: Any, experiment_id: str, tag: str) -> Select[Any]:
    """Return the query for a column of the tags of that name, or of their runs, also of deleted ones."""
    has_tag: Any = (SqlTag.key == tag) & (SqlTag.value != "")
    return select(column).join_from(SqlTag, SqlRun).where(SqlRun.experiment_id == experiment_id, has_tag)


def _group(rows: Iterable[Row[Any]], make: Callable[..., T]) -> dict[str, list[T]]:
    """Return what is made of each row, by the run in its first column."""
    grouped: dict[str, list[T]] = defaultdict(list)
    for row in rows:
        grouped[row[0]].append(make(*row[1:]))
    return grouped


def _metric(key: str, value: float, timestamp: int, step: int, is_nan: bool) -> Metric:
    return Metric(key, math.nan if is_nan else value, timestamp, step)


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
