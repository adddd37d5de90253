"""Inactive fields against training: the weights are equal to the bit."""

from collections.abc import Callable

import pytest
import torch

from revit.active_fields import ACTIVE, effective_values
from revit.config import FineTuneConfig

INACTIVE = {
    "subset_seed with all images": ({}, {"subset_seed": 3}),
    "crop_scale without crops": ({"train_crop": "none"}, {"crop_scale": (0.2, 0.3)}),
    "resize_factor with random_resized": ({}, {"resize_factor": 2.0}),
    "crop_padding with random_resized": ({}, {"crop_padding": 4}),
    "pos_embed_resize at the pretraining resolution": ({"resolution": 28}, {"model.pos_embed_resize": "jax"}),
    "pos_embed_resize without position embedding": ({"model.pos_embed": "none"}, {"model.pos_embed_resize": "jax"}),
    "pos_embed_resize with a ResNet": ({"model.name": "bit_nano"}, {"model.pos_embed_resize": "jax"}),
    "pos_embed_resize from scratch": ({"model.pretrained": False}, {"model.pos_embed_resize": "jax"}),
    "momentum with Adam": ({"optimizer.name": "adam"}, {"optimizer.momentum": 0.1}),
    "betas with SGD": ({}, {"optimizer.betas": (0.8, 0.9)}),
    "eps with SGD": ({}, {"optimizer.eps": 1e-4}),
    "two betas with Adan": ({"optimizer.name": "adan"}, {"optimizer.betas": (0.8, 0.9)}),
    "layer_decay with the head alone": ({"model.trained": "head"}, {"optimizer.layer_decay": 0.5}),
    "eps with Lion": ({"optimizer.name": "lion"}, {"optimizer.eps": 1e-4}),
    "Adam's own betas": ({"optimizer.name": "adam"}, {"optimizer.betas": (0.9, 0.999)}),
    "another name of SGD": ({}, {"optimizer.name": "momentum"}),
    "update with constant": ({"schedule.name": "constant"}, {"schedule.update": "epoch"}),
    "t_max with linear": ({"schedule.name": "linear"}, {"schedule.t_max": 2.0}),
    "milestones with cosine": ({}, {"schedule.milestones": (0.5,)}),
    "end_factor with cosine": ({}, {"schedule.end_factor": 0.5}),
    "plateau_factor with cosine": ({}, {"schedule.plateau_factor": 0.1}),
    "plateau_patience with cosine": ({}, {"schedule.plateau_patience": 0}),
    "plateau with too few evaluations": (
        {"schedule.name": "constant", "optimizer.lr": 1e-6, "num_evals": 3}, {"schedule.name": "plateau"}
    ),
    "num_ops without randaugment": ({}, {"randaugment_num_ops": 3}),
    "magnitude without randaugment": ({}, {"randaugment_magnitude": 20}),
    "frozen with the head alone": ({"model.trained": "head"}, {"model.frozen": "first_2"}),
    "embedding with attention alone": ({"model.trained": "attention"}, {"model.frozen": "embedding"}),
    "embedding with adapters": ({"model.adapter": "lora"}, {"model.frozen": "embedding"}),
    "rank with ia3": ({"model.adapter": "ia3"}, {"model.adapter_rank": 2}),
    "rank without adapter": ({}, {"model.adapter_rank": 2}),
    "alpha without adapter": ({}, {"model.adapter_alpha": 2.0}),
    "eval_every with the last weights": ({}, {"eval_every": 2}),
    "num_evals with the last weights": ({}, {"num_evals": 12}),
    "test_curve": ({"test": True}, {"test_curve": True}),
    "test": ({}, {"test": True}),
    "test_sets": ({"test": True}, {"test_sets": ("mnist_5k",)}),
    "best_val with one evaluation": ({"num_evals": 1}, {"selection": "best_val"}),
    "normalization with a model of MODELS": ({}, {"normalization": "inception"}),
}  # fmt: skip


SHORT: dict[str, object] = {"steps": 4, "num_evals": 1, "test": False}
"""Weights alone are compared: validation and tests would take most of the time."""


@pytest.fixture(scope="module")
def trained() -> dict[FineTuneConfig, dict[str, torch.Tensor]]:
    """Weights by config: most cases have the same one to compare with."""
    return {}


@pytest.fixture
def weights_of(
    trained: dict[FineTuneConfig, dict[str, torch.Tensor]], train: Callable
) -> Callable[[FineTuneConfig], dict[str, torch.Tensor]]:
    def get(config: FineTuneConfig) -> dict[str, torch.Tensor]:
        if config not in trained:
            trained[config] = train(config)[0].model.state_dict()
        return trained[config]

    return get


def values_of(config: FineTuneConfig) -> dict[str, object]:
    return effective_values(config, config.num_evals)


@pytest.mark.parametrize("case", INACTIVE)
def test_an_inactive_field_does_not_change_the_weights(small: FineTuneConfig, weights_of: Callable, case: str) -> None:
    base, change = INACTIVE[case]
    configs = [small.with_values({**SHORT, **base, **also}) for also in ({}, change)]
    assert values_of(configs[0]) == values_of(configs[1])
    one, other = map(weights_of, configs)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_every_field_of_the_table_has_a_case() -> None:
    assert ACTIVE.keys() <= {path for _, change in INACTIVE.values() for path in change}


ACTIVE_CASES = {
    "plateau with enough evaluations": (
        {"schedule.name": "constant", "optimizer.lr": 1e-6, "num_evals": 4}, {"schedule.name": "plateau"}
    ),
    "momentum with SGD": ({}, {"optimizer.momentum": 0.1}),
    "embedding with all": ({}, {"model.frozen": "embedding"}),
    "embedding with biases": ({"model.trained": "biases"}, {"model.frozen": "embedding"}),
    "blocks with adapters": ({"model.adapter": "lora"}, {"model.frozen": "first_2"}),
    "rank with lora": ({"model.adapter": "lora"}, {"model.adapter_rank": 2}),
    "momentum with Muon": ({"optimizer.name": "muon"}, {"optimizer.momentum": 0.1}),
    "betas with Adam": ({"optimizer.name": "adam"}, {"optimizer.betas": (0.8, 0.9)}),
    "three betas with Adan": ({"optimizer.name": "adan"}, {"optimizer.betas": (0.8, 0.9, 0.95)}),
    "eps with AdamW": ({"optimizer.name": "adamw"}, {"optimizer.eps": 1e-4}),
    "layer_decay": ({}, {"optimizer.layer_decay": 0.5}),
    "Nesterov momentum": ({}, {"optimizer.name": "nesterov"}),
    "crop_scale with random_resized": ({}, {"crop_scale": (0.2, 0.3)}),
    "pos_embed_resize at another resolution": ({}, {"model.pos_embed_resize": "jax"}),
    "t_max with cosine": ({}, {"schedule.t_max": 2.0}),
    "num_ops with randaugment": ({"augmentation": "randaugment"}, {"randaugment_num_ops": 3}),
    "magnitude with randaugment": ({"augmentation": "randaugment"}, {"randaugment_magnitude": 20}),
}  # fmt: skip


@pytest.mark.parametrize("case", ACTIVE_CASES)
def test_an_active_field_changes_the_weights(small: FineTuneConfig, weights_of: Callable, case: str) -> None:
    base, change = ACTIVE_CASES[case]
    configs = [small.with_values({**SHORT, **base, **also}) for also in ({}, change)]
    assert values_of(configs[0]) != values_of(configs[1])
    one, other = map(weights_of, configs)
    assert not all(torch.equal(one[name], other[name]) for name in one)
