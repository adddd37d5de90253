"""Real Ray, real MLflow, real images: what a launch leaves is read back through MLflow's own client."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import torch

from revit.config import from_dict
from revit.errors import InputError
from revit.training.metrics import PREFIXES, values_by_name
from revit.training.prediction_file import read_predictions
from search_spaces.framework.space import SearchSpace
from study.analysis.results import cell_table, trial_table
from study.execution.recorder import RunResult
from study.execution.resources import ResourceRequest
from study.execution.runner import run_plans
from study.ledger.ledger import Ledger
from study.ledger.states import TrialState
from study.plan import TRIAL_METRICS, Plan
from tests.study.execution.stores import BASE, QUIET, SPACE, Studies


@pytest.fixture(scope="module")
def example(studies: Studies) -> tuple[Plan, RunResult]:
    """SPACE, run to its end."""
    return studies.run(SPACE)


def test_every_trial_is_a_finished_run_nested_in_the_launch(studies: Studies, example: tuple[Plan, RunResult]) -> None:
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


def test_every_trial_has_its_params_metrics_and_artifacts(studies: Studies, example: tuple[Plan, RunResult]) -> None:
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
        assert predictions["split"].value_counts().to_dict() == {"test": 359, "val": 144}
        tested = predictions[predictions["split"] == "test"]
        assert (tested["label"] == tested["prediction"]).mean() == pytest.approx(test.value)
        names = {item.path for item in studies.client.list_artifacts(run_id)}
        kept = {"model.safetensors", "internals.npz"}
        assert names & kept == (kept if config.seed == 0 else set()), "weights of the first seed only"


def test_every_metric_is_logged_once_and_follows_from_the_predictions(
    studies: Studies, example: tuple[Plan, RunResult]
) -> None:
    for trial in example[0].trials:
        assert trial.record is not None
        logged = studies.client.get_run(trial.record.run_id).data.metrics
        path = studies.ledger.artifacts.path(trial.record.run_id, "predictions.parquet")
        values = values_by_name({split: read_predictions(path, split) for split in PREFIXES})
        assert {name: logged[name] for name in values} == values
        built = json.loads(studies.ledger.artifacts.path(trial.record.run_id, "built.json").read_text())
        assert logged["num_trained"] == built["model"]["num_trainable"]
        costs = ("train_time_s", "train_images_per_s", "eval_images_per_s", "peak_memory_bytes")
        assert min(logged[name] for name in costs) > 0
        for name in TRIAL_METRICS:
            assert [m.step for m in studies.client.get_metric_history(trial.record.run_id, name)] == [12], name
    assert not trial_table(example[0])[list(TRIAL_METRICS)].isna().any(axis=None)


def test_a_second_plan_has_nothing_to_run(studies: Studies, example: tuple[Plan, RunResult]) -> None:
    again = studies.plan(SPACE)
    assert again.to_run == []
    assert {trial.state for trial in again.trials} == {TrialState.FINISHED}


def test_nothing_is_left_behind_in_the_store(studies: Studies, example: tuple[Plan, RunResult]) -> None:
    for folder in ("work", "tune", "locks"):
        assert list((studies.folders.store / folder).iterdir()) == []


def test_a_grown_grid_trains_only_new_trials_and_shares_the_rest(
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


def test_results_equal_those_of_the_same_trial_outside_ray(
    studies: Studies, example: tuple[Plan, RunResult], train: object
) -> None:
    plan, _ = example
    table = trial_table(plan)
    outside, _ = train(plan.trials[0].candidate.config)
    assert table["test_accuracy"][0] == outside.metrics["test_accuracy"]
    assert table["test_loss"][0] == pytest.approx(outside.metrics["test_loss"], rel=1e-6)


def test_divergence_is_a_result_and_is_not_retried(studies: Studies, one_slot: None) -> None:
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


LAUNCH = """
import sys
from pathlib import Path
from rich.console import Console
from revit.config import FineTuneConfig
from search_spaces.framework.space import SearchSpace
from study.ledger.ledger import Ledger
from study.execution.resources import ResourceRequest
from study.plan import Folders
from study.planning import make_plan
from study.execution.runner import run_plans

root = Path(sys.argv[1])
base = FineTuneConfig(dataset="digits", resolution=8, crop_scale=(0.6, 1.0), hflip=False, batch_size=16, steps=40)
space = SearchSpace(name="shared", question="?", base=base, scientific={"optimizer.lr": (0.1, 0.05, 0.02)})
ledger = Ledger(root / "mlruns")
plan = make_plan(space, space.seeds, Folders(store=root / "mlruns", data=root, cache=root / "cache"), ledger.trials())
result = run_plans([plan], ledger, Console(), ResourceRequest(), {})
print("STATES", *result.states.values())
assert not plan.with_records(ledger.trials()).to_run, "it waits for trials of the other launch"
"""


@pytest.mark.long  # short: test_two_machines_share_the_trials_of_a_study
@pytest.mark.slow
def test_two_launches_at_once_on_a_fresh_store_share_the_work(tmp_path: Path) -> None:
    """Both create the store's tables; no trial is trained twice, and both end with all trials finished."""
    command = [sys.executable, "-c", LAUNCH, str(tmp_path)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as one,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as other,
    ):
        outputs = [process.communicate(timeout=280) for process in (one, other)]
    assert (one.returncode, other.returncode) == (0, 0), outputs
    states = [re.findall(r"finished", re.search(r"STATES(.*)", stdout)[1]) for stdout, _ in outputs]
    assert sum(map(len, states)) == 9, "each trial by one of them"
    runs = Ledger(tmp_path / "mlruns").run_infos()
    assert {run.status for run in runs} == {"FINISHED"}
    assert len(runs) == 9 + 2
    assert {run.metrics["num_steps_done"] for run in runs if run.identity} == {40}


def test_more_cpus_than_ray_finds_are_refused(studies: Studies) -> None:
    with pytest.raises(InputError, match="--cpus-per-trial = 1000 and --gpus-per-trial = 0 fit no machine"):
        run_plans([studies.plan(SPACE)], studies.ledger, QUIET, ResourceRequest(cpus_per_trial=1000), {})


def test_every_run_is_closed(studies: Studies, example: tuple[Plan, RunResult]) -> None:
    assert "RUNNING" not in {run.info.status for run in studies.runs("trial") + studies.runs("launch")}
    assert mlflow.active_run() is None
