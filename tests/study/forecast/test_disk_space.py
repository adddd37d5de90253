"""Predicted disk space equals the size of real files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from revit.config import FineTuneConfig, OptimizerConfig
from revit.training.optimizers import build_optimizer
from revit.training.timm_optimizers import usable_names
from study.execution.trainable import write_model
from study.forecast.disk_space import MAX_MOMENTS, checkpoint_bytes, model_bytes

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
    changes = {"optimizer.name": optimizer, "optimizer.lr": 1e-3, "selection": selection, "steps": 2, "num_evals": 1}
    config = small.with_values({**changes, "ema_decay": ema_decay})
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
