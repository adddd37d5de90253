"""Active dropout of a model, found by running it: a layer that is built need not be reached."""

from collections.abc import Callable
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.module_tracker import ModuleTracker

from revit.models.trained_parts import name_pattern


def active_dropout(model: nn.Module, resolution: int) -> list[dict[str, Any]]:
    """Return the modules that drop with a probability above 0; equal layers are one entry, their number a `*`.

    Stochastic depth is among them.

    The model runs once in training mode on the meta device. Neither it nor the random state changes.

    Returns:
        Per entry the `module`, the probability `p`, and the number of `calls` in one forward pass.
    """
    tensors = chain(model.named_parameters(), model.named_buffers())
    meta_tensors = {name: tensor.detach().to("meta") for name, tensor in tensors}
    images = torch.empty(2, 3, resolution, resolution, device="meta")
    was_training = model.training
    model.train()
    with torch.no_grad(), ModuleTracker() as tracker, _DropoutCalls(tracker) as calls:
        torch.func.functional_call(model, meta_tensors, images)
    model.train(was_training)
    return [{"module": name, "p": p, "calls": count} for (name, p), count in calls.counts.items()]


class _DropoutCalls(TorchFunctionMode):
    """Counter of dropout calls, by innermost module and probability.

    Attention drops inside `scaled_dot_product_attention`, without a module of its own. timm's stochastic depth draws
    with `Tensor.bernoulli_` which images keep a path.
    """

    def __init__(self, tracker: ModuleTracker) -> None:
        super().__init__()
        self.counts: dict[tuple[str, float], int] = {}
        self._tracker = tracker

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        p = 0.0
        if func is F.dropout and kwargs["training"]:
            p = float(kwargs["p"])
        elif func is F.scaled_dot_product_attention:
            p = float(kwargs.get("dropout_p", 0.0))
        elif func is torch.Tensor.bernoulli_:
            p = round(1 - float(args[1]), 6)
        if p > 0:
            innermost = max(self._tracker.parents, key=len).partition(".")[2]
            key = name_pattern(innermost), p
            self.counts[key] = self.counts.get(key, 0) + 1
        return func(*args, **kwargs)
