from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from revit.config import FineTuneConfig, ModelConfig, OptimizerConfig
from revit.datasets.batches import Batch
from revit.errors import InputError
from revit.models.build import build_model, check_model
from revit.training.fine_tune import train_step
from revit.training.optimizers import build_optimizer, check_optimizer

CPU = torch.device("cpu")
DEPTH = 4
"""Blocks of vit_nano."""
BASE = FineTuneConfig(dataset="digits", steps=1, resolution=8, model=ModelConfig(pretrained=False))
FUNCTIONS = """
import torch

def rmsprop(groups, config):
    return torch.optim.RMSprop(groups, config.lr, momentum=config.momentum)

def lbfgs(groups, config):
    return torch.optim.LBFGS([each for group in groups for each in group["params"]], config.lr)

def wrong(groups, config):
    return groups

class NoLayers(torch.nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.head = torch.nn.LazyLinear(num_classes)

    def get_classifier(self):
        return self.head

    def forward_features(self, images):
        return images.flatten(1)

    def forward_head(self, features):
        return self.head(features)

    def forward(self, images):
        return self.forward_head(self.forward_features(images))

def no_layers(num_classes, resolution):
    model = NoLayers(num_classes)
    model(torch.zeros(2, 3, resolution, resolution))
    return model

def modes(groups, config):
    optimizer = rmsprop(groups, config)
    optimizer.eval = lambda: None
    return optimizer
"""


def untrained() -> Any:
    return build_model(BASE.with_values({"model.head_init": "torch"}), 10, None)


def step(model: nn.Module, config: FineTuneConfig, lr: float) -> torch.optim.Optimizer:
    """Take one step of a trial on eight images of noise; return the optimizer."""
    optimizer = build_optimizer(model, config.optimizer)
    pixels = torch.randint(0, 256, (8, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    train_step(model, optimizer, Batch(pixels, torch.arange(8)), lr, config, CPU)
    return optimizer


def updates(lr: float, **values: Any) -> dict[str, Tensor]:
    """Return by how much a step changes each parameter."""
    model = untrained()
    before = {name: each.detach().clone() for name, each in model.named_parameters()}
    step(model, BASE.with_values({f"optimizer.{name}": value for name, value in values.items()}), lr)
    return {name: each.detach() - before[name] for name, each in model.named_parameters()}


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a module of the user."""
    (tmp_path / "their_optimizers.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "their_optimizers"


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


@pytest.mark.parametrize("name", ["sgd", "adamw", "muon"])
def test_frozen_parameters_have_no_state(name: str) -> None:
    model = untrained()
    model.pos_embed.requires_grad_(False)
    model.blocks[0].requires_grad_(False)
    optimizer = step(model, BASE.with_values({"optimizer.name": name, "optimizer.layer_decay": 0.7}), 0.1)
    assert {id(p) for p in optimizer.state} == {id(p) for p in model.parameters() if p.requires_grad}


@pytest.mark.parametrize("lr", [0.1, 0.03])
def test_layer_decay_multiplies_the_rate_of_the_schedule(lr: float) -> None:
    """A first step of SGD is the gradient times the rate, which in block i is lr * decay^(depth + 1 - i)."""
    plain = updates(lr, momentum=0.0, max_grad_norm=None)
    decayed = updates(lr, momentum=0.0, max_grad_norm=None, layer_decay=0.5)
    for name, update in plain.items():
        parts = name.split(".")
        layer = {"head": DEPTH + 1, "norm": DEPTH, "blocks": int(parts[1]) + 1 if parts[0] == "blocks" else 0}
        expected = update * 0.5 ** (DEPTH + 1 - layer.get(parts[0], 0))
        torch.testing.assert_close(decayed[name], expected, atol=1e-7, rtol=1e-3)
        assert update.any(), name


def test_muon_updates_the_matrices_of_the_blocks_alone() -> None:
    model = untrained()
    optimizer = step(model, BASE.with_values({"optimizer.name": "muon"}), 0.1)
    by_muon = {name for name, each in model.named_parameters() if optimizer.state[each]["use_muon"]}
    assert by_muon == {name for name, each in model.named_parameters() if name.startswith("blocks") and each.ndim == 2}


@pytest.mark.parametrize(("betas", "eps"), [((0.8, 0.95), 0.1), (None, None)])
def test_adam_has_the_betas_with_the_eps_of_the_config(betas: tuple[float, float] | None, eps: float | None) -> None:
    """The oracle: two steps of Adam, as Kingma & Ba 2015 write it."""
    weight = nn.Linear(1, 1, bias=False).double()
    start = weight.weight.item()
    optimizer = build_optimizer(weight, OptimizerConfig(name="adam", lr=0.01, betas=betas, eps=eps))
    for gradient in (3.0, -1.0):
        weight.weight.grad = torch.full((1, 1), gradient, dtype=torch.float64)
        optimizer.step()
    (one, two), eps = betas or (0.9, 0.999), eps or 1e-8
    first = 0.01 * 3 / (3 + eps)
    mean = (one * (1 - one) * 3 - (1 - one)) / (1 - one**2)
    square = (two * (1 - two) * 9 + (1 - two)) / (1 - two**2)
    assert weight.weight.item() == pytest.approx(start - first - 0.01 * mean / (square**0.5 + eps))


def test_a_function_of_the_user_makes_the_optimizer(functions: str, small: FineTuneConfig, train: Callable) -> None:
    path = f"{functions}:rmsprop"
    config = BASE.with_values({"optimizer.name": path, "optimizer.momentum": 0.3, "optimizer.layer_decay": 0.7})
    check_optimizer(config)
    optimizer = build_optimizer(untrained(), config.optimizer)
    assert type(optimizer) is torch.optim.RMSprop
    assert {group["momentum"] for group in optimizer.param_groups} == {0.3}
    assert {group["lr_scale"] for group in optimizer.param_groups} == {0.7**i for i in range(DEPTH + 2)}
    _, seen = train(small.with_values({"optimizer.name": path, "optimizer.lr": 1e-3, "steps": 4}))
    assert len(seen.curve("train_loss")) == 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "{}:wrong"}, "'{}:wrong': returned a list; must return a torch.optim.Optimizer"),
        ({"name": "{}:lbfgs"}, "'{}:lbfgs': LBFGS cannot step as trials do; must step without a closure, and without"),
        ({"name": "{}:modes"}, "'{}:modes': RMSprop cannot step as trials do; must step without a closure, and with"),
        ({"name": "{}:missing"}, "{}:missing cannot be imported: AttributeError"),
        ({"name": "muonn"}, "optimizer.name = 'muonn': no such optimizer; closest: muon"),
        ({"name": "adahessian"}, "optimizer.name = 'adahessian': needs second derivatives"),
        ({"name": "nesterov", "momentum": 0.0}, "'nesterov': cannot be built: Nesterov momentum requires a momentum"),
    ],
)  # fmt: skip
def test_an_optimizer_that_cannot_be_used_is_refused_in_one_line(
    functions: str, values: dict[str, Any], message: str
) -> None:
    given = {name: value.format(functions) if name == "name" else value for name, value in values.items()}
    with pytest.raises(InputError) as error:
        check_optimizer(BASE.with_values({f"optimizer.{name}": value for name, value in given.items()}))
    assert message.format(functions) in str(error.value)
    assert "\n" not in str(error.value)


def test_layer_decay_is_not_for_a_model_without_layers(functions: str) -> None:
    config = BASE.with_values({"model.name": f"{functions}:no_layers", "normalization": "inception"})
    check_model(config, None)
    check_optimizer(config.with_values({"optimizer.name": "muon"}))
    with pytest.raises(InputError) as error:
        check_optimizer(config.with_values({"optimizer.layer_decay": 0.7}))
    assert str(error.value) == "optimizer.layer_decay = 0.7: must be 1.0, as timm knows no layers of this model"


@pytest.mark.parametrize("model", ["vit_nano", "bit_nano"])
def test_layer_decay_is_for_all_of_our_models(model: str) -> None:
    check_optimizer(BASE.with_values({"model.name": model, "optimizer.layer_decay": 0.75}))
