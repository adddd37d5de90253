"""Networks against timm's own, and functions of the user."""

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.layers import DropPath
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from revit.config import FineTuneConfig, ModelConfig
from revit.errors import InputError
from revit.functions import source_digest
from revit.models.architectures import MODELS
from revit.models.build import build_model, check_model
from revit.models.dropout import active_dropout
from revit.models.networks import OWN_VITS, RATES, construct, timm_name
from revit.models.trained_parts import PARTS

OWN = "tests.revit.models.test_networks:small_vit"
MAX_RATE = 0.5


def small_vit(num_classes: int, resolution: int, drop_path_rate: float = 0.0) -> VisionTransformer:
    """Build a model of a user."""
    return VisionTransformer(
        img_size=resolution, num_classes=num_classes, embed_dim=32, depth=3, num_heads=2, patch_size=4,
        drop_path_rate=drop_path_rate,
    )  # fmt: skip


def without_interface(num_classes: int, resolution: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * resolution**2, num_classes))


def of_two_classes(num_classes: int, resolution: int) -> nn.Module:
    return small_vit(2, resolution)


def failing(num_classes: int, resolution: int) -> nn.Module:
    raise ValueError(f"no weights for {num_classes} classes\nat {resolution} px")


def config_of(name: str, **values: object) -> FineTuneConfig:
    changed = {path.replace("__", "."): value for path, value in values.items()}
    return FineTuneConfig(dataset="digits", steps=1).with_values(
        {"model.name": name, "model.pretrained": False, "normalization": "inception", **changed}
    )


def images_of(resolution: int) -> torch.Tensor:
    return torch.randn(8, 3, resolution, resolution, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["test_vit", "deit_tiny_patch16_224", "resnet18", "convnext_atto", "regnetx_002"])
def test_stochastic_depth_gives_the_training_numbers_of_timm(name: str) -> None:
    """The same weights and the same seed."""
    in_size = {"img_size": 64} if "vit" in name or "deit" in name else {}
    theirs = timm.create_model(name, num_classes=5, drop_path_rate=MAX_RATE, **in_size).train()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.1)  # some of timm's blocks start as the identity
    config = config_of(name, resolution=64, model__drop_path=MAX_RATE, model__head_init="torch")
    ours, without = (
        build_model(each, 5, None).train() for each in (config, config.with_values({"model.drop_path": 0.0}))
    )
    for model in (ours, without):
        model.load_state_dict(theirs.state_dict())
    logits = []
    for model in (theirs, ours, without):
        torch.manual_seed(7)
        logits.append(model(images_of(64)))
    assert torch.equal(logits[0], logits[1])
    assert not torch.equal(logits[0], logits[2])


def test_the_own_models_take_stochastic_depth() -> None:
    """Its rate grows linearly with depth to the given one."""
    for name in MODELS:
        model = construct(ModelConfig(name=name, pretrained=False, drop_path=0.3), 32 if name != "vit_nano" else 28, 5)
        rates = [layer.drop_prob for layer in model.modules() if isinstance(layer, DropPath)]
        assert max(rates) == pytest.approx(0.3), name
        if name in OWN_VITS:
            depth = int(OWN_VITS[name]["depth"])
            linear = [0.3 * i / (depth - 1) for i in range(1, depth) for _ in range(2)]
            assert rates == pytest.approx(linear), name


def test_no_stochastic_depth_is_no_stochastic_depth() -> None:
    """The default of timm's Swin is a rate of .1."""
    name = "swin_tiny_patch4_window7_224"
    assert any(isinstance(each, DropPath) and each.drop_prob for each in timm.create_model(name).modules())
    assert active_dropout(construct(ModelConfig(name=name, pretrained=False), 224, 5), 224) == []


def test_the_three_nano_vits_share_their_weights_as_the_published_sizes_do() -> None:
    """Against ViT-S, -B and -L: share of attention and MLPs within .05, growth from size to size within a fifth."""
    published = {"small": "deit_small_patch16_224", "medium": "deit_base_patch16_224", "large": "vit_large_patch16_224"}
    growth = []
    for size, name in published.items():
        counts = [_weights(f"vit_nano_{size}", 28), _weights(name, 224)]
        for part in ("attention", "mlp"):
            shares = [count[part] / count["all"] for count in counts]
            assert shares[0] == pytest.approx(shares[1], abs=0.05), (size, part)
        growth.append([count["all"] for count in counts])
    for small, large in pairwise(growth):
        ours, theirs = (after / before for before, after in zip(small, large, strict=True))
        assert ours == pytest.approx(theirs, rel=0.2)


def _weights(name: str, resolution: int) -> dict[str, int]:
    """Return the number of parameters of a model by trained part."""
    with torch.device("meta"):
        model = construct(ModelConfig(name=name, pretrained=False), resolution, 10)
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    return {part: sum(map(sizes.__getitem__, PARTS[part](model))) for part in ("all", "attention", "mlp")}


@pytest.mark.parametrize("name", ["vgg11", "dla34", "tests.revit.models.test_networks:of_two_classes"])
def test_stochastic_depth_is_refused_where_a_model_has_none(name: str) -> None:
    function = "cannot be called with num_classes=5, resolution=32, drop_path_rate=0.1: got an unexpected keyword"
    right = function if ":" in name else f"model.drop_path = 0.1: must be 0, as {name} has no stochastic depth"
    with pytest.raises(InputError, match=re.escape(right)):
        check_model(config_of(name, resolution=32, model__drop_path=0.1), None)


def test_rates_are_timms_arguments() -> None:
    assert RATES.keys() <= ModelConfig.__dataclass_fields__.keys()
    assert timm_name("vit_b16_in21k") == "vit_base_patch16_224.orig_in21k"


def test_a_function_of_the_user_builds_the_model() -> None:
    config = config_of(OWN, resolution=16)
    check_model(config, None)
    ours = build_model(config.with_values({"model.head_init": "torch"}), 7, None)
    torch.manual_seed(0)
    theirs = small_vit(7, 16)
    theirs.head.reset_parameters()
    assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in ours.state_dict().items())
    deep = construct(ModelConfig(name=OWN, pretrained=False, drop_path=0.2), 16, 7)
    assert [each.drop_prob for each in deep.modules() if isinstance(each, DropPath)] == pytest.approx(
        [0.1, 0.1, 0.2, 0.2]
    )


def test_a_model_of_the_user_takes_weights_parts_and_adapters(tmp_path: Path) -> None:
    source = small_vit(3, 32)
    save_file(source.state_dict(), tmp_path / "own.safetensors")
    values = {"model__weights": str(tmp_path / "own.safetensors"), "model__pretrained": True, "resolution": 16}
    config = config_of(OWN, **values, model__adapter="lora", model__frozen="first_2")
    check_model(config, tmp_path / "own.safetensors")
    model: Any = build_model(config, 10, tmp_path / "own.safetensors")
    assert torch.equal(model.blocks[2].attn.qkv.base_layer.weight, source.blocks[2].attn.qkv.weight)
    assert torch.equal(model.blocks[0].attn.qkv.weight, source.blocks[0].attn.qkv.weight)
    assert model.pos_embed.shape[1] == 17


def test_a_model_of_the_user_is_trained(small: FineTuneConfig, train: Callable) -> None:
    config = small.with_values({"model.name": OWN, "model.pretrained": False, "normalization": "imagenet"})
    _, seen = train(config)
    assert seen.built["model"]["class"] == "VisionTransformer"
    assert seen.built["model"]["function"] == f"{OWN} (source {source_digest(OWN)})"
    _, again = train(config)
    assert again.curve("train_loss") == seen.curve("train_loss")


WRONG = {
    "tests.revit.models.test_networks:absent": "absent cannot be imported",
    "tests.revit.models.test_networks:MAX_RATE": "is not a function",
    "tests.revit.models.test_networks:without_interface": (
        "returns a Sequential; must be an nn.Module with get_classifier, forward_features, forward_head"
    ),
    "tests.revit.models.test_networks:of_two_classes": "does not return one logit per class",
    "tests.revit.models.test_networks:failing": "cannot be trained at resolution = 28: no weights for 5 classes",
    "tests.revit.models.test_networks:config_of": "cannot be called with num_classes=5, resolution=28: missing",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_function_that_builds_no_such_model_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(InputError, match=re.escape(WRONG[name])) as raised:
        check_model(config_of(name), None)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"normalization": "model"}, "normalization = 'model': must be inception, imagenet or cifar10"),
        ({"model__pretrained": True}, "model.pretrained = True: must be False: .* has no pretrained weights"),
        ({"model__embed_std": 1.0}, "model.embed_std = 1.0: is for ViTs, and .* is not"),
    ],
)
def test_what_a_function_does_not_state_must_be_given(values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_model(config_of(OWN, **values), None)
