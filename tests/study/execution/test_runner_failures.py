"""Launches in which trials, workers, or Ray itself fail."""

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from PIL import Image

from revit.errors import InputError
from search_spaces.framework.space import SearchSpace
from study.execution import runner
from study.execution.failures import MAX_SAME_FAILURES, RayLostError
from study.execution.reporter import CHECKPOINT_INTERVAL_S
from study.execution.resources import ResourceRequest
from study.execution.runner import run_plans
from study.layout import ARTIFACTS, CHECKPOINT
from study.ledger.states import TrialState
from tests.study.execution.stores import BASE, QUIET, Studies


def test_a_trial_that_fails_is_recorded_with_its_traceback_and_runs_again(
    studies: Studies, one_slot: None, tmp_path: Path
) -> None:
    """The images are removed under a worker; the other trial of the study is not affected."""
    for name, shade in (("dark", 20), ("light", 220)):
        for number in range(15):
            path = tmp_path / "shades" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (shade + number,) * 3).save(path)
    space = SearchSpace(
        name="vanishing",
        question="What if images vanish?",
        base=BASE,
        scientific={"dataset": (f"folder:{tmp_path / 'shades'}", "digits")},
        seeds=(3,),
    )
    plan = studies.plan(space)
    gone = plan.trials[0]
    shutil.move(gone.images, tmp_path / "away")
    result = run_plans([plan], studies.ledger, QUIET, ResourceRequest(), {})
    assert result.states == {gone.identity: TrialState.FAILED, plan.trials[1].identity: TrialState.FINISHED}
    assert f"InputError: {gone.images} does not exist, and" in result.messages[gone.identity]
    record = studies.ledger.trials()[gone.identity]
    assert "does not exist" in studies.ledger.artifacts.path(record.run_id, "traceback.txt").read_text()
    assert studies.client.get_run(record.run_id).info.status == "FAILED"
    plan, result = studies.run(space)
    assert result.states == {gone.identity: TrialState.FINISHED}, "built again, and only this one run again"
    assert studies.ledger.trials()[gone.identity].run_id == record.run_id


def test_a_trial_whose_worker_is_killed_resumes_in_the_same_run_with_the_same_numbers(
    studies: Studies, train: Callable[..., Any]
) -> None:
    long = BASE.with_values({"steps": 400, "num_evals": 20})
    space = SearchSpace(name="killed", question="?", base=long, scientific={"optimizer.lr": (0.021,)}, seeds=(0,))
    [trial] = studies.plan(space).trials
    work = studies.folders.store / "work" / trial.identity

    def wait_for(path: Path) -> None:
        while not path.exists():
            time.sleep(0.02)

    def kill() -> None:
        wait_for(work / ARTIFACTS / "built.json")
        workers = [each for each in psutil.Process().children(recursive=True) if is_worker(each)]
        for worker in workers:
            worker.suspend()
        time.sleep(CHECKPOINT_INTERVAL_S)  # so that the next validation saves, however quick the machine is
        for worker in workers:
            worker.resume()
        wait_for(work / CHECKPOINT)
        for worker in workers:
            worker.kill()

    def is_worker(process: psutil.Process) -> bool:
        return "".join(process.cmdline()[:1]).startswith("ray::ImplicitFunc")

    killer = threading.Thread(target=kill)
    killer.start()
    plan, result = studies.run(space)
    killer.join()
    assert set(result.states.values()) == {TrialState.FINISHED}
    [record] = [trial.record for trial in plan.trials]
    assert [run.data.tags["identity"] for run in studies.runs("trial")].count(trial.identity) == 1
    outside, listener = train(long.with_values({"optimizer.lr": 0.021}))
    assert record.metrics["test_accuracy"] == outside.metrics["test_accuracy"]
    assert studies.ledger.curve(record.run_id, "train_loss") == listener.curve("train_loss")


def test_a_study_whose_first_trials_fail_for_the_same_reason_stops(
    studies: Studies, one_slot: None, tmp_path: Path
) -> None:
    for name in ("dark", "light"):
        for number in range(15):
            path = tmp_path / "shades" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (number * 9 + len(name),) * 3).save(path)
    rates = tuple(round(0.01 * number, 2) for number in range(1, 11))
    base = BASE.with_values({"dataset": f"folder:{tmp_path / 'shades'}"})
    space = SearchSpace(name="alike", question="?", base=base, scientific={"optimizer.lr": rates}, seeds=(0,))
    plan = studies.plan(space)
    shutil.move(plan.trials[0].images, tmp_path / "away")
    result = run_plans([plan], studies.ledger, QUIET, ResourceRequest(), {})
    num_failed = list(result.states.values()).count(TrialState.FAILED)
    assert MAX_SAME_FAILURES <= num_failed <= MAX_SAME_FAILURES + 2, "two run at a time"
    assert "does not exist" in result.stop_reason
    assert not result.interrupted
    after = plan.with_records(studies.ledger.trials())
    assert [trial.missing for trial in after.trials].count("data") == num_failed
    assert [trial.missing for trial in after.trials].count("not run") >= 10 - num_failed - 2
    [launch] = [run for run in studies.runs("launch") if run.data.tags["study"] == "alike"]
    assert launch.info.status == "FAILED"


def test_an_axis_without_effect_stops_the_study_before_its_second_value_is_trained(
    studies: Studies, one_slot: None
) -> None:
    """These milestones are the same in 100 steps, which only building shows."""
    space = SearchSpace(
        name="idle",
        question="?",
        base=BASE.with_values({"schedule.name": "multistep", "optimizer.lr": 0.0123, "steps": 100}),
        scientific={"fall": {str(share): {"schedule.milestones": (share,)} for share in (0.5, 0.501, 0.502)}},
        seeds=(0, 1, 2, 3),
    )
    plan, result = studies.run(space)
    assert "differ in schedule.milestones (0.5" in result.stop_reason
    assert "it has no effect" in result.stop_reason
    assert len(result.states) <= 6, "of twelve: two that run, and those that were about to"
    assert TrialState.FINISHED not in {trial.state for trial in plan.trials[2:]}


class Rays:
    """A Ray that dies with `left` trials left, one number for each start; None where it does not die."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, left: tuple[int | None, ...]) -> None:
        self.left, self.error = iter(left), RayLostError()
        self.restarts, self.reasons = 0, []
        self.searcher = SimpleNamespace(requeue_all=lambda: None)
        self.stopper = SimpleNamespace(stopping=False, running={"a trial"})
        monkeypatch.setattr(runner, "ray_is_alive", lambda: False)
        monkeypatch.setattr(runner.ray, "shutdown", lambda: None)

    def run_tune(self, folder: Path) -> None:
        self.searcher.num_left = next(self.left)
        if self.searcher.num_left is not None:
            raise self.error

    def start(self) -> None:
        self.restarts += 1

    def run(self) -> None:
        callback = SimpleNamespace(stop=self.reasons.append)
        runner._run_with_restarts(self.run_tune, self.searcher, callback, self.stopper, Path(), self.start)


@pytest.mark.parametrize("error", [RayLostError(), RuntimeError("The actor died"), ConnectionError("GCS")])
@pytest.mark.parametrize(("left", "num_restarts"), [((5, 5, 5, 5), 2), ((5, 4, 4, 3, 3, None), 5), ((None,), 0)])
def test_ray_is_restarted_as_long_as_trials_end_in_between(
    monkeypatch: pytest.MonkeyPatch, left: tuple[int | None, ...], num_restarts: int, error: Exception
) -> None:
    """The death of one of its processes has several symptoms."""
    rays = Rays(monkeypatch, left)
    rays.error = error
    rays.run()
    assert rays.restarts == num_restarts
    assert bool(rays.reasons) == (None not in left)


def test_an_error_while_ray_is_alive_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    rays = Rays(monkeypatch, (5,))
    rays.error = ZeroDivisionError()
    monkeypatch.setattr(runner, "ray_is_alive", lambda: True)
    with pytest.raises(ZeroDivisionError):
        rays.run()


def test_a_failed_restart_of_ray_ends_the_study_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    rays = Rays(monkeypatch, (5,))

    def fail() -> None:
        raise InputError("Ray cannot be started: too busy")

    monkeypatch.setattr(rays, "start", fail)
    rays.run()
    assert rays.reasons == ["the study was stopped: Ray was lost, and: Ray cannot be started: too busy"]


def test_ray_is_not_restarted_where_the_stopping_signal_ended_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rays = Rays(monkeypatch, (5,))
    rays.stopper.stopping = True
    rays.run()
    assert (rays.restarts, rays.reasons) == (0, [])
