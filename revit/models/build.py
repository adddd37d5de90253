"""Build a model at a resolution, with or without its position embedding, with a new head."""

from pathlib import Path

import torch
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import Tensor, nn

from revit.config import FineTuneConfig, ModelConfig
from revit.errors import InputError, first_line
from revit.models.adapters import add_adapters, check_adapters
from revit.models.heads import head_prefixes, heads, init_head, recorded_features
from revit.models.networks import construct
from revit.models.normalization import normalization_of
from revit.models.position_embeddings import remove_pos_embed, resize_pos_embed
from revit.models.seeded_draws import SeededDraws
from revit.models.trained_parts import train_only, trained_names
from revit.models.weight_formats import read_checkpoint

DRY_RUN_CLASSES = 5


def build_model(config: FineTuneConfig, num_classes: int, weights: Path | None) -> nn.Module:
    """Build the network of a trial, from normalized images (B, 3, R, R) to logits (B, K).

    Random initialization uses `config.seed`, and leaves the default generator as it is: another trial may train in this
    process meanwhile. A position embedding is removed after it: it is set to zero and frozen,
    so that every other weight and dropout are as with it. A timm model built without one skips the dropout after it.
    What is not trained is frozen, and adapters come last.

    Args:
        weights: file or folder of the pretrained weights (`find_weights`); None to start from scratch.

    Raises:
        InputError: the model does not exist, the weights are unreadable or of another model, or an option does not
            apply to the model.
    """
    with SeededDraws(config.seed):
        model = construct(config.model, config.resolution, num_classes)
        if weights is not None:
            load_backbone(model, weights, config.model.pos_embed_resize)
        init_head(model, config.model.head_init)
        _choose_trained(model, config.model)
    return model


def build_tested_model(config: FineTuneConfig, num_classes: int) -> nn.Module:
    """Build the network that a trial tests and saves, with random weights: adapters are merged in it."""
    return build_model(config.with_values({"model.adapter": "none"}), num_classes, None)


def empty_model(config: FineTuneConfig, num_classes: int) -> nn.Module:
    """Build the network of a config on the meta device, without memory."""
    with torch.device("meta"):
        model = construct(config.model, config.resolution, num_classes)
        _choose_trained(model, config.model)
    return model


def _choose_trained(model: nn.Module, config: ModelConfig) -> None:
    """Remove the position embedding if so configured, freeze what is not trained, add adapters."""
    if config.pos_embed == "none":
        remove_pos_embed(model, config.name)
    if (config.trained, config.frozen, config.adapter) == ("all", "none", "none"):
        return
    names = trained_names(model, config)
    if config.adapter == "none":
        train_only(model, names)
    else:
        train_only(model, set())
        add_adapters(model, config, names)


def check_model(config: FineTuneConfig, weights: Path | None) -> None:
    """Raise InputError unless the config's model exists, takes its images, has its parts, and the weights fit.

    The model is built and run on the meta device, without memory.
    """
    normalization_of(config)
    model, logits = _dry_run(config)
    if not isinstance(logits, Tensor) or logits.shape != (2, DRY_RUN_CLASSES):
        raise InputError(f"model.name = {config.model.name!r}: does not return one logit per class")
    if config.model.head_init == "probed":
        _check_probed(model, config)
    if weights is not None:
        _read_matching(model, weights, config.model.pos_embed_resize)
    _choose_trained(model, config.model)
    check_adapters(model, config)
    has_batch_norm = any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    if config.micro_batch is not None and has_batch_norm:
        raise InputError(f"micro_batch = {config.micro_batch}: must be None, as {config.model.name} has BatchNorm")


def _dry_run(config: FineTuneConfig) -> tuple[nn.Module, object]:
    """Return the model and its output for two images in training mode, on the meta device."""
    images = torch.empty(2, 3, config.resolution, config.resolution, device="meta")
    try:
        with torch.device("meta"):
            model = construct(config.model, config.resolution, DRY_RUN_CLASSES)
        init_head(model, config.model.head_init)
        return model, model.train()(images)
    except InputError:
        raise
    except Exception as error:  # timm's models raise errors of many types
        reason = f"cannot be trained at resolution = {config.resolution}: {first_line(error)}"
        raise InputError(f"model.name = {config.model.name!r}: {reason}") from error


def _check_probed(model: nn.Module, config: FineTuneConfig) -> None:
    """Raise InputError unless each head of a model on the meta device reads one vector per image."""
    with recorded_features(model) as recorded:
        model(torch.empty(2, 3, config.resolution, config.resolution, device="meta"))
    for head, features in zip(heads(model), recorded, strict=True):
        if [each.shape for each in features] != [(2, head.weight[0].numel())]:
            right = f"zeros, trunc_normal, normal or torch: the head of {config.model.name} reads no vector per image"
            raise InputError(f"model.head_init = 'probed': must be {right}")


def load_backbone(model: nn.Module, path: Path, pos_embed_resize: str) -> None:
    """Load all weights but the head's; the position embedding is resized to the model's grid.

    Raises:
        InputError: the file is unreadable; or tensors are missing, unexpected, or of another shape or kind, as
            quantized weights are. Nothing is loaded then.
    """
    model.load_state_dict(_read_matching(model, path, pos_embed_resize), strict=False)


def _read_matching(model: nn.Module, path: Path, pos_embed_resize: str) -> dict[str, Tensor]:
    """Return the tensors of a file but the head's; raise InputError unless they fit the model."""
    heads = head_prefixes(model)
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
