"""Tidy results: a row per trial, axes of their own types, every metric."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from revit.config import FineTuneConfig
from revit.errors import InputError
from revit.training.metrics import METRICS
from search_spaces.framework.space import SearchSpace
from study.analysis.tidy import tidy_table
from study.ledger.records import TrialRecord
from study.ledger.schema import value_name
from study.ledger.states import TrialState
from study.plan import Folders, Plan
from study.planning import make_plan

SPACE = SearchSpace(
    name="example",
    question="?",
    base=FineTuneConfig(dataset="digits", resolution=8, steps=5),
    scientific={
        "schedule.name": ("cosine", "linear"),
        "optimizer.lr": (0.1, 0.2),
        "batch_size": (16, 32),
        "hflip": (True, False),
        "optimizer.max_grad_norm": (None, 1.0),
    },
    seeds=(0, 1),
)


@pytest.fixture
def plan(tmp_path: Path, cache_dir: Path) -> Plan:
    """A plan whose first trial has finished, whose second has diverged, whose third has failed."""
    plan = make_plan(SPACE, SPACE.seeds, Folders(store=tmp_path, data=tmp_path, cache=cache_dir), {})
    states = (TrialState.FINISHED, TrialState.DIVERGED, TrialState.FAILED)
    records = {
        trial.identity: TrialRecord(
            run_id=f"run{index}",
            identity=trial.identity,
            state=state,
            last_step=5,
            metrics={"test_accuracy": 0.75, "test_loss": 0.5, "selected_val_accuracy": 0.8, "num_trained": 1000.0}
            if state == TrialState.FINISHED
            else {},
            params={},
            tags={},
        )
        for index, (trial, state) in enumerate(zip(plan.trials, states, strict=False))
    }
    return plan.with_records(records)


def test_finished_trials_have_axes_seed_metrics_and_run(plan: Plan) -> None:
    table = tidy_table(plan, ["finished"])
    axes = list(SPACE.scientific)
    assert list(table) == [*axes, "seed", "state", *METRICS, "val_accuracy", "num_test", "identity", "run_id"]
    [row] = table.to_dict("records")
    first = plan.trials[0]
    assert {axis: row[axis] for axis in axes} == dict(first.candidate.point)
    assert (row["accuracy"], row["loss"], row["val_accuracy"], row["num_trained"]) == (0.75, 0.5, 0.8, 1000)
    assert math.isnan(row["balanced_accuracy"]), "what was not measured is not a number"
    assert (row["seed"], row["num_test"], row["identity"], row["run_id"]) == (0, 359, first.identity, "run0")


def test_axes_keep_the_types_of_their_values(plan: Plan) -> None:
    table = tidy_table(plan, list(TrialState))
    assert len(table) == len(plan.trials) == 64
    kinds = {axis: table[axis].dtype.kind for axis in ("optimizer.lr", "batch_size", "hflip")}
    assert kinds == {"optimizer.lr": "f", "batch_size": "i", "hflip": "b"}
    assert set(table["schedule.name"]) == {"cosine", "linear"}
    assert [type(value) for value in table["optimizer.max_grad_norm"].unique()] == [type(None), float]
    assert table["seed"].dtype == int
    assert all(table[metric].dtype == np.float64 for metric in METRICS)


def test_other_states_are_included_on_request(plan: Plan) -> None:
    assert tidy_table(plan, ["finished", "diverged"])["state"].tolist() == ["finished", "diverged"]
    assert tidy_table(plan, [TrialState.FAILED])["run_id"].tolist() == ["run2"]
    assert len(tidy_table(plan, ["new"])) == 61
    with pytest.raises(InputError, match="states has 'done'; must be among new, running"):
        tidy_table(plan, ["done"])


def test_a_table_without_trials_has_its_columns(plan: Plan) -> None:
    table = tidy_table(plan.with_records({}), ["finished"])
    assert len(table) == 0
    assert {"optimizer.lr", "seed", "accuracy", "run_id"} <= set(table)


def test_metrics_of_predictions_are_those_of_test_images() -> None:
    assert value_name("accuracy") == "test_accuracy"
    assert value_name("train_time_s") == "train_time_s"


def test_a_metric_does_not_replace_an_axis_of_its_name(plan: Plan) -> None:
    space = replace(SPACE, scientific={"loss": ("cross_entropy", "binary_cross_entropy")})
    trials = [replace(each, candidate=replace(each.candidate, cell={"loss": "cross_entropy"})) for each in plan.trials]
    table = tidy_table(replace(plan, space=space, trials=trials[:1]), ["finished"])
    assert table[["loss", "test_loss"]].to_dict("records") == [{"loss": "cross_entropy", "test_loss": 0.5}]
