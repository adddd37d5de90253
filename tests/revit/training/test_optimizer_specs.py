"""Hyperparameters that optimizers take, against those that the built ones have."""

import inspect
import subprocess
import sys
from typing import Any

import pytest
from torch import nn

from revit.config import FineTuneConfig, OptimizerConfig
from revit.errors import InputError
from revit.functions import load_function
from revit.training.optimizer_specs import HYPERPARAMETERS, OPTIMIZERS, SAME, spec_of, takes
from revit.training.optimizers import build_optimizer
from revit.training.timm_optimizers import usable_names
from tests.identities import identity_of

NAMES = [*OPTIMIZERS, *usable_names()]
BASE = FineTuneConfig(dataset="digits", steps=10)


def built(name: str, **values: Any) -> tuple[type, list[dict[str, Any]]]:
    """Return the class of an optimizer with the options of its groups."""
    model: Any = nn.Linear(2, 2)
    model.get_classifier = lambda: ()
    optimizer = build_optimizer(model, OptimizerConfig(name=name, **values))
    options = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    return type(optimizer), options


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_own_values_are_those_of_pytorch(name: str) -> None:
    parameters = inspect.signature(load_function(OPTIMIZERS[name].class_path)).parameters
    own = {each: parameters[each].default for each in HYPERPARAMETERS if each in parameters}
    assert OPTIMIZERS[name].own_values == own


@pytest.mark.parametrize("name", NAMES)
def test_a_hyperparameter_reaches_the_optimizers_that_take_it(name: str) -> None:
    num_betas = spec_of(name).num_betas
    for field, value in {"momentum": 0.6, "eps": 0.012, "betas": (0.81, 0.82, 0.83)[:num_betas]}.items():
        reaches = built(name, **{field: value}) != built(name)
        assert reaches == takes(field, OptimizerConfig(name=name, **{field: value})), field
    betas = (0.81, 0.82, 0.83)[: 5 - num_betas]
    assert built(name, betas=betas) == built(name), "another number of betas than it has"
    assert not takes("betas", OptimizerConfig(name=name, betas=betas))


def test_the_names_of_one_optimizer_are_known() -> None:
    kinds: dict[str, list[str]] = {}
    for name in NAMES:
        kinds.setdefault(str(built(name)), []).append(name)
    assert [{*names} for names in kinds.values() if len(names) > 1] == [{*names} for names in SAME.items()]


@pytest.mark.parametrize("name", ["adam", "adamw", "muon", "lion", "adan", "adafactorbv", "cadafactor", "adagrad"])
def test_an_own_value_has_the_identity_of_none(name: str) -> None:
    config = BASE.with_values({"optimizer.name": name})
    for field, value in spec_of(name).own_values.items():
        if field != "momentum":
            assert identity_of(config.with_values({f"optimizer.{field}": value})) == identity_of(config)
    assert identity_of(config.with_values({"optimizer.eps": 0.3})) != identity_of(config) or name == "lion"


def test_a_grid_over_optimizers_may_have_a_common_value() -> None:
    betas = {"optimizer.betas": (0.8, 0.9)}
    for name, has_effect in (("sgd", False), ("adan", False), ("adam", True), ("muon", True), ("a.b:c", True)):
        config = OptimizerConfig(name=name, betas=(0.8, 0.9))
        assert takes("betas", config) == has_effect
        if ":" not in name:
            one, other = (BASE.with_values({"optimizer.name": name, **also}) for also in ({}, betas))
            assert (identity_of(one) != identity_of(other)) == has_effect


def test_an_optimizer_has_one_identity_by_each_of_its_names() -> None:
    for name, own in SAME.items():
        one, other = (identity_of(BASE.with_values({"optimizer.name": each})) for each in (name, own))
        assert one == other
    assert identity_of(BASE.with_values({"optimizer.name": "nesterov"})) != identity_of(BASE)


def test_the_own_optimizers_are_known_without_torch() -> None:
    code = (
        "import sys; from revit.training.optimizer_specs import *; "
        "[takes('betas', OptimizerConfig(name=name)) for name in OPTIMIZERS]; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_optimizer_that_does_not_exist_is_refused_in_one_line() -> None:
    with pytest.raises(InputError) as error:
        identity_of(BASE.with_values({"optimizer.name": "adma"}))
    assert str(error.value).startswith("optimizer.name = 'adma': no such optimizer; closest: ")
