"""Parts of a model that are trained, as names of its parameters.

A trial trains its part, without what is frozen, and always the head. Autograd computes no gradients for the other
parameters, and the optimizer keeps no state for them.

Everything that is frozen stays in training mode, so that its dropout and stochastic depth act as in the whole model.
The one exception is a BatchNorm whose parameters are frozen: its running mean and variance are frozen, too, and
normalize the training images, as `timm.utils.freeze` does it.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from timm.layers import BatchNormAct2d, freeze_batch_norm_2d
from torch import nn

from revit.config import ModelConfig
from revit.errors import InputError
from revit.models.heads import head_prefixes

ATTENTION = r".+\.\d+\.(.+\.)?attn\..+"
MLP = r".+\.\d+\.(.+\.)?mlp\..+"
"""Names of the parameters of these layers of the blocks. An attention pooling is outside of the blocks."""
NORM = re.compile("norm(?!free)")
"""Normalization in the name of a class. NormFreeBlock has none."""


def _names(model: nn.Module, pattern: str) -> set[str]:
    return {name for name, _ in model.named_parameters() if re.fullmatch(pattern, name)}


def _norms(model: nn.Module) -> set[str]:
    """Return the parameters of normalization layers, which timm and PyTorch name by their kind."""
    layers = [(prefix, each) for prefix, each in model.named_modules() if NORM.search(type(each).__name__.lower())]
    return {f"{prefix}.{name}" for prefix, each in layers for name, _ in each.named_parameters(recurse=False)}


PARTS: dict[str, Callable[[nn.Module], set[str]]] = {
    "all": lambda model: _names(model, ".+"),
    "head": lambda model: set(),
    "attention": lambda model: _names(model, ATTENTION),
    "mlp": lambda model: _names(model, MLP),
    "norms": _norms,
    "biases": lambda model: _names(model, r"(.+[._])?bias"),
}
"""name -> parameters of a model that `model.trained` trains beside the head."""


def train_only(model: nn.Module, names: set[str]) -> None:
    """Freeze every parameter but these and the head's; freeze the statistics of BatchNorms that are frozen."""
    heads = head_prefixes(model)
    for name, parameter in model.named_parameters():
        if name not in names and not name.startswith(heads):
            parameter.requires_grad_(False)
    for name, module in list(model.named_modules()):
        own = list(module.parameters(recurse=False))
        is_batch_norm = isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm | BatchNormAct2d)
        if is_batch_norm and own and not any(parameter.requires_grad for parameter in own):
            with own[0].device:
                model.set_submodule(name, freeze_batch_norm_2d(module))  # type: ignore[no-untyped-call]  # timm


def trained_names(model: nn.Module, config: ModelConfig) -> set[str]:
    """Return the names of the parameters that are trained beside the head: the trained part, without the frozen one.

    Raises:
        InputError: the model does not have one of these parts, nothing of the trained part is left, or freezing has
            no effect.
    """
    part, frozen = PARTS[config.trained](model), _frozen_names(model, config)
    if not part and config.trained != "head":
        raise InputError(f"model.trained = {config.trained!r}: must be a part that {config.name} has")
    if part and not part - frozen:
        right = f"less: nothing of the {config.trained} of {config.name} is left to train"
        raise InputError(f"model.frozen = {config.frozen!r}: must be {right}")
    if config.trained in ("norms", "biases") and frozen and not part & frozen:
        right = f"none: nothing of the {config.trained} of {config.name} is in it"
        raise InputError(f"model.frozen = {config.frozen!r}: must be {right}")
    return part - frozen


def count_by_pattern(names: Iterable[str]) -> dict[str, int]:
    """Return how many names have each pattern: `blocks.*.attn.qkv.weight` is one tensor of each block."""
    return dict(Counter(map(name_pattern, names)))


def name_pattern(name: str) -> str:
    """Return a name with each number in it replaced by `*`."""
    return re.sub(r"\b\d+\b", "*", name)


def _frozen_names(model: nn.Module, config: ModelConfig) -> set[str]:
    if config.frozen == "none":
        return set()
    names = _embedding(model, config)
    if config.frozen == "embedding":
        return names
    depth = _num_blocks(model)
    count = int(config.frozen.removeprefix("first_"))
    if count > depth:
        right = f"at most first_{depth}, the depth of {config.name}"
        right = right if depth else f"none or embedding: {config.name} has no blocks of attention or MLP"
        raise InputError(f"model.frozen = {config.frozen!r}: must be {right}")
    return names.union(*(_names(model, rf"blocks\.{number}\..+") for number in range(count)))


def _embedding(model: Any, config: ModelConfig) -> set[str]:
    """Return the parameters before the first block, which timm calls the stem; Kumar et al. 2024 freeze those.

    They are the patch, position, class and register embedding and CLIP's norm after them; of a CNN, its stem.

    Raises:
        InputError: the model's `group_matcher` states no stem.
    """
    matcher = model.group_matcher() if hasattr(model, "group_matcher") else {}
    stem = matcher.get("stem", ()) if isinstance(matcher, dict) else ()
    patterns = [stem] if isinstance(stem, str) else [pattern for pattern, _ in stem]
    names = {name for name, _ in model.named_parameters() if any(re.match(pattern, name) for pattern in patterns)}
    if not names:
        raise InputError(f"model.frozen = {config.frozen!r}: must be none: timm states no stem of {config.name}")
    return names


def _num_blocks(model: Any) -> int:
    """Return the depth of a ViT; 0 for a model without a list of blocks with attention or MLP."""
    is_vit = any(name.startswith("blocks.") for name in _names(model, ATTENTION) | _names(model, MLP))
    return len(model.blocks) if is_vit else 0
