"""Means with standard deviations of pixels. Imports no torch; imports timm only for models outside MODELS."""

from functools import cache
from typing import NamedTuple

from revit.config import FineTuneConfig
from revit.models.architectures import MODELS


class Normalization(NamedTuple):
    """Mean and standard deviation of red, green, blue, 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


NORMALIZATIONS = {
    "inception": Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "imagenet": Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cifar10": Normalization((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
}
"""CIFAR-10's are the commonly used values."""


def normalization_of(config: FineTuneConfig) -> Normalization:
    """Return the normalization of a config: as configured, or as its model was trained.

    All of MODELS were trained with `inception`. For other models timm states it.

    Raises:
        InputError: timm does not have the model, or does not state its normalization.
    """
    return _resolve(config.normalization, config.model.name)


@cache
def _resolve(normalization: str, model: str) -> Normalization:
    if normalization != "model":
        return NORMALIZATIONS[normalization]
    if model in MODELS:
        return NORMALIZATIONS["inception"]
    from revit.models.timm_models import mean_and_std  # takes seconds to import

    return Normalization(*mean_and_std(model))
