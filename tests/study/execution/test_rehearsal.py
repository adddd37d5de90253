"""Rehearsals on Ray: what they find, what they measure, and what they leave."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from revit.errors import InputError
from search_spaces.framework.space import SearchSpace
from study.execution import rehearsal
from study.execution.failures import MAX_LOSSES, RayLostError
from study.execution.rehearsal import (
    NUM_STEPS,
    PassSearcher,
    RehearsalListener,
    Shape,
    _run_with_restarts,
    rehearse,
    rehearsed_config,
    shapes_of,
)
from study.execution.resources import ResourceRequest
from study.ledger.ledger import Ledger
from study.ledger.schema import DEVICE_TAG
from study.plan import Plan
from tests.conftest import single_slot
from tests.study.execution.stores import BASE, Studies
from tests.study.full_disk import fill

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
    assert rehearsed_config(replace(config, epochs=1, steps=None, epoch_images="all")) == short


@pytest.fixture(scope="module")
def rehearsed(studies: Studies, plan: Plan) -> list[Shape]:
    before = sorted(path.name for path in studies.folders.store.iterdir())
    lines: list[str] = []
    with single_slot():
        shapes = rehearse([plan], studies.ledger, ResourceRequest(), lines.append)
    assert lines[0] == "rehearsing 2 kinds of trials, for 8 trials"
    assert {line.split("  ", 1)[1] for line in lines if "passed" in line} == {shape.line for shape in shapes}
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


@pytest.mark.usefixtures("one_slot")
def test_what_would_fail_is_found_and_what_passes_is_kept(studies: Studies, tmp_path: Path, small_disk: Path) -> None:
    """The disk is too small for the checkpoints of Adam, three times as large as those of SGD without momentum."""
    base = BASE.with_values({"optimizer.momentum": 0.0})
    space = replace(SPACE, base=base, scientific={"optimizer.name": ("sgd", "adam", "adamw")}, seeds=(0,))
    passing, large, other = studies.plan(space).trials
    lost = replace(other, weights=Path("/nowhere/weights.npz"))
    filler = fill(small_disk, free_bytes=4_000_000)
    ledger, lines = Ledger(tmp_path, storage=str(small_disk)), list[str]()
    plan = replace(studies.plan(space), trials=[passing, large, lost])
    shapes = rehearse([plan], ledger, ResourceRequest(), lines.append)
    assert [bool(shape.failure) for shape in shapes] == [False, True, True]
    checkpoint = rf"{small_disk}/{ledger.runs.key}/tune/\w+/1/checkpoint.pt"
    full = rf"/3  failed  rehearsed optimizer=adam \(1 trials\): OSError: .* No space left on device: '{checkpoint}'$"
    assert [line for line in lines if re.search(full, line)]
    missing = r"/3  failed  rehearsed optimizer=adamw \(1 trials\): .*weights\.npz"
    assert [line for line in lines if re.search(missing, line)]
    assert [each.params["optimizer.name"] for each in ledger.rehearsals.read()] == ["sgd"]
    assert [path for path in small_disk.rglob("*") if path.is_file()] == [filler]


TRIAL: Any = SimpleNamespace(config={"task": SimpleNamespace(identity="0")})


@pytest.mark.parametrize(("loss", "failure"), [(0.5, ""), (0.6, "its checkpoint has other weights: test_loss is ")])
def test_weights_that_reload_as_others_are_found(plan: Plan, loss: float, failure: str) -> None:
    shape = Shape(trial=plan.trials[0], config=plan.trials[0].candidate.config, environment={}, num_trials=4)
    ended: list[Shape] = []
    listener = RehearsalListener([shape], ended.append, print)
    for test_loss in (0.5, loss):
        assert ended == []
        listener.on_trial_result(0, [], TRIAL, {"rows": [{"step": 3, "test_loss": test_loss}], "state": "finished"})
    assert ended == [shape]
    assert shape.failure.startswith(failure)
    assert bool(shape.failure) == bool(failure)


def test_a_loss_that_is_not_finite_is_no_failure(plan: Plan) -> None:
    """Another learning rate of the same shape may well train; it is not resumed."""
    shape = Shape(trial=plan.trials[0], config=plan.trials[0].candidate.config)
    ended: list[Shape] = []
    listener = RehearsalListener([shape], ended.append, print)
    listener.on_trial_result(0, [], TRIAL, {"state": "diverged", "message": "loss is nan at step 2"})
    assert ended == [shape]
    assert (shape.failure, shape.note, shape.measured) == ("", "loss is nan at step 2", None)


def test_a_shape_is_over_soon_and_leaves_no_files(studies: Studies, plan: Plan) -> None:
    """Checkpoints of all shapes together could fill a disk: those of a study at paper scale are 60 GB."""
    shapes = [Shape(trial=trial, config=trial.candidate.config) for trial in plan.trials[:3]]
    storage = studies.ledger.storage
    tasks: list[Any] = [
        SimpleNamespace(identity=str(number), storage=storage, work=f"tune/{number}") for number in range(3)
    ]
    for task in tasks:
        storage.touch(f"{task.work}/checkpoint")
    searcher = PassSearcher(shapes, tasks)
    assert [searcher.suggest(name)["task"] for name in "ab"] == tasks[:2]
    searcher.on_trial_complete("a", error=True)
    searcher.on_trial_complete("b")
    assert searcher.suggest("c")["task"] is tasks[1], "its second pass comes before other shapes"
    shapes[1].num_passes = 2
    searcher.on_trial_complete("c")
    assert storage.folders("tune") == ["2"]
    assert searcher.suggest("d")["task"] is tasks[2]
    assert searcher.suggest("e") is None
    shapes[2].note = "loss is nan at step 2"
    searcher.on_trial_complete("d")
    assert searcher.suggest("e") == "FINISHED"
    assert storage.folders("tune") == []


def start_nothing() -> Any:
    """Start nothing."""


def test_where_ray_is_lost_shapes_that_are_not_over_begin_again(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.shutdown", lambda: None)
    over, half, fresh = shapes = [Shape(trial=trial, config=trial.candidate.config) for trial in plan.trials[:3]]
    runs: list[list[Shape]] = []

    def lose_ray_once(left: Sequence[Shape], _: Any) -> None:
        runs.append(list(left))
        if len(runs) == 2:
            assert (half.num_passes, half.speeds, half.metrics) == (0, [], {})
            return
        over.failure = "it cannot"
        half.num_passes, half.speeds, half.metrics = 1, [3.0], {"test_loss": 2.0}
        raise RayLostError

    _run_with_restarts(start_nothing, lose_ray_once, shapes)
    assert runs == [[over, half, fresh], [half, fresh]]


@pytest.mark.parametrize(("num_over", "num_runs"), [(0, MAX_LOSSES), (1, MAX_LOSSES + 1)])
def test_a_rehearsal_ends_where_ray_is_lost_and_nothing_is_over_in_between(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, num_over: int, num_runs: int
) -> None:
    monkeypatch.setattr("ray.shutdown", lambda: None)
    shapes = [Shape(trial=trial, config=trial.candidate.config) for trial in plan.trials[:3]]
    runs: list[int] = []

    def lose_ray(left: Sequence[Shape], _: Any) -> None:
        runs.append(len(left))
        if len(runs) == 2 and num_over:
            left[0].failure = "it cannot"
        raise RayLostError

    with pytest.raises(InputError, match="stopped: Ray was lost 3 times, and no kind of trial was over in between"):
        _run_with_restarts(start_nothing, lose_ray, shapes)
    assert len(runs) == num_runs


def test_an_error_that_is_not_of_ray_ends_a_rehearsal(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "ray_is_alive", lambda: True)

    def fail(left: Sequence[Shape], _: Any) -> None:
        raise ValueError(len(left))

    with pytest.raises(ValueError, match="1"):
        _run_with_restarts(start_nothing, fail, [Shape(trial=plan.trials[0], config=plan.trials[0].candidate.config)])


def test_a_ray_that_cannot_be_started_ends_a_rehearsal_with_its_own_line(
    studies: Studies, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No Ray is alive then, and none was lost."""
    monkeypatch.setattr(rehearsal, "ray_is_alive", lambda: False)

    def refuse(*_: Any, **__: Any) -> None:
        raise InputError("nobody answers at 10.0.0.1:6379")

    monkeypatch.setattr(rehearsal, "start_ray", refuse)
    with pytest.raises(InputError, match=r"nobody answers at 10\.0\.0\.1"):
        rehearse([plan], studies.ledger, ResourceRequest(), print)


@pytest.mark.long
def test_a_rehearsal_goes_on_where_a_process_of_ray_dies(
    studies: Studies, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, killed = RehearsalListener.on_trial_result, []

    def take_and_kill(*arguments: Any, **named: Any) -> None:
        take(*arguments, **named)
        if not killed:
            killed.extend(child for child in psutil.Process().children(recursive=True) if child.name() == "raylet")
            for each in killed:
                each.kill()

    monkeypatch.setattr(RehearsalListener, "on_trial_result", take_and_kill)
    lines: list[str] = []
    with single_slot():
        shapes = rehearse([plan], studies.ledger, ResourceRequest(), lines.append)
    assert len(killed) == 1
    assert [shape.num_passes for shape in shapes] == [2, 2]
    assert len([line for line in lines if "passed" in line]) == 2
