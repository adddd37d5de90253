"""Rehearsals on Ray: what they find, what they measure, and what they leave."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from search_spaces.framework.space import SearchSpace
from study.execution.rehearsal import NUM_STEPS, RehearsalListener, Shape, rehearse, rehearsed_config, shapes_of
from study.execution.resources import ResourceRequest
from study.ledger.schema import DEVICE_TAG
from study.plan import Plan
from tests.study.execution.stores import BASE, Studies

SPACE = SearchSpace(
    name="rehearsed",
    question="?",
    base=BASE,
    scientific={"batch_size": (8, 16), "optimizer.lr": (0.01, 0.02)},
    seeds=(0, 1),
)


@pytest.fixture(scope="module")
def plan(studies: Studies) -> Plan:
    return studies.plan(SPACE)


def test_trials_that_differ_in_seed_and_learning_rate_are_rehearsed_together(plan: Plan) -> None:
    shapes = shapes_of(plan.to_check)
    assert [(shape.config.batch_size, shape.num_trials) for shape in shapes] == [(8, 4), (16, 4)]
    assert [(shape.config.batch_size, shape.num_trials) for shape in shapes_of(plan.to_check, 4)] == [(4, 8)]


def test_a_rehearsed_config_is_that_of_its_trial_but_for_its_length(plan: Plan) -> None:
    config = plan.trials[0].candidate.config
    short = rehearsed_config(replace(config, steps=None, epochs=7.5))
    assert short.num_steps(1000, 1000) == NUM_STEPS
    changed = {name for name, value in short.flat().items() if config.flat()[name] != value}
    assert changed == {"steps", "num_evals", "schedule.name"}


@pytest.fixture(scope="module")
def rehearsed(studies: Studies, plan: Plan) -> list[Shape]:
    before = sorted(path.name for path in studies.folders.store.iterdir())
    passed: list[Shape] = []
    shapes = rehearse([plan], studies.ledger, ResourceRequest(), print, on_passed=passed.append)
    assert sorted(map(id, passed)) == sorted(map(id, shapes))
    assert sorted(path.name for path in studies.folders.store.iterdir()) == sorted({*before, "tune", "locks", "logs"})
    return shapes


def test_every_shape_passes_and_is_measured(rehearsed: list[Shape]) -> None:
    assert [(shape.failure, shape.note) for shape in rehearsed] == [("", "")] * 2
    for shape in rehearsed:
        measured = shape.measured
        assert measured is not None
        assert len(shape.speeds) == NUM_STEPS
        assert measured.environment[DEVICE_TAG] == "cpu"
        assert measured.params["batch_size"] == str(shape.config.batch_size)
        assert measured.params["optimizer.lr"] == "0.01"
        assert 0 < measured.step_time_s < 10
        assert measured.eval_images_per_s > 0
        assert (measured.peak_memory_bytes or 0) > 1e6


@pytest.mark.usefixtures("rehearsed")
def test_nothing_of_it_counts_as_a_trial(studies: Studies, plan: Plan) -> None:
    assert studies.ledger.trials() == {}
    assert studies.runs("launch") == []
    assert len(studies.plan(SPACE).to_run) == len(plan.to_run) == 8
    for folder in ("tune", "locks", "work"):
        assert list((studies.folders.store / folder).glob("*")) == []


def test_missing_weights_are_found(studies: Studies, plan: Plan) -> None:
    lost = replace(plan.trials[0], weights=Path("/nowhere/weights.npz"))
    [shape] = rehearse([replace(plan, trials=[lost])], studies.ledger, ResourceRequest(), print)
    assert "weights.npz" in shape.failure
    assert shape.line.startswith("failed  rehearsed batch_size=8 lr=0.01 (1 trials): ")
    assert shape.measured is None


@pytest.mark.parametrize(("loss", "failure"), [(0.5, ""), (0.6, "its checkpoint has other weights: test_loss is ")])
def test_weights_that_reload_as_others_are_found(plan: Plan, loss: float, failure: str) -> None:
    shape = Shape(trial=plan.trials[0], config=plan.trials[0].candidate.config, environment={}, num_trials=4)
    trial: Any = SimpleNamespace(config={"task": SimpleNamespace(identity="shape-0")})
    ended: list[Shape] = []
    for is_last, test_loss in ((False, 0.5), (True, loss)):
        listener = RehearsalListener({"shape-0": shape}, is_last=is_last, on_passed=ended.append)
        listener.on_trial_result(0, [], trial, {"rows": [{"step": 3, "test_loss": test_loss}], "state": "finished"})
    assert ended == [shape]
    assert shape.failure.startswith(failure)
    assert bool(shape.failure) == bool(failure)


def test_a_loss_that_is_not_finite_is_no_failure(plan: Plan) -> None:
    """Another learning rate of the same shape may well train; it is not resumed."""
    shape = Shape(trial=plan.trials[0], config=plan.trials[0].candidate.config)
    trial: Any = SimpleNamespace(config={"task": SimpleNamespace(identity="shape-0")})
    ended: list[Shape] = []
    listener = RehearsalListener({"shape-0": shape}, is_last=False, on_passed=ended.append)
    listener.on_trial_result(0, [], trial, {"state": "diverged", "message": "loss is nan at step 2"})
    assert ended == [shape]
    assert (shape.failure, shape.note, shape.measured) == ("", "loss is nan at step 2", None)
