"""Where dropout acts in a model: found by running it, as a layer that is built need not be reached."""

import re
from collections.abc import Callable
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.module_tracker import ModuleTracker


def active_dropout(model: nn.Module, resolution: int) -> list[dict[str, Any]]:
    """Return each place that drops with a probability above 0: layers alike are one place, their number a `*`.

    The model runs once, in training mode, on tensors without content: neither it nor a random number changes.

    Returns:
        Per place its `module`, the probability `p`, and the number of `calls` in one forward pass.
    """
    tensors = chain(model.named_parameters(), model.named_buffers())
    without_content = {name: tensor.detach().to("meta") for name, tensor in tensors}
    images = torch.empty(2, 3, resolution, resolution, device="meta")
    was_training = model.training
    model.train()
    with torch.no_grad(), ModuleTracker() as tracker, _DropoutCalls(tracker) as calls:
        torch.func.functional_call(model, without_content, images)
    model.train(was_training)
    return [{"module": name, "p": p, "calls": count} for (name, p), count in calls.counts.items()]


class _DropoutCalls(TorchFunctionMode):
    """Counts calls that drop, by the innermost module they come from and their probability.

    Attention drops inside of `scaled_dot_product_attention`, which no module shows.
    """

    def __init__(self, tracker: ModuleTracker) -> None:
        super().__init__()
        self.counts: dict[tuple[str, float], int] = {}
        self._tracker = tracker

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        p = _probability(func, kwargs)
        if p > 0:
            innermost = max(self._tracker.parents, key=len).partition(".")[2]
            place = re.sub(r"\b\d+\b", "*", innermost), p
            self.counts[place] = self.counts.get(place, 0) + 1
        return func(*args, **kwargs)


def _probability(func: Callable[..., Any], kwargs: dict[str, Any]) -> float:
    """Return the probability with which a call of a torch function drops; 0 where it does not."""
    if func is F.dropout and kwargs["training"]:
        return float(kwargs["p"])
    if func is F.scaled_dot_product_attention:
        return float(kwargs.get("dropout_p", 0.0))
    return 0.0
