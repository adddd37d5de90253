"""Parameter groups, against timm's own and closed forms."""

from typing import Any

import pytest
import timm
from peft import IA3Config, LoraConfig, PeftConfig, inject_adapter_in_model
from timm.optim import param_groups_layer_decay, param_groups_weight_decay
from torch import nn

from revit.config import FineTuneConfig, OptimizerConfig
from revit.errors import InputError
from revit.models.build import build_model
from revit.training.parameter_groups import parameter_groups

DEPTH = 4
"""Blocks of vit_nano."""
TEST_MODELS = ["test_vit", "test_vit2", "test_vit4", "test_resnet", "test_convnext", "test_efficientnet"]


def untrained(name: str = "vit_nano") -> Any:
    config = FineTuneConfig(dataset="digits", steps=1, resolution=28).with_values(
        {"model.name": name, "model.pretrained": False}
    )
    return build_model(config, 10, None)


def option_of(model: nn.Module, option: str, default: Any = None, **values: Any) -> dict[str, Any]:
    """Return an option of each parameter's group, by the parameter's name."""
    with_fallback = values.pop("with_fallback", False)
    groups = parameter_groups(model, OptimizerConfig(**values), with_fallback=with_fallback)
    values_of = {parameter: group.get(option, default) for group in groups for parameter in group["params"]}
    return {name: values_of[each] for name, each in model.named_parameters() if each in values_of}


def numbered(model: nn.Module, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return groups with the names of their parameters."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return [{**group, "params": [names[each] for each in group["params"]]} for group in groups]


@pytest.mark.parametrize("name", ["vit_nano", "bit_nano"])
@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("layer_decay", [1.0, 0.7])
def test_groups_are_timms(name: str, decay: float, layer_decay: float) -> None:
    model = untrained(name)
    options: dict[str, Any] = {"no_weight_decay_list": model.no_weight_decay() if name == "vit_nano" else ()}
    if layer_decay == 1:
        expected = param_groups_weight_decay(model, decay, **options)
    else:
        expected = param_groups_layer_decay(model, decay, layer_decay=layer_decay, **options)
    config = OptimizerConfig(weight_decay=decay, layer_decay=layer_decay)
    groups = parameter_groups(model, config, with_fallback=False)
    assert numbered(model, groups) == numbered(model, expected)


def test_the_rate_falls_from_the_head_to_the_embedding() -> None:
    """In block i, counted from 1, it is decay^(depth + 1 - i) times the head's; the last norm is in the last block."""
    for name, scale in option_of(untrained(), "lr_scale", layer_decay=0.7).items():
        parts = name.split(".")
        layer = {"head": DEPTH + 1, "norm": DEPTH, "blocks": 1 + int((parts[1:] or "0")[0]) if "blocks" in name else 0}
        assert scale == pytest.approx(0.7 ** (DEPTH + 1 - layer.get(parts[0], 0))), name


@pytest.mark.parametrize("name", TEST_MODELS)
def test_the_head_of_any_timm_model_has_the_full_rate(name: str) -> None:
    model = timm.create_model(name, num_classes=5)
    scales = option_of(model, "lr_scale", layer_decay=0.5)
    head = next(path for path, each in model.named_modules() if each is model.get_classifier())
    assert scales[f"{head}.weight"] == 1
    assert min(scales.values()) < 0.5


def test_layer_decay_has_no_effect_on_the_head_alone() -> None:
    model = untrained()
    model.requires_grad_(False)
    model.head.requires_grad_(True)
    one, other = (
        numbered(model, parameter_groups(model, OptimizerConfig(layer_decay=decay), with_fallback=False))
        for decay in (1.0, 0.5)
    )
    assert one == other == [{"params": ["head.weight", "head.bias"], "weight_decay": 0.0}]


def test_a_model_without_layers_is_refused() -> None:
    with pytest.raises(InputError) as error:
        parameter_groups(nn.Linear(2, 2), OptimizerConfig(layer_decay=0.7), with_fallback=False)
    assert str(error.value) == "optimizer.layer_decay = 0.7: must be 1.0, as timm knows no layers of this model"


@pytest.mark.parametrize("layer_decay", [1.0, 0.7])
def test_head_embeddings_use_the_fallback(layer_decay: float) -> None:
    fallback = option_of(untrained(), "use_fallback", False, with_fallback=True, layer_decay=layer_decay)
    assert {name for name, uses in fallback.items() if uses} == {
        "cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias", "head.weight", "head.bias"
    }  # fmt: skip
    assert not any(option_of(untrained(), "use_fallback", False, layer_decay=layer_decay).values())


def test_frozen_parameters_are_in_no_group() -> None:
    model = untrained()
    model.blocks.requires_grad_(False)
    for layer_decay in (1.0, 0.7):
        scales = option_of(model, "lr_scale", layer_decay=layer_decay)
        assert {name.partition(".")[0] for name in scales} == {"cls_token", "pos_embed", "patch_embed", "norm", "head"}


@pytest.mark.parametrize(
    "adapter",
    [LoraConfig(r=4, target_modules=["qkv"]), LoraConfig(r=1, target_modules=["qkv"], use_dora=True),
     IA3Config(target_modules=["qkv", "fc2"], feedforward_modules=["fc2"])],
    ids=["lora", "dora", "ia3"],
)  # fmt: skip
def test_adapters_are_in_the_group_of_their_block(adapter: PeftConfig) -> None:
    model = untrained()
    inject_adapter_in_model(adapter, model)
    model.head.requires_grad_(True)
    scales = option_of(model, "lr_scale", layer_decay=0.7, weight_decay=0.3)
    decays = option_of(model, "weight_decay", layer_decay=0.7, weight_decay=0.3)
    for name in decays.keys() - {"head.weight", "head.bias"}:
        block = int(name.split(".")[1])
        assert scales[name] == pytest.approx(0.7 ** (DEPTH - block)), name
        is_matrix = "lora_A" in name or "lora_B" in name
        assert decays[name] == (0.3 if is_matrix else 0.0), name
    trained = {name for name, each in model.named_parameters() if each.requires_grad}
    assert decays.keys() == trained
    assert decays == option_of(model, "weight_decay", weight_decay=0.3)
