"""Predicted disk space equals the size of real files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

from revit.config import FineTuneConfig, OptimizerConfig
from revit.training.optimizers import build_optimizer
from revit.training.timm_optimizers import usable_names
from search_spaces.framework.kept_seeds import KeepModels
from study.execution.trainable import write_model
from study.forecast.devices import DEVICES
from study.forecast.disk_space import (
    MAX_CHECKPOINTS,
    MAX_MOMENTS,
    checkpoint_bytes,
    further_models,
    kept_trials,
    model_bytes,
    peak_disk_bytes,
)
from study.forecast.study_forecast import Forecaster, Planned
from study.plan import Folders
from tests.study.made_plans import plan_of, record_of

VIT_B = FineTuneConfig(dataset="cifar10", resolution=224, steps=1).with_values({"model.name": "vit_b16_in21k"})


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "adan"])
@pytest.mark.parametrize("selection", ["last", "best_val"])
@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_files_have_the_predicted_size(
    optimizer: str,
    selection: str,
    ema_decay: float,
    small: FineTuneConfig,
    tmp_path: Path,
    train: Callable[..., Any],
    make_listener: Callable[..., Any],
) -> None:
    short = {"steps": 2, "num_evals": 1, "test": False}
    changes = {"optimizer.name": optimizer, "optimizer.lr": 1e-3, "selection": selection, "ema_decay": ema_decay}
    config = small.with_values({**short, **changes})
    result, _ = train(config, make_listener(save_at=2, path=tmp_path / "checkpoint.pt"))
    write_model(tmp_path / "model.safetensors", result.model)
    assert (tmp_path / "checkpoint.pt").stat().st_size == pytest.approx(checkpoint_bytes(config), rel=0.1)
    assert (tmp_path / "model.safetensors").stat().st_size == pytest.approx(model_bytes(config), rel=0.1)


@pytest.mark.parametrize("name", usable_names())
def test_no_optimizer_stores_more_than_is_predicted(name: str) -> None:
    layer: Any = nn.Linear(64, 64, bias=False)
    layer.get_classifier = lambda: ()
    optimizer = build_optimizer(layer, OptimizerConfig(name=name))
    for _ in range(2):
        layer.weight.grad = torch.randn(64, 64)
        optimizer.step()
    stored = sum(each.numel() for each in optimizer.state[layer.weight].values() if torch.is_tensor(each))
    assert stored <= MAX_MOMENTS * 64 * 64 + 1


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "resnet18"])
def test_a_model_of_timm_has_the_size_of_its_file(name: str) -> None:
    config = VIT_B.with_values({"model.name": name, "model.pretrained": False})
    state = timm.create_model(name, num_classes=10).state_dict()
    assert model_bytes(config) == pytest.approx(sum(each.nbytes for each in state.values()), rel=0.01)


CHOICES: dict[KeepModels, tuple[int, int]] = {"none": (0, 0), "first_seed": (2, 1), "best": (2, 0), "all": (4, 2)}
"""Models of two cells with two seeds: those in the end; those that are added once the first seed of the first cell, and
the second of the second cell, have finished."""


@pytest.mark.parametrize("choice", CHOICES)
def test_models_that_are_kept_are_counted_before_and_while_a_study_runs(folders: Folders, choice: KeepModels) -> None:
    base = FineTuneConfig(dataset="digits", resolution=8, steps=5, val_fraction=0.1)
    plan = plan_of(folders, base=base, keep_models=choice)
    whole, further = CHOICES[choice]
    assert len(kept_trials(plan.trials, choice)) == len(further_models(plan.to_run, choice, plan)) == whole
    first = [plan.trials[0], plan.trials[3]]
    assert [trial.candidate.config.seed for trial in first] == [0, 1]
    planned = plan_of(folders, {each.identity: record_of(each) for each in first}, base=base, keep_models=choice)
    assert len(further_models(planned.to_run, choice, planned)) == further
    [study] = Forecaster(DEVICES["cpu"], 1).forecast([Planned(planned.space, planned)]).studies
    one = model_bytes(plan.trials[0].candidate.config)
    assert (study.keep_models, study.kept_models, study.kept_bytes) == (choice, whole, whole * one)
    stated = Forecaster(DEVICES["cpu"], 1).forecast([Planned(plan.space, None, ["digits"])]).studies[0]
    assert (stated.kept_models, stated.kept_bytes) == (whole, whole * one), "also where images are missing"


def test_the_peak_of_a_launch_has_the_models_once_and_what_each_running_trial_writes(folders: Folders) -> None:
    plan = plan_of(folders, keep_models="all")
    config = plan.trials[0].candidate.config
    kept = 4 * model_bytes(config)
    running = MAX_CHECKPOINTS * checkpoint_bytes(config) + model_bytes(config)
    assert peak_disk_bytes(plan.trials, [*plan.trials, *plan.trials], 2) == kept + 2 * running
    assert peak_disk_bytes([], [], 0) == 0
