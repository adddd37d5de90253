import subprocess
import sys
import typing
from collections.abc import Callable

import pytest
import timm
import torch
from timm.data import constants, resolve_data_config

from revit.config import FineTuneConfig
from revit.errors import InputError
from revit.models.architectures import MODELS
from revit.models.networks import timm_name
from revit.models.normalization import NORMALIZATIONS, Normalization, normalization_of
from tests.identities import identity_of

BACKBONES = [
    "deit_small_patch16_224.fb_in1k", "deit3_small_patch16_224.fb_in22k_ft_in1k", "vit_small_patch14_dinov2.lvd142m",
    "vit_small_patch16_dinov3.lvd1689m", "vit_base_patch16_224.mae", "vit_base_patch16_clip_224.openai",
    "vit_base_patch16_siglip_224.webli", "convnext_tiny.fb_in22k", "swin_tiny_patch4_window7_224.ms_in1k",
    "vit_base_patch16_224", "resnet50",
]  # fmt: skip
NUM_OTHERS = 9


def config_of(model: str, **values: object) -> FineTuneConfig:
    patch = 14 if "patch14" in model else 16
    config = FineTuneConfig(dataset="digits", steps=1, resolution=14 * patch)
    return config.with_values({"model.name": model, "model.pretrained": False, **values})


def stated_by_timm(name: str) -> Normalization:
    stated = resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    return Normalization(stated["mean"], stated["std"])


def test_a_timm_model_uses_the_normalization_it_was_trained_with() -> None:
    assert [normalization_of(config_of(name)) for name in BACKBONES] == [stated_by_timm(name) for name in BACKBONES]
    assert sum(normalization_of(config_of(name)) != NORMALIZATIONS["inception"] for name in BACKBONES) == NUM_OTHERS


def test_the_projects_models_use_inception_normalization() -> None:
    for name, spec in MODELS.items():
        assert normalization_of(config_of(name)) == NORMALIZATIONS["inception"]
        if spec.timm_name is not None:
            assert stated_by_timm(timm_name(name)) == NORMALIZATIONS["inception"]


def test_the_config_overrides_the_model() -> None:
    for name in ("cifar10", "imagenet", "inception"):
        assert normalization_of(config_of("vit_small_patch14_dinov2", normalization=name)) == NORMALIZATIONS[name]
    assert NORMALIZATIONS["imagenet"] == (constants.IMAGENET_DEFAULT_MEAN, constants.IMAGENET_DEFAULT_STD)


def test_the_choices_of_the_config_are_the_tables_and_model() -> None:
    hint = typing.get_type_hints(FineTuneConfig)["normalization"]
    assert set(typing.get_args(hint)) == {"model", *NORMALIZATIONS}


def test_a_model_without_stated_normalization_needs_a_configured_one() -> None:
    """timm builds its deprecated names, and states nothing of them."""
    name = "vit_base_patch16_224_in21k"
    assert timm.is_model(name)
    with pytest.raises(
        InputError, match=f"timm states no mean and std of '{name}'; must be inception, imagenet or cifar10"
    ):
        normalization_of(config_of(name))
    assert normalization_of(config_of(name, normalization="inception")) == NORMALIZATIONS["inception"]


def test_equal_normalizations_give_one_identity() -> None:
    for model, same, other in (
        ("vit_nano", "inception", "imagenet"),
        ("deit_tiny_patch16_224", "imagenet", "inception"),
    ):
        assert identity_of(config_of(model)) == identity_of(config_of(model, normalization=same))
        assert identity_of(config_of(model)) != identity_of(config_of(model, normalization=other))


def test_training_validation_and_test_use_the_same_normalization(train: Callable) -> None:
    """Only timm's mean and standard deviation map the model's inputs back to whole bytes."""
    seen: list[torch.Tensor] = []

    def note(module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, torch.nn.Conv2d) and module.in_channels == 3 and not given[0].is_meta:
            seen.append(given[0].detach().clone())

    config = config_of("test_byobnet", resolution=32, steps=1, num_evals=1, batch_size=16, data_fraction=0.02)
    with torch.nn.modules.module.register_module_forward_pre_hook(note):
        train(config)
    stated = stated_by_timm("test_byobnet")
    assert stated == NORMALIZATIONS["imagenet"]
    mean, std = (torch.tensor(each)[:, None, None] for each in stated)
    pixels = 255 * (torch.cat(seen) * std + mean)
    assert len(pixels) == 16 + 2 * 144 + 359, "the tested weights are evaluated on validation images, too"
    torch.testing.assert_close(pixels, pixels.round(), atol=1e-3, rtol=0)
    assert pixels.min().round() >= 0
    assert pixels.max().round() <= 255


def test_normalization_of_the_projects_models_needs_no_torch() -> None:
    code = """
import sys
from revit.config import FineTuneConfig
from revit.models.normalization import normalization_of
normalization_of(FineTuneConfig(dataset="digits", steps=1))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
