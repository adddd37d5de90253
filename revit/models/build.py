"""Build a model at a resolution, with or without its position embedding, with a new head."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import timm
import torch
from timm.layers import GroupNormAct, StdConv2d
from timm.models.resnetv2 import ResNetV2
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import Tensor, nn

from revit.config import FineTuneConfig, ModelConfig
from revit.errors import InputError, first_line
from revit.models.architectures import MODELS
from revit.models.normalization import normalization_of
from revit.models.position_embeddings import remove_pos_embed, resize_pos_embed
from revit.models.timm_models import check_name
from revit.models.weight_formats import read_checkpoint

HEAD_INITS: dict[str, Callable[[Tensor], Tensor]] = {
    "zeros": nn.init.zeros_,
    "trunc_normal": lambda weight: nn.init.trunc_normal_(weight, std=0.02),
    "normal": lambda weight: nn.init.normal_(weight, std=0.01),
}
"""Initialization of the head's weight, by name; the bias is zero. `torch` is PyTorch's default for both."""
OWN_VITS: dict[str, dict[str, Any]] = {
    "vit_nano": {"patch_size": 4, "embed_dim": 64, "depth": 4, "num_heads": 4, "mlp_ratio": 2},
    "vit_cifar_scratch": {"patch_size": 4, "embed_dim": 128, "depth": 12, "num_heads": 8, "mlp_ratio": 0.5},
    "vit_p16_scratch": {"patch_size": 16, "embed_dim": 128, "depth": 12, "num_heads": 8, "mlp_ratio": 0.5},
}
"""Arguments of the project's own ViTs."""
DRY_RUN_CLASSES = 5
VIT_MODULES = ("timm.models.vision_transformer", "timm.models.deit")


def build_model(config: FineTuneConfig, num_classes: int, weights: Path | None) -> nn.Module:
    """Build the network of a trial, from normalized images (B, 3, R, R) to logits (B, K).

    Random initialization uses `config.seed`. A position embedding is removed last: it is set to zero and frozen, so
    that every other weight and dropout are as with it. A timm model built without one skips the dropout after it.

    Args:
        weights: file or folder of the pretrained weights (`find_weights`); None to start from scratch.

    Raises:
        InputError: the model does not exist, the weights are unreadable or of another model, or an option does not
            apply to the model.
    """
    torch.manual_seed(config.seed)
    model = _construct(config.model, config.resolution, num_classes)
    if weights is not None:
        load_backbone(model, weights, config.model.pos_embed_resize)
    _init_head(model, config.model.head_init)
    if config.model.pos_embed == "none":
        remove_pos_embed(model, config.model.name)
    return model


def empty_model(config: FineTuneConfig, num_classes: int) -> nn.Module:
    """Build the network of a config on the meta device, without memory."""
    with torch.device("meta"):
        return _construct(config.model, config.resolution, num_classes)


def check_model(config: FineTuneConfig, weights: Path | None) -> None:
    """Raise InputError unless the config's model exists, takes its images, and the weights fit.

    The model is built and run once on the meta device, without memory.
    """
    normalization_of(config)
    model, logits = _dry_run(config)
    if not isinstance(logits, Tensor) or logits.shape != (2, DRY_RUN_CLASSES):
        raise InputError(f"model.name = {config.model.name!r}: does not return one logit per class")
    if weights is not None:
        _read_matching(model, weights, config.model.pos_embed_resize)
    if config.model.pos_embed == "none":
        remove_pos_embed(model, config.model.name)
    has_batch_norm = any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    if config.micro_batch is not None and has_batch_norm:
        raise InputError(f"micro_batch = {config.micro_batch}: must be None, as {config.model.name} has BatchNorm")


def _dry_run(config: FineTuneConfig) -> tuple[nn.Module, object]:
    """Return the model and its output for two images in training mode, on the meta device."""
    images = torch.empty(2, 3, config.resolution, config.resolution, device="meta")
    try:
        model = empty_model(config, DRY_RUN_CLASSES)
        _init_head(model, config.model.head_init)
        return model, model.train()(images)
    except InputError:
        raise
    except Exception as error:  # timm's models raise errors of many types
        reason = f"cannot be trained at resolution = {config.resolution}: {first_line(error)}"
        raise InputError(f"model.name = {config.model.name!r}: {reason}") from error


def bit_nano(num_classes: int, head_dropout: float = 0.0) -> ResNetV2:
    """Build a BiT for CPUs: pre-activation ResNet, GroupNorm, weight standardization, 3 stages of 2 blocks."""
    return ResNetV2(
        layers=[2, 2, 2],
        channels=(64, 128, 256),
        num_classes=num_classes,
        stem_chs=32,
        stem_type="fixed",
        conv_layer=partial(StdConv2d, eps=1e-8),
        norm_layer=partial(GroupNormAct, num_groups=8),
        drop_rate=head_dropout,
    )


def load_backbone(model: nn.Module, path: Path, pos_embed_resize: str) -> None:
    """Load all weights but the head's; the position embedding is resized to the model's grid.

    Raises:
        InputError: the file is unreadable; or tensors are missing, unexpected, or of another shape or kind, as
            quantized weights are. Nothing is loaded then.
    """
    model.load_state_dict(_read_matching(model, path, pos_embed_resize), strict=False)


def _read_matching(model: nn.Module, path: Path, pos_embed_resize: str) -> dict[str, Tensor]:
    """Return the tensors of a file but the head's; raise InputError unless they fit the model."""
    heads = _head_prefixes(model)
    given = {name: tensor for name, tensor in read_checkpoint(path).items() if not name.startswith(heads)}
    if isinstance(model, VisionTransformer):
        try:
            if "pos_embed" in given:
                given["pos_embed"] = resize_pos_embed(
                    given["pos_embed"],
                    model.patch_embed.num_patches,
                    num_prefix=model.num_prefix_tokens,
                    method=pos_embed_resize,
                )
            given = checkpoint_filter_fn(given, model)
        except (RuntimeError, IndexError) as error:  # a tensor with other dimensions than a ViT's
            raise InputError(f"{path} holds the weights of another model: {first_line(error)}") from error
    own = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(heads)}
    mismatched = sorted(
        name
        for name in own.keys() | given.keys()
        if name not in own or name not in given or own[name].shape != given[name].shape
    )
    if mismatched:
        names = ", ".join(mismatched[:3]) + (f" and {len(mismatched) - 3} more" if len(mismatched) > 3 else "")
        raise InputError(f"{path} holds the weights of another model; these tensors do not fit: {names}")
    for name, tensor in given.items():
        if tensor.is_floating_point() != own[name].is_floating_point():
            right = "floating-point numbers" if own[name].is_floating_point() else "integers"
            raise InputError(f"{path}: {name} holds {str(tensor.dtype).removeprefix('torch.')}; must be {right}")
    return given


def _head_prefixes(model: Any) -> tuple[str, ...]:
    """Return the name prefixes of the tensors that a new head replaces: classifiers, and timm's `pre_logits`."""
    heads = _classifiers(model)
    return "pre_logits.", *(f"{name}." for name, module in model.named_modules() if any(module is h for h in heads))


def _classifiers(model: Any) -> tuple[Any, ...]:
    """Return the model's linear heads: one, or two for a distilled model."""
    classifier = model.get_classifier()
    return classifier if isinstance(classifier, tuple) else (classifier,)


def _construct(model: ModelConfig, resolution: int, num_classes: int) -> nn.Module:
    if model.name not in MODELS:
        check_name(model.name)
    if not _is_vit(model.name):
        return _construct_cnn(model, num_classes)
    vit: Any = _construct_vit(model, resolution, num_classes)
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


def _is_vit(name: str) -> bool:
    return name in OWN_VITS or (
        name != "bit_nano" and timm.models.model_entrypoint(timm_name(name)).__module__ in VIT_MODULES
    )


def _construct_vit(model: ModelConfig, resolution: int, num_classes: int) -> VisionTransformer:
    options: dict[str, Any] = {
        "num_classes": num_classes,
        "img_size": resolution,
        "pos_drop_rate": model.dropout,
        "proj_drop_rate": model.dropout,
        "attn_drop_rate": model.attn_dropout,
        "drop_rate": model.head_dropout,
    }
    if model.name in OWN_VITS:
        return VisionTransformer(**OWN_VITS[model.name], **options)
    return cast(VisionTransformer, timm.create_model(timm_name(model.name), **options))


def _construct_cnn(model: ModelConfig, num_classes: int) -> nn.Module:
    default = ModelConfig(name=model.name, pretrained=model.pretrained, weights=model.weights)
    for option in ("dropout", "attn_dropout", "attn_out_proj", "embed_std", "linear_init"):
        value = getattr(model, option)
        if value != getattr(default, option):
            raise InputError(f"model.{option} = {value!r}: is for ViTs, and {model.name} is not a ViT")
    if model.name == "bit_nano":
        return bit_nano(num_classes, model.head_dropout)
    return timm.create_model(timm_name(model.name), num_classes=num_classes, drop_rate=model.head_dropout)


def timm_name(name: str) -> str:
    """Return the timm name of a model."""
    return (MODELS[name].timm_name if name in MODELS else None) or name


def _init_head(model: Any, init: str) -> None:
    for head in _classifiers(model):
        if init == "torch":
            head.reset_parameters()
        else:
            HEAD_INITS[init](head.weight)
            nn.init.zeros_(head.bias)
