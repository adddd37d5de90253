"""Adapters beside the linear layers of a model, by peft.

peft takes seconds to import, and is imported only where a model has an adapter.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from revit.config import FineTuneConfig, ModelConfig
from revit.errors import InputError
from revit.models.heads import heads
from revit.models.trained_parts import PARTS, count_by_pattern

if TYPE_CHECKING:
    from peft import PeftConfig

IA3_OUTPUTS = ("qkv", "kv", "k", "v", "k_proj", "v_proj")
"""Layers whose output IA3 scales: keys and values. timm has one layer for queries, keys and values, scaled as one."""
IA3_INPUTS = ("fc2",)
"""Feed-forward layers whose input IA3 scales: the second of an MLP (Liu et al. 2022, section 3.3)."""


def _lora(config: ModelConfig, layers: list[str], **options: Any) -> "PeftConfig":
    from peft import LoraConfig

    alpha: Any = config.adapter_alpha  # an int, says peft, which only divides it by the rank
    return LoraConfig(r=config.adapter_rank, lora_alpha=alpha, target_modules=layers, **options)


def _dora(config: ModelConfig, layers: list[str]) -> "PeftConfig":
    return _lora(config, layers, use_dora=True)


def _ia3(_: ModelConfig, layers: list[str]) -> "PeftConfig":
    from peft import IA3Config

    inputs = [name for name in layers if name.rpartition(".")[2] in IA3_INPUTS]
    outputs = [name for name in layers if name.rpartition(".")[2] in IA3_OUTPUTS]
    return IA3Config(target_modules=outputs + inputs, feedforward_modules=inputs)


ADAPTERS: dict[str, Callable[[ModelConfig, list[str]], "PeftConfig"]] = {"lora": _lora, "dora": _dora, "ia3": _ia3}
"""name -> peft's config for linear layers, by their names."""


def add_adapters(model: Any, config: ModelConfig, names: set[str]) -> None:
    """Put adapters beside the linear layers of attention and MLP, in place; freeze all else but the head.

    The network computes the same as before: adapters start without effect. Their tensors have peft's names, and the
    tensors of an adapted layer are below `base_layer`.

    Args:
        names: parameters of the layers that are adapted; those of other layers are left out.

    Raises:
        InputError: there is no linear layer among them that the adapter is for.
    """
    from peft import inject_adapter_in_model

    names = names & (PARTS["attention"](model) | PARTS["mlp"](model))
    linear = [name for name, each in model.named_modules() if isinstance(each, nn.Linear) and f"{name}.weight" in names]
    peft_config: Any = ADAPTERS[config.adapter](config, linear)
    if not peft_config.target_modules:
        right = f"none: {config.name} has no linear layers for it in attention or MLP"
        raise InputError(f"model.adapter = {config.adapter!r}: must be {right}")
    for module in model.modules():
        if hasattr(module, "qkv_bias_separate"):
            module.qkv_bias_separate = True  # EVA and BEiT then call their layer, and add the bias to its output
    inject_adapter_in_model(peft_config, model)
    for head in heads(model):
        head.requires_grad_(True)


def merge_adapters(model: nn.Module) -> None:
    """Merge adapters into the weights of their layers, in place: the model is then the one without adapters.

    Its logits are equal within rounding. Does nothing for a model without adapters.
    """
    for name, layer in list(adapted_layers(model)):
        layer.merge()
        model.set_submodule(name, layer.get_base_layer())
    if hasattr(model, "peft_config"):
        del model.peft_config


def adapted_layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the layers of peft in a model, with their names."""
    if not hasattr(model, "peft_config"):
        return
    from peft.tuners.tuners_utils import BaseTunerLayer

    yield from ((name, each) for name, each in model.named_modules() if isinstance(each, BaseTunerLayer))


def describe_adapters(model: nn.Module) -> dict[str, Any] | None:
    """Return class, rank, scaling and adapted layers, read from the layers; None for a model without adapters."""
    layers = dict(adapted_layers(model))
    if not layers:
        return None
    kinds = {f"{type(layer).__module__}.{type(layer).__name__}" for layer in layers.values()}
    return {
        "class": ", ".join(sorted(kinds)),
        "rank": sorted({rank for layer in layers.values() for rank in getattr(layer, "r", {}).values()}),
        "scaling": sorted({scale for layer in layers.values() for scale in getattr(layer, "scaling", {}).values()}),
        "layers": count_by_pattern(layers),
    }


def check_adapters(model: nn.Module, config: FineTuneConfig) -> None:
    """Raise InputError unless the logits of a model on the meta device depend on every adapter.

    Some models read the weight of a layer without calling it, past its adapter.
    """
    layers = list(adapted_layers(model))
    if not layers:
        return
    logits = model(torch.empty(2, 3, config.resolution, config.resolution, device="meta"))
    own = {name: next(each for each in layer.parameters() if each.requires_grad) for name, layer in layers}
    gradients = torch.autograd.grad(logits.sum(), list(own.values()), allow_unused=True)
    passed = [name for name, gradient in zip(own, gradients, strict=True) if gradient is None]
    if passed:
        right = f"none: {config.model.name} reads the weight of {passed[0]} without calling it"
        raise InputError(f"model.adapter = {config.model.adapter!r}: must be {right}")
