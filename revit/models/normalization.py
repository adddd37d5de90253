"""The means and standard deviations that pixels are normalized by. Imports neither torch nor, for MODELS, timm."""

from functools import cache
from typing import NamedTuple

from revit.config import FineTuneConfig
from revit.models.architectures import MODELS


class Normalization(NamedTuple):
    """Mean and standard deviation of red, green and blue, 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


NORMALIZATIONS = {
    "inception": Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "imagenet": Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cifar10": Normalization((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
}
"""CIFAR-10's are those that its trainers hand down."""


def normalization_of(config: FineTuneConfig) -> Normalization:
    """Return what a config's pixels are normalized by: as it says, or as its model was trained.

    All of MODELS were trained with `inception`; what others were, timm states.

    Raises:
        InputError: it is left to a model that timm does not have, or states nothing of.
    """
    return _resolve(config.normalization, config.model.name)


@cache
def _resolve(normalization: str, model: str) -> Normalization:
    if normalization != "model":
        return NORMALIZATIONS[normalization]
    if model in MODELS:
        return NORMALIZATIONS["inception"]
    from revit.models.timm_models import mean_and_std  # seconds of imports, for those models only

    return Normalization(*mean_and_std(model))
