"""Build a model at a resolution, with or without its position embedding, with a new head."""

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import Tensor, nn

from revit.architectures import MODELS
from revit.config import FineTuneConfig, ModelConfig
from revit.errors import InputError
from revit.weights import find_weights, read_weights

HEAD_INITS: dict[str, Callable[[Tensor], Tensor]] = {
    "zeros": nn.init.zeros_,
    "trunc_normal": lambda weight: nn.init.trunc_normal_(weight, std=0.02),
    "normal": lambda weight: nn.init.normal_(weight, std=0.01),
}
VIT_MODULES = ("timm.models.vision_transformer", "timm.models.deit")


def build_model(config: FineTuneConfig, num_classes: int) -> nn.Module:
    """The network that a trial starts from; maps (B, 3, R, R) in [-1, 1] to logits (B, K).

    Random parts are drawn from `config.seed`. Pretrained weights are loaded before the position
    embedding is removed: it is set to zero and frozen, and every other weight starts the same.

    Raises:
        InputError: no such model, weights missing or of another model, or no position embedding to remove.
    """
    torch.manual_seed(config.seed)
    model = _construct(config.model, config.resolution, num_classes)
    weights = find_weights(config.model)
    if weights is not None:
        load_backbone(model, weights)
    _init_head(model, config.model.head_init)
    if config.model.pos_embed == "none":
        _remove_pos_embed(model, config.model.name)
    return model


def check_model(name: str) -> None:
    """Raise InputError unless there is a model of that name. Builds nothing."""
    if name not in MODELS and not timm.is_model(name):
        close = difflib.get_close_matches(name, [*MODELS, *timm.list_models()], n=3, cutoff=0.5) or MODELS
        raise InputError(f"model.name = {name!r}: no such model; close are {', '.join(close)}")


def vit_nano(resolution: int, num_classes: int, *, dropout: float = 0.0, pos_embed: str = "learn") -> VisionTransformer:
    """A ViT for CPUs: patches of 4 px, width 64, 4 layers of 4 heads, MLP 128 wide; 28 px give 49 tokens."""
    return VisionTransformer(
        img_size=resolution,
        patch_size=4,
        embed_dim=64,
        depth=4,
        num_heads=4,
        mlp_ratio=2,
        num_classes=num_classes,
        pos_embed=pos_embed,
        pos_drop_rate=dropout,
        proj_drop_rate=dropout,
    )


def load_backbone(model: nn.Module, path: Path) -> None:
    """Load all but the head, the position embedding resampled to the model's grid (timm's bicubic).

    Raises:
        InputError: tensors are missing, left over or of another shape; names them. The model is not to
            be used then.
    """
    tensors = read_weights(path)
    if isinstance(model, VisionTransformer):
        tensors = checkpoint_filter_fn(tensors, model)
    head = {f"head.{name}" for name in ("weight", "bias", "fc.weight", "fc.bias")}
    own = {name: tensor for name, tensor in model.state_dict().items() if name not in head}
    given = {name: tensor for name, tensor in tensors.items() if name not in head}
    misfits = sorted(
        name
        for name in own.keys() | given.keys()
        if name not in own or name not in given or own[name].shape != given[name].shape
    )
    if misfits:
        shown = ", ".join(misfits[:3]) + (f" and {len(misfits) - 3} more" if len(misfits) > 3 else "")
        raise InputError(f"{path} holds the weights of another model; these tensors do not fit: {shown}")
    model.load_state_dict(given, strict=False)


def _construct(model: ModelConfig, resolution: int, num_classes: int) -> nn.Module:
    never_there = model.pos_embed == "none" and not model.pretrained
    pos_embed = "none" if never_there else "learn"
    if model.name == "vit_nano":
        return vit_nano(resolution, num_classes, dropout=model.dropout, pos_embed=pos_embed)
    check_model(model.name)
    return _construct_timm(model, resolution, num_classes, pos_embed)


def _construct_timm(model: ModelConfig, resolution: int, num_classes: int, pos_embed: str) -> nn.Module:
    if timm.models.model_entrypoint(model.name).__module__ in VIT_MODULES:
        return timm.create_model(
            model.name,
            img_size=resolution,
            num_classes=num_classes,
            pos_embed=pos_embed,
            pos_drop_rate=model.dropout,
            proj_drop_rate=model.dropout,
        )
    return timm.create_model(model.name, num_classes=num_classes, drop_rate=model.dropout)


def _init_head(model: Any, init: str) -> None:
    head = model.get_classifier()
    HEAD_INITS[init](head.weight)
    nn.init.zeros_(head.bias)


def _remove_pos_embed(model: Any, name: str) -> None:
    if not hasattr(model, "pos_embed"):
        raise InputError(f"model.pos_embed = 'none': {name} has no position embedding to remove")
    if model.pos_embed is not None:
        nn.init.zeros_(model.pos_embed)
        model.pos_embed.requires_grad_(False)
