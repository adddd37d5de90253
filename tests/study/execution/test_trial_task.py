"""Tasks, checked against the trial that they are made of."""

import copy
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from revit.config import FineTuneConfig, from_dict
from revit.functions import source_digest
from revit.identity import TRAINING_VERSION
from revit.source import SOURCE
from search_spaces.framework.space import SearchSpace
from study.execution.resources import ResourceGrant
from study.execution.shared_inputs import images_of, weights_of
from study.execution.trainable import train_trial
from study.execution.trial_task import make_task
from study.plan import Folders
from study.planning import make_plan
from study.system.storage import Storage
from tests.study.example_plan import SPACE, make_example

GRANT = ResourceGrant(num_cpus=1, num_gpus=0, max_cpus=1, max_concurrent_trials=1)
STORAGE = Storage("/storage")


def test_a_task_names_what_its_trial_reads_and_only_one_seed_keeps_its_model(tmp_path: Path, cache_dir: Path) -> None:
    space = SearchSpace(
        name="example",
        question="?",
        base=FineTuneConfig(dataset="digits", resolution=8, steps=100),
        scientific={"optimizer.lr": (0.1, 0.2)},
        seeds=(3, 4),
    )
    plan = make_plan(space, space.seeds, Folders(store=tmp_path, data=tmp_path, cache=cache_dir), {})
    tasks = [make_task(trial, GRANT, storage=STORAGE, stop_file="stop", is_prunable=False) for trial in plan.trials]
    assert [task.keep_model for task in tasks] == [True, True, False, False]
    for task, trial in zip(tasks, plan.trials, strict=True):
        assert from_dict(task.config) == trial.candidate.config
        assert (task.identity, task.images, task.weights) == (trial.identity, images_of(trial), weights_of(trial))
        assert task.work == f"work/{trial.identity}"
        assert (task.source, task.training_version, task.grant) == (SOURCE, TRAINING_VERSION, GRANT)


def test_a_copy_of_a_task_takes_no_memory(tmp_path: Path, cache_dir: Path) -> None:
    """Tune copies what it is given: twice, and for as long as a launch lasts."""
    trial = make_example(tmp_path, cache_dir).trials[0]
    task = make_task(trial, GRANT, storage=STORAGE, stop_file="stop", is_prunable=False)
    assert copy.deepcopy({"task": task})["task"] is task


def test_a_trial_that_is_not_tested_keeps_no_model(tmp_path: Path, cache_dir: Path) -> None:
    space = replace(SPACE, scientific={"optimizer.name": ("sgd",)}, nuisance={"optimizer.lr": (0.1, 0.2)}, seeds=(0,))
    plan = make_example(tmp_path, cache_dir, space)
    [tested] = plan.trials
    [searched] = plan.planner.ask(plan.searches[0], {}).trials
    assert (tested.keep_model, searched.keep_model) == (True, False)


def test_a_task_has_the_digests_of_the_plan_and_the_folders_of_its_functions(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "task_loss.py").write_text("def focal(): ...")
    base = FineTuneConfig(dataset="digits", resolution=8, steps=1, loss="task_loss:focal")
    space = SearchSpace(name="example", question="?", base=base, scientific={"optimizer.lr": (0.1,)}, seeds=(0,))
    [trial] = make_plan(space, (0,), Folders(store=tmp_path, data=tmp_path, cache=cache_dir), {}).trials
    digest = source_digest("task_loss:focal")
    assert trial.input_digests["loss task_loss:focal"] == digest
    (tmp_path / "task_loss.py").write_text("def focal(): changed")
    task = make_task(trial, GRANT, storage=STORAGE, stop_file="stop", is_prunable=False)
    assert (task.functions, task.import_folders) == ({"task_loss:focal": digest}, (str(tmp_path),))


def test_a_config_is_validated_once_where_it_is_written_and_once_by_the_worker(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = SearchSpace(
        name="example",
        question="?",
        base=FineTuneConfig(dataset="digits", resolution=8, crop_scale=(0.6, 1.0), batch_size=16, steps=2, num_evals=1),
        scientific={"optimizer.lr": (0.1,)},
        seeds=(0,),
    )
    validated: list[FineTuneConfig] = []
    validate = FineTuneConfig.__post_init__
    monkeypatch.setattr(FineTuneConfig, "__post_init__", lambda config: (validated.append(config), validate(config)))
    plan = make_plan(space, space.seeds, Folders(store=tmp_path, data=tmp_path, cache=cache_dir), {})
    assert len(validated) == 1
    task = make_task(plan.trials[0], GRANT, storage=Storage(str(tmp_path)), stop_file="stop", is_prunable=False)
    assert len(validated) == 1, "a trial's config is valid already"
    monkeypatch.setattr("study.execution.trainable._train", lambda *_: None)
    train_trial({"task": pickle.loads(pickle.dumps(task))})
    config = plan.trials[0].candidate.config
    assert validated.count(config) == 2, "the worker validates what it receives"
