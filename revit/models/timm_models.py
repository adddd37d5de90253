"""Facts that timm states about its models. Imports torch."""

import difflib

import timm
from timm.models import get_pretrained_cfg

from revit.errors import InputError
from revit.models.architectures import MODELS
from revit.validation import short_repr


def check_name(name: str) -> None:
    """Raise InputError, with close matches, unless timm has a model of this name and tag."""
    if not timm.is_model(name):
        known = [*MODELS, *timm.list_models()]
    else:
        known = timm.list_models(f"{name.partition('.')[0]}.*", include_tags=True)
        if "." not in name or name in known:
            return
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known[:3]
    raise InputError(f"model.name = {short_repr(name)}: no such model; closest: {', '.join(close)}")


def mean_and_std(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation, 0 to 1, per channel that a model was trained with.

    Raises:
        InputError: timm does not have the model, or does not state them.
    """
    check_name(name)
    stated = get_pretrained_cfg(name)
    if stated is None:
        right = "inception, imagenet or cifar10, whichever its weights were trained with"
        raise InputError(f"normalization = 'model': timm states no mean and std of {short_repr(name)}; must be {right}")
    return tuple(stated.mean), tuple(stated.std)
