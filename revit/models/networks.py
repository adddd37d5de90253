"""Networks by name, with random weights: the project's own, timm's, or a function of the user.

A function of the user is named by its import path (`model.name = "my_package.my_models:small_vit"`), and is called as

    small_vit(num_classes=10, resolution=224)

It returns an untrained `nn.Module` from images (B, 3, R, R) to logits (B, num_classes), with timm's interface:
`get_classifier()` returns its linear head, and `forward_head(forward_features(images))` is its forward pass. Every rate
of the config that is above 0 is one more argument, by timm's name (RATES). Draw random numbers with torch's functions,
without a generator and without `torch.manual_seed`: they then come from the config's seed.
"""

import inspect
from functools import partial
from typing import Any, cast

import timm
from timm.layers import DropPath, GroupNormAct, StdConv2d
from timm.models.resnetv2 import ResNetV2
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from revit.config import ModelConfig
from revit.errors import InputError
from revit.functions import is_import_path, load_function
from revit.models.architectures import MODELS, architecture
from revit.models.timm_models import check_name

OWN_VITS: dict[str, dict[str, Any]] = {
    "vit_nano": {"patch_size": 4, "embed_dim": 64, "depth": 4, "num_heads": 4, "mlp_ratio": 2},
    "vit_nano_small": {"patch_size": 4, "embed_dim": 32, "depth": 4, "num_heads": 2},
    "vit_nano_medium": {"patch_size": 4, "embed_dim": 64, "depth": 4, "num_heads": 4},
    "vit_nano_large": {"patch_size": 4, "embed_dim": 80, "depth": 8, "num_heads": 5},
    "vit_cifar_scratch": {"patch_size": 4, "embed_dim": 128, "depth": 12, "num_heads": 8, "mlp_ratio": 0.5},
    "vit_p16_scratch": {"patch_size": 16, "embed_dim": 128, "depth": 12, "num_heads": 8, "mlp_ratio": 0.5},
}
"""Arguments of the project's own ViTs.

The sizes of vit_nano_small, _medium and _large have the ratios of ViT-S, -B and -L; their MLPs have twice the weights
of attention.
"""
RESIZED_VIT = "vit_tiny_patch16_224"
"""Plain ViT of timm: with the arguments of one of OWN_VITS, it is that network."""
VIT_MODULES = ("timm.models.vision_transformer", "timm.models.deit")
RATES = {
    "dropout": ("pos_drop_rate", "proj_drop_rate"),
    "attn_dropout": ("attn_drop_rate",),
    "head_dropout": ("drop_rate",),
    "drop_path": ("drop_path_rate",),
}
"""Config field -> timm's arguments."""
INTERFACE = ("get_classifier", "forward_features", "forward_head")
"""Methods of timm's models that a user's model needs."""


def construct(model: ModelConfig, resolution: int, num_classes: int) -> nn.Module:
    """Build a network with random weights.

    Raises:
        InputError: the model does not exist, or an option or the resolution does not apply to it.
    """
    if is_import_path(model.name):
        network = _construct_by_function(model, resolution, num_classes)
    elif _is_vit(model.name):
        network = _construct_vit(model, resolution, num_classes)
    else:
        network = _construct_cnn(model, num_classes)
    _check_drop_path(network, model)
    return network


def bit_nano(num_classes: int, drop_rate: float = 0.0, drop_path_rate: float = 0.0) -> ResNetV2:
    """Build a BiT for CPUs: pre-activation ResNet, GroupNorm, weight standardization, 3 stages of 2 blocks."""
    return ResNetV2(
        layers=[2, 2, 2],
        channels=(64, 128, 256),
        num_classes=num_classes,
        stem_chs=32,
        stem_type="fixed",
        conv_layer=partial(StdConv2d, eps=1e-8),
        norm_layer=partial(GroupNormAct, num_groups=8),
        drop_rate=drop_rate,
        drop_path_rate=drop_path_rate,
    )


def timm_name(name: str) -> str:
    """Return the timm name of a model."""
    return (MODELS[name].timm_name if name in MODELS else None) or name


def timm_arguments(name: str, resolution: int) -> tuple[str, dict[str, Any]] | None:
    """Return an architecture of timm, with the arguments of `timm.create_model` that make a model's network of it.

    The project's own ViTs are a small ViT of timm with other sizes. None for a model that timm cannot build.
    """
    if is_import_path(name) or name == "bit_nano":  # its GroupNorm has groups that no argument sets
        return None
    if name in OWN_VITS:
        return RESIZED_VIT, {**OWN_VITS[name], "img_size": resolution}
    return architecture(name), {"img_size": resolution} if _is_vit(name) else {}


def _is_vit(name: str) -> bool:
    if name in OWN_VITS or name == "bit_nano":
        return name in OWN_VITS
    if name not in MODELS:
        check_name(name)
    return timm.models.model_entrypoint(timm_name(name)).__module__ in VIT_MODULES


def _construct_vit(model: ModelConfig, resolution: int, num_classes: int) -> nn.Module:
    options = {"num_classes": num_classes, "img_size": resolution, **_rates(model, *RATES)}
    own = OWN_VITS.get(model.name)
    vit: Any = (
        timm.create_model(timm_name(model.name), **options) if own is None else VisionTransformer(**own, **options)
    )
    patch_side = vit.patch_embed.patch_size[0]
    if resolution % patch_side:
        raise InputError(f"resolution = {resolution}: must be a multiple of {patch_side}, the model's patch size")
    if not model.attn_out_proj:
        for block in vit.blocks:
            block.attn.proj = nn.Identity()
    if model.linear_init == "torch":
        for layer in vit.modules():
            if isinstance(layer, nn.Linear):
                layer.reset_parameters()
    if model.embed_std is not None:
        for embedding in (vit.pos_embed, vit.cls_token):
            if embedding is not None:
                nn.init.normal_(embedding, std=model.embed_std)
    return cast(nn.Module, vit)


def _construct_cnn(model: ModelConfig, num_classes: int) -> nn.Module:
    _refuse_options(model, "dropout", "attn_dropout", "attn_out_proj", "embed_std", "linear_init")
    rates = _rates(model, "head_dropout", *(["drop_path"] if model.drop_path else []))
    if model.name == "bit_nano":
        return bit_nano(num_classes, **rates)
    try:
        return timm.create_model(timm_name(model.name), num_classes=num_classes, **rates)
    except TypeError as error:
        if "drop_path_rate" in str(error):
            raise _no_drop_path(model) from error
        raise


def _construct_by_function(model: ModelConfig, resolution: int, num_classes: int) -> nn.Module:
    _refuse_options(model, "attn_out_proj", "embed_std", "linear_init")
    function = load_function(model.name)
    arguments = {"num_classes": num_classes, "resolution": resolution}
    arguments |= _rates(model, *(field for field in RATES if getattr(model, field)))
    try:
        inspect.signature(function).bind(**arguments)
    except TypeError as error:
        called = ", ".join(f"{name}={value}" for name, value in arguments.items())
        raise InputError(f"model.name = {model.name!r}: cannot be called with {called}: {error}") from error
    network = function(**arguments)
    lacking = [name for name in INTERFACE if not hasattr(network, name)]
    if not isinstance(network, nn.Module) or lacking:
        right = f"an nn.Module with {', '.join(INTERFACE)}, as timm's models"
        raise InputError(f"model.name = {model.name!r}: returns a {type(network).__name__}; must be {right}")
    return network


def _rates(model: ModelConfig, *fields: str) -> dict[str, Any]:
    """Return the rates of a config as timm's arguments."""
    return {argument: getattr(model, field) for field in fields for argument in RATES[field]}


def _refuse_options(model: ModelConfig, *options: str) -> None:
    """Raise InputError if an option for ViTs does not have its default."""
    default = ModelConfig(name=model.name, pretrained=model.pretrained, weights=model.weights)
    for option in options:
        value = getattr(model, option)
        if value != getattr(default, option):
            raise InputError(f"model.{option} = {value!r}: is for ViTs, and {model.name} is not a ViT")


def _check_drop_path(network: nn.Module, model: ModelConfig) -> None:
    """Set timm's own default of stochastic depth to zero; raise InputError if the model has none but should."""
    layers = [module for module in network.modules() if isinstance(module, DropPath)]
    if model.drop_path == 0:
        for layer in layers:
            layer.drop_prob = 0.0
    elif not any(layer.drop_prob for layer in layers):
        raise _no_drop_path(model)


def _no_drop_path(model: ModelConfig) -> InputError:
    return InputError(f"model.drop_path = {model.drop_path}: must be 0, as {model.name} has no stochastic depth")
