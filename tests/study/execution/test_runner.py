"""Real Ray, real MLflow, real images: what a launch leaves is read back through MLflow's own client."""

import json
import math
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pandas as pd
import psutil
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from PIL import Image
from rich.console import Console

from revit.config import FineTuneConfig, from_dict
from revit.errors import InputError
from search_spaces.framework.space import SearchSpace
from study.analysis.results import cell_table, trial_table
from study.execution import runner
from study.execution.failures import MOST_ALIKE, RayLostError
from study.execution.resources import ResourceRequest
from study.execution.run_result import RunResult
from study.execution.runner import check_runnable, run_plan
from study.execution.trainable import CHECKPOINT_INTERVAL_S
from study.layout import ARTIFACTS, CHECKPOINT
from study.ledger.ledger import Ledger
from study.ledger.schema import EXPERIMENT
from study.ledger.states import TrialState
from study.plan import Folders, Plan, make_plan

QUIET = Console(quiet=True)
BASE = FineTuneConfig(
    dataset="digits", resolution=8, crop_scale=(0.6, 1.0), hflip=False, batch_size=16, steps=12, num_evals=3
)
SPACE = SearchSpace(
    name="example",
    question="Does it run?",
    base=BASE,
    scientific={"optimizer.name": ("sgd", "adam"), "schedule.name": ("cosine", "constant")},
    seeds=(0, 1),
)


class Studies:
    """Runs spaces against one store."""

    def __init__(self, root: Path) -> None:
        self.folders = Folders(store=root / "mlruns", data=root / "data", cache=root / "cache")
        self.ledger = Ledger(self.folders.store)
        self.client = MlflowClient(self.ledger.uri)

    def plan(self, space: SearchSpace) -> Plan:
        return make_plan(space, space.seeds, self.folders, self.ledger.trials())

    def run(self, space: SearchSpace) -> tuple[Plan, RunResult]:
        plan = self.plan(space)
        result = run_plan(plan, self.ledger, QUIET, ResourceRequest(), {"command": "test"})
        return plan.with_records(self.ledger.trials()), result

    def runs(self, kind: str) -> list[Run]:
        experiment = self.client.get_experiment_by_name(EXPERIMENT)
        return list(self.client.search_runs([experiment.experiment_id], f"tags.kind = '{kind}'"))


@pytest.fixture(scope="module")
def studies(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Studies:
    return Studies(tmp_path_factory.mktemp("studies"))


@pytest.fixture(scope="module")
def example(studies: Studies) -> tuple[Plan, RunResult]:
    """SPACE, run to its end."""
    return studies.run(SPACE)


def test_as_many_finished_runs_as_trials_all_children_of_the_launch(
    studies: Studies, example: tuple[Plan, RunResult]
) -> None:
    plan, result = example
    assert set(result.states.values()) == {TrialState.FINISHED}
    assert not result.interrupted
    ours = {trial.record.run_id: trial for trial in plan.trials if trial.record is not None}
    assert len(ours) == len(plan.trials) == 8
    [launch] = [run for run in studies.runs("launch") if run.data.tags["study"] == "example"]
    assert launch.info.status == "FINISHED"
    assert launch.data.metrics["num_finished"] == 8
    for run_id, trial in ours.items():
        run = studies.client.get_run(run_id)
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == launch.info.run_id
        assert run.data.tags["study.example"] == "yes"
        assert run.data.tags["seed"] == str(trial.candidate.config.seed)
        assert (run.data.tags["device"], run.data.tags["precision"]) == ("cpu", "fp32")
        assert (run.data.tags["torch"], run.data.tags["threads"]) == (torch.__version__, "1")


def test_params_metrics_and_artifacts_of_every_trial_are_there(
    studies: Studies, example: tuple[Plan, RunResult]
) -> None:
    plan, _ = example
    for trial in plan.trials:
        assert trial.record is not None
        run_id, config = trial.record.run_id, trial.candidate.config
        params = studies.client.get_run(run_id).data.params
        assert params == {name: str(value) for name, value in config.flat().items()}
        for metric in ("train_loss", "lr", "grad_norm", "images_per_s"):
            steps = [point.step for point in studies.client.get_metric_history(run_id, metric)]
            assert steps == list(range(1, 13)), metric
        assert [m.step for m in studies.client.get_metric_history(run_id, "val_accuracy")] == [4, 8, 12]
        [test] = studies.client.get_metric_history(run_id, "test_accuracy")
        assert test.step == 12
        recorded = json.loads(studies.ledger.artifacts.path(run_id, "config.json").read_text())
        assert from_dict(recorded) == config
        built = json.loads(studies.ledger.artifacts.path(run_id, "built.json").read_text())
        assert built["optimizer"]["class"].lower() == config.optimizer.name
        predictions = pd.read_parquet(studies.ledger.artifacts.path(run_id, "predictions.parquet"))
        assert len(predictions) == 359
        assert (predictions["label"] == predictions["prediction"]).mean() == pytest.approx(test.value)
        names = {item.path for item in studies.client.list_artifacts(run_id)}
        assert ("model.safetensors" in names) == (config.seed == 0), "weights of the first seed only"


def test_the_same_command_again_finds_everything_done(studies: Studies, example: tuple[Plan, RunResult]) -> None:
    again = studies.plan(SPACE)
    assert again.to_run == []
    assert {trial.state for trial in again.trials} == {TrialState.FINISHED}


def test_nothing_is_left_behind_in_the_store(studies: Studies, example: tuple[Plan, RunResult]) -> None:
    for folder in ("work", "tune", "locks"):
        assert list((studies.folders.store / folder).iterdir()) == []


def test_a_grown_grid_trains_only_what_is_new_and_shares_the_rest(
    studies: Studies, example: tuple[Plan, RunResult]
) -> None:
    grown = SearchSpace(
        name="grown",
        question="And linear?",
        base=BASE,
        scientific={"optimizer.name": ("sgd",), "schedule.name": ("cosine", "linear")},
        seeds=(0,),
    )
    plan = studies.plan(grown)
    assert [trial.state for trial in plan.trials] == [TrialState.FINISHED, TrialState.NEW]
    before = len(studies.runs("trial"))
    plan, result = studies.run(grown)
    assert len(result.states) == 1
    assert len(studies.runs("trial")) == before + 1
    assert cell_table(plan)["n"].tolist() == [1, 1]


def test_results_are_those_of_the_same_trial_outside_ray(
    studies: Studies, example: tuple[Plan, RunResult], train: object
) -> None:
    plan, _ = example
    table = trial_table(plan)
    outside, _ = train(plan.trials[0].candidate.config)
    assert table["test_accuracy"][0] == outside.metrics["test_accuracy"]
    assert table["test_loss"][0] == pytest.approx(outside.metrics["test_loss"], rel=1e-6)


def test_divergence_is_a_result_of_one_trial_and_is_not_tried_again(studies: Studies) -> None:
    space = SearchSpace(
        name="diverging",
        question="Is 9e18 too much?",
        base=BASE.with_values({"optimizer.max_grad_norm": None, "schedule.name": "constant", "steps": 60}),
        scientific={"optimizer.lr": (9e18, 0.01)},
        seeds=(0,),
    )
    plan, result = studies.run(space)
    assert sorted(result.states.values()) == [TrialState.DIVERGED, TrialState.FINISHED]
    diverged, finished = plan.trials
    assert (diverged.state, finished.state) == (TrialState.DIVERGED, TrialState.FINISHED)
    assert "the loss became" in result.messages[diverged.identity]
    assert studies.plan(space).to_run == []
    cells = cell_table(plan)
    assert math.isnan(cells["mean"][0])
    assert (cells["diverged"].tolist(), cells["missing"].tolist()) == ([1, 0], ["", ""])
    run = studies.client.get_run(diverged.record.run_id)
    assert (run.info.status, run.data.tags["state"]) == ("FAILED", TrialState.DIVERGED)


def test_a_trial_that_fails_is_recorded_with_its_traceback_and_runs_again(studies: Studies, tmp_path: Path) -> None:
    """The images vanish under a worker; the other trial of the study is not harmed."""
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
    result = run_plan(plan, studies.ledger, QUIET, ResourceRequest(), {})
    assert result.states == {gone.identity: TrialState.FAILED, plan.trials[1].identity: TrialState.FINISHED}
    assert "FileNotFoundError" in result.messages[gone.identity]
    record = studies.ledger.trials()[gone.identity]
    assert "manifest.json" in studies.ledger.artifacts.path(record.run_id, "traceback.txt").read_text()
    assert studies.client.get_run(record.run_id).info.status == "FAILED"
    plan, result = studies.run(space)
    assert result.states == {gone.identity: TrialState.FINISHED}, "built again, and only this one run again"
    assert studies.ledger.trials()[gone.identity].run_id == record.run_id


def test_a_trial_whose_worker_is_killed_goes_on_in_the_same_run_to_the_same_numbers(
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


def test_a_study_whose_first_trials_all_fail_alike_stops(studies: Studies, tmp_path: Path) -> None:
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
    result = run_plan(plan, studies.ledger, QUIET, ResourceRequest(), {})
    num_failed = list(result.states.values()).count(TrialState.FAILED)
    assert MOST_ALIKE <= num_failed <= MOST_ALIKE + 2, "two run at a time"
    assert "manifest.json" in result.stopped
    assert not result.interrupted
    after = plan.with_records(studies.ledger.trials())
    assert [trial.missing for trial in after.trials].count("data") == num_failed
    assert [trial.missing for trial in after.trials].count("not run") >= 10 - num_failed - 2
    [launch] = [run for run in studies.runs("launch") if run.data.tags["study"] == "alike"]
    assert launch.info.status == "FAILED"


def test_a_factor_without_effect_stops_the_study_before_its_second_value_is_trained(studies: Studies) -> None:
    """Of 100 steps, these milestones are the same: what only building shows."""
    space = SearchSpace(
        name="idle",
        question="?",
        base=BASE.with_values({"schedule.name": "multistep", "optimizer.lr": 0.0123, "steps": 100}),
        scientific={"fall": {str(share): {"schedule.milestones": (share,)} for share in (0.5, 0.501, 0.502)}},
        seeds=(0, 1, 2, 3),
    )
    plan, result = studies.run(space)
    assert "differ in schedule.milestones (0.5" in result.stopped
    assert "it has no effect" in result.stopped
    assert len(result.states) <= 4, "of twelve"
    assert TrialState.FINISHED not in {trial.state for trial in plan.trials[2:]}


LAUNCH = """
import sys
from pathlib import Path
from rich.console import Console
from revit.config import FineTuneConfig
from search_spaces.framework.space import SearchSpace
from study.ledger.ledger import Ledger
from study.execution.resources import ResourceRequest
from study.plan import Folders, make_plan
from study.execution.runner import run_plan

root = Path(sys.argv[1])
base = FineTuneConfig(dataset="digits", resolution=8, crop_scale=(0.6, 1.0), hflip=False, batch_size=16, steps=40)
space = SearchSpace(name="shared", question="?", base=base, scientific={"optimizer.lr": (0.1, 0.05, 0.02)})
ledger = Ledger(root / "mlruns")
plan = make_plan(space, space.seeds, Folders(store=root / "mlruns", data=root, cache=root / "cache"), ledger.trials())
result = run_plan(plan, ledger, Console(), ResourceRequest(), {})
print("STATES", *result.states.values())
assert not plan.with_records(ledger.trials()).to_run, "it waits for what the other trains"
"""


@pytest.mark.slow
def test_two_launches_at_once_on_a_fresh_store_share_the_work(tmp_path: Path) -> None:
    """Even the store's tables are made by both; no trial is trained twice, and both end with all of them done."""
    command = [sys.executable, "-c", LAUNCH, str(tmp_path)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as one,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as other,
    ):
        told = [process.communicate(timeout=280) for process in (one, other)]
    assert (one.returncode, other.returncode) == (0, 0), told
    states = [re.findall(r"finished", re.search(r"STATES(.*)", stdout)[1]) for stdout, _ in told]
    assert sum(map(len, states)) == 9, "each trial by one of them"
    runs = Ledger(tmp_path / "mlruns").run_infos()
    assert {run.status for run in runs} == {"FINISHED"}
    assert len(runs) == 9 + 2
    assert {run.metrics["num_steps_done"] for run in runs if run.identity} == {40}


class Rays:
    """A Ray that dies with so many trials left each time, None where it lives to the end; it is started again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, left: tuple[int | None, ...]) -> None:
        self.left, self.error = iter(left), RayLostError()
        self.restarts, self.told = 0, []
        self.queue = SimpleNamespace(requeue_all=lambda: None)
        self.stopper = SimpleNamespace(stopping=False, running={"a trial"})
        monkeypatch.setattr(runner, "_run_tune", self.run_tune)
        monkeypatch.setattr(runner, "start_ray", self.start)
        monkeypatch.setattr(runner, "ray_is_alive", lambda: False)
        monkeypatch.setattr(runner.ray, "shutdown", lambda: None)

    def run_tune(self, *_: object) -> None:
        self.queue.num_left = next(self.left)
        if self.queue.num_left is not None:
            raise self.error

    def start(self, address: str | None) -> None:
        self.restarts += 1

    def run(self) -> None:
        runner._run_to_the_end(self.queue, SimpleNamespace(stop=self.told.append), self.stopper, Path(), None)


@pytest.mark.parametrize("error", [RayLostError(), RuntimeError("The actor died"), ConnectionError("GCS")])
@pytest.mark.parametrize(("left", "num_restarts"), [((5, 5, 5, 5), 2), ((5, 4, 4, 3, 3, None), 5), ((None,), 0)])
def test_ray_is_started_again_as_long_as_trials_end_in_between(
    monkeypatch: pytest.MonkeyPatch, left: tuple[int | None, ...], num_restarts: int, error: Exception
) -> None:
    """However the death of one of its processes shows."""
    rays = Rays(monkeypatch, left)
    rays.error = error
    rays.run()
    assert rays.restarts == num_restarts
    assert bool(rays.told) == (None not in left)


def test_what_fails_while_ray_lives_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    rays = Rays(monkeypatch, (5,))
    rays.error = ZeroDivisionError()
    monkeypatch.setattr(runner, "ray_is_alive", lambda: True)
    with pytest.raises(ZeroDivisionError):
        rays.run()


def test_a_ray_that_does_not_start_again_ends_the_study_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    rays = Rays(monkeypatch, (5,))

    def fail(address: str | None) -> None:
        raise InputError("Ray cannot be started: too busy")

    monkeypatch.setattr(runner, "start_ray", fail)
    rays.run()
    assert rays.told == ["the study was stopped: Ray died, and: Ray cannot be started: too busy"]


def test_a_ray_that_the_stopping_signal_reached_is_not_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    rays = Rays(monkeypatch, (5,))
    rays.stopper.stopping = True
    rays.run()
    assert (rays.restarts, rays.told) == (0, [])


def test_more_cpus_than_ray_finds_is_refused_and_not_waited_for(studies: Studies) -> None:
    with pytest.raises(InputError, match="a trial requests 1000 CPUs and 0 GPUs; Ray finds"):
        run_plan(studies.plan(SPACE), studies.ledger, QUIET, ResourceRequest(cpus_per_trial=1000), {})


def test_every_run_is_closed(studies: Studies, example: tuple[Plan, RunResult]) -> None:
    assert "RUNNING" not in {run.info.status for run in studies.runs("trial") + studies.runs("launch")}
    assert mlflow.active_run() is None


def test_what_can_be_known_before_ray_starts_is(studies: Studies, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    plan = studies.plan(SPACE)
    with pytest.raises(InputError, match="--gpus-per-trial = 2: a trial trains on one GPU"):
        check_runnable(list(plan.trials), ResourceRequest(gpus_per_trial=2, address="a-cluster:6379"))
    with pytest.raises(InputError, match="--gpus-per-trial = 1: this machine has"):
        check_runnable(list(plan.trials), ResourceRequest(gpus_per_trial=1))
    with pytest.raises(InputError, match="--cpus-per-trial = 9999: this machine has"):
        check_runnable(list(plan.trials), ResourceRequest(cpus_per_trial=9999))
    unknown = SearchSpace(
        name="unknown",
        question="?",
        base=BASE.with_values({"model.pretrained": False}),
        scientific={"model.name": ("vit_nanoo",)},
        seeds=(0,),
    )
    with pytest.raises(InputError, match=r"model\.name = 'vit_nanoo'"):
        check_runnable(list(studies.plan(unknown).trials), ResourceRequest())


def test_a_config_travels_to_a_worker_and_back() -> None:
    for candidate in SPACE.candidates(SPACE.seeds):
        assert from_dict(asdict(candidate.config)) == candidate.config


@pytest.mark.parametrize(
    ("options", "told"), [("size=1m", "has 1.0 MB and"), ("size=64m,nr_inodes=9", " 8 inodes left")]
)
def test_a_temporary_folder_in_which_ray_cannot_start_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str, told: str
) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(tmp_path)], check=False)
    if mounted.returncode != 0:
        pytest.skip("no disk can be mounted here")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "ray"))
    try:
        with pytest.raises(
            InputError, match=r"Ray's temporary folder .* needs 50\.0 MB and 1000: free some"
        ) as refused:
            check_runnable([], ResourceRequest())
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)
    assert told in str(refused.value)
