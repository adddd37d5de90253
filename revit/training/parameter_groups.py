"""Parameter groups of an optimizer, by timm."""

from typing import Any

from timm.models import group_parameters
from timm.optim import auto_group_layers, param_groups_layer_decay, param_groups_weight_decay

from revit.config import OptimizerConfig
from revit.errors import InputError
from revit.models.heads import head_prefixes

IA3_VECTORS = "*.ia3_l.*"
"""Names of IA3's vectors, which are matrices of one row or column, and have no effect at one rather than at zero."""


def parameter_groups(model: Any, config: OptimizerConfig, *, with_fallback: bool) -> list[dict[str, Any]]:
    """Return the groups of a module's parameters, except frozen ones.

    Each has `params` and `weight_decay`. Weight decay applies to matrices only: not to biases, norms, class token or
    position embedding. With `layer_decay`, each has `lr_scale`, the factor of its learning rate, unless all are 1.

    Args:
        with_fallback: give groups of head and embeddings `use_fallback`, True. Optimizers of matrices, such as Muon,
            update those, and all vectors, by AdamW.

    Raises:
        InputError: `layer_decay` is for a model with layers, and timm knows none of this one.
    """
    no_decay = model.no_weight_decay() if hasattr(model, "no_weight_decay") else ()
    options: Any = {
        "no_weight_decay_list": [*no_decay, IA3_VECTORS],
        "fallback_list": _head_and_embeddings(model) if with_fallback else (),
        "fallback_no_weight_decay": with_fallback,
    }
    if config.layer_decay < 1:
        if max(layers(model).values()) == 0:
            right = "1.0, as timm knows no layers of this model"
            raise InputError(f"optimizer.layer_decay = {config.layer_decay}: must be {right}")
        groups = param_groups_layer_decay(model, config.weight_decay, layer_decay=config.layer_decay, **options)
        if any(group["lr_scale"] < 1 for group in groups):  # of the head alone, it has no effect
            return groups  # type: ignore[no-any-return]  # untyped in timm
    return param_groups_weight_decay(model, config.weight_decay, **options)  # type: ignore[no-any-return]  # untyped in timm


def layers(model: Any) -> dict[str, int]:
    """Return the layer of each parameter, as timm counts them: 0 for embeddings, then the blocks, then the head."""
    if hasattr(model, "group_matcher"):
        return group_parameters(model, model.group_matcher(coarse=False), reverse=True)  # type: ignore[no-any-return]  # untyped in timm
    return auto_group_layers(model)  # type: ignore[no-any-return, no-untyped-call]  # untyped in timm


def _head_and_embeddings(model: Any) -> set[str]:
    """Return the names of parameters of the head and, where timm knows them, of the patch and position embedding."""
    heads = head_prefixes(model)
    names = {name for name, _ in model.named_parameters() if name.startswith(heads)}
    if hasattr(model, "group_matcher"):
        names |= {name for name, layer in layers(model).items() if layer == 0}
    return names
