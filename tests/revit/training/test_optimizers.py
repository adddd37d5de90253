from typing import Any

import pytest

from revit.config import FineTuneConfig, ModelConfig, OptimizerConfig
from revit.models.build import build_model
from revit.training.optimizers import OPTIMIZERS, build_optimizer


def untrained() -> Any:
    config = FineTuneConfig(dataset="digits", steps=1, resolution=8, model=ModelConfig(pretrained=False))
    return build_model(config, 10, None)


def test_table_and_config_have_the_same_optimizers() -> None:
    assert OPTIMIZERS.keys() == {"sgd", "adam", "adamw"}


@pytest.mark.parametrize(("name", "kind"), [("sgd", "SGD"), ("adam", "Adam"), ("adamw", "AdamW")])
def test_optimizers_are_pytorchs_with_the_values_of_the_config(name: str, kind: str) -> None:
    config = OptimizerConfig(name=name, lr=0.07, momentum=0.8, weight_decay=0.3)
    optimizer = build_optimizer(untrained(), config)
    assert type(optimizer).__name__ == kind
    assert {group["lr"] for group in optimizer.param_groups} == {0.07}
    if name == "sgd":
        assert {group["momentum"] for group in optimizer.param_groups} == {0.8}


def test_weight_decay_applies_to_matrices_only() -> None:
    model = untrained()
    optimizer = build_optimizer(model, OptimizerConfig(weight_decay=0.3))
    decay_of = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        exempt = parameter.ndim < 2 or name in ("pos_embed", "cls_token")
        assert decay_of[id(parameter)] == (0 if exempt else 0.3), name


def test_frozen_parameters_are_not_optimized() -> None:
    model = untrained()
    model.pos_embed.requires_grad_(False)
    optimizer = build_optimizer(model, OptimizerConfig())
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert id(model.pos_embed) not in held
    assert len(held) == len(list(model.parameters())) - 1
