"""study.ledger.bulk_reading, against MLflow's own search."""

import math
from typing import Any

import pytest
from mlflow.entities import Metric, Run
from sqlalchemy import event

from study.ledger import bulk_reading
from study.ledger.bulk_reading import read_points, read_runs, read_values
from study.ledger.ledger import Ledger
from study.ledger.records import TrialUpdate
from study.ledger.states import TrialState
from tests.study.ledger.trial_runs import opened, rows


def plain(run: Run) -> tuple[Any, ...]:
    """Everything that a run has, with NaN as text: it equals nothing."""
    metrics = {name: str(value) if math.isnan(value) else value for name, value in run.data.metrics.items()}
    return dict(run.info), run.data.tags, run.data.params, metrics


def test_runs_are_those_that_mlflow_finds_in_its_order(ledger: Ledger) -> None:
    store: Any = ledger.runs.client._tracking_client.store
    for identity in ("a", "b", "c", "deleted"):
        run_id = opened(ledger, identity)
    ledger.runs.delete(run_id)
    a, b = (ledger.trials()[identity].run_id for identity in ("a", "b"))
    measured = {"step": 1, "lr": 0.5, "train_loss": math.nan, "grad_norm": math.inf}
    ledger.log(a, TrialUpdate(rows=rows(measured, {"step": 2, "lr": 0.25}), config={"optimizer.name": "sgd"}))
    ledger.close_trial(b, TrialState.FAILED, message="why", failure="data")
    ledger.runs.tag(a, {"sometimes": "yes", "empty": ""})
    other = ledger.runs.client.create_experiment("another")
    ledger.runs.client.create_run(other, tags={"identity": "elsewhere", "sometimes": "yes"})
    for tag, count in (("identity", 3), ("kind", 7), ("sometimes", 1), ("empty", 0), ("absent", 0)):
        expected = ledger.runs.search(f"tags.{tag} != ''")
        found = read_runs(store.ManagedSessionMaker, ledger.runs.experiment_id, tag)
        assert list(map(plain, found)) == list(map(plain, expected))
        assert len(found) == count
        values = read_values(store.ManagedSessionMaker, ledger.runs.experiment_id, tag)
        assert sorted(values) == sorted(run.data.tags[tag] for run in expected)
    for tag, value, count in (("identity", "a", 1), ("kind", "trial", 3), ("identity", "A", 0), ("absent", "a", 0)):
        expected = ledger.runs.search(f"tags.{tag} = '{value}'")
        assert list(map(plain, ledger.runs.with_tag(tag, value))) == list(map(plain, expected))
        assert len(expected) == count
    assert plain(ledger.runs.by_tag("identity")["a"][0])[3]["train_loss"] == "nan"


def test_points_are_those_of_every_metrics_history(ledger: Ledger) -> None:
    store: Any = ledger.runs.client._tracking_client.store
    run_id = opened(ledger)
    measured = {"step": 1, "lr": 0.5, "train_loss": math.nan, "grad_norm": math.inf}
    ledger.log(run_id, TrialUpdate(rows=rows(measured, {"step": 2, "lr": 0.25})))
    ledger.log(opened(ledger, "another"), TrialUpdate(rows=rows({"step": 9, "lr": 9.0})))
    names = ledger.runs.client.get_run(run_id).data.metrics
    expected = [point for name in names for point in ledger.runs.client.get_metric_history(run_id, name)]
    found = read_points(store.ManagedSessionMaker, run_id)
    assert sorted(map(_text, found)) == sorted(map(_text, expected))
    assert len(found) == 6
    of_one = read_points(store.ManagedSessionMaker, run_id, "lr")
    assert sorted(map(_text, of_one)) == sorted(_text(point) for point in expected if point.key == "lr")


def test_the_points_of_a_run_are_found_without_those_of_other_runs(ledger: Ledger) -> None:
    """SQLite's own choice for this query is an index of all points of the metric: 40 ms of a store of 10,000 trials."""
    store: Any = ledger.runs.client._tracking_client.store
    statements: list[tuple[str, Any]] = []

    def keep(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_others: Any) -> None:
        statements.append((statement, parameters))

    event.listen(store.engine, "before_cursor_execute", keep)
    read_points(store.ManagedSessionMaker, opened(ledger), "lr")
    event.remove(store.engine, "before_cursor_execute", keep)
    [(statement, parameters)] = [each for each in statements if "FROM metrics" in each[0]]
    with store.engine.connect() as connection:
        [step] = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    assert "(run_uuid=?)" in step[-1]


def _text(point: Metric) -> tuple[object, ...]:
    return point.key, str(point.value), point.timestamp, point.step


def test_a_run_that_is_deleted_while_others_are_read_is_read_whole(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another launch, or by hand. Each query sees the database as it is by then."""
    run_id = opened(ledger, "a")
    ledger.log(run_id, TrialUpdate(rows=rows({"step": 1, "lr": 0.5}), config={"optimizer.name": "sgd"}))
    expected = plain(ledger.runs.by_tag("identity")["a"][0])
    info_of = bulk_reading._info

    def read_info_and_delete(run: Any) -> Any:
        info = info_of(run)
        ledger.runs.delete(run_id)
        return info

    monkeypatch.setattr(bulk_reading, "_info", read_info_and_delete)
    assert plain(ledger.runs.by_tag("identity")["a"][0]) == expected
