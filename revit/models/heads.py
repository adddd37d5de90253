"""Heads of models: the linear layers that classify, replaced for a new dataset."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

HEAD_INITS: dict[str, Callable[[Tensor], Tensor]] = {
    "zeros": nn.init.zeros_,
    "trunc_normal": lambda weight: nn.init.trunc_normal_(weight, std=0.02),
    "normal": lambda weight: nn.init.normal_(weight, std=0.01),
    "probed": nn.init.zeros_,
}
"""Initialization of the head's weight, by name; the bias is zero. `torch` is PyTorch's default for both. `probed` is
zero until `revit.training.head_probe` has fitted it."""


def heads(model: Any) -> tuple[Any, ...]:
    """Return the model's linear heads: one, or two for a distilled model."""
    classifier = model.get_classifier()
    return classifier if isinstance(classifier, tuple) else (classifier,)


def head_prefixes(model: Any) -> tuple[str, ...]:
    """Return the name prefixes of the tensors that a new head replaces: classifiers, and timm's `pre_logits`."""
    own = heads(model)
    return "pre_logits.", *(f"{name}." for name, module in model.named_modules() if any(module is h for h in own))


@contextmanager
def recorded_features(model: nn.Module) -> Iterator[list[list[Tensor]]]:
    """Record what each head reads in the forward passes inside: for each head a list of features (B, D)."""
    recorded: dict[nn.Module, list[Tensor]] = {head: [] for head in heads(model)}

    def record(head: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        recorded[head].append(inputs[0].flatten(1))

    with ExitStack() as hooks:
        for head in recorded:
            hooks.enter_context(head.register_forward_pre_hook(record))
        yield list(recorded.values())


def init_head(model: Any, init: str) -> None:
    """Initialize the heads."""
    for head in heads(model):
        if init == "torch":
            head.reset_parameters()
        else:
            HEAD_INITS[init](head.weight)
            nn.init.zeros_(head.bias)
