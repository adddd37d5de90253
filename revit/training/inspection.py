"""Inspection of a trained model when its trial ends: a report then draws it without weights or torch."""

import warnings

import numpy as np
from torch import nn

from revit.config import FineTuneConfig
from revit.datasets.batches import eval_batches, to_input
from revit.datasets.image_store import ImageStore
from revit.errors import InputError
from revit.models.internals_file import Internals
from revit.models.introspection import inspect_model
from revit.models.normalization import normalization_of


def inspect_trained(model: nn.Module, config: FineTuneConfig, store: ImageStore) -> Internals | None:
    """Return what figures show of a trial's model, with its attention on the first test image of its dataset.

    Returns:
        None for a model without such figures. An error in one of the user's own leaves them out, with a warning: the
        trial is trained by then.
    """
    first = np.flatnonzero(store.is_test)[:1]
    try:
        [batch] = eval_batches(store, first, config.resolution, 1)
        device = next(model.parameters()).device
        return inspect_model(model, to_input(batch.images, normalization_of(config), device))
    except InputError:
        return None
    except Exception as error:  # whatever a model of the user can raise
        warnings.warn(f"the figures of the model are left out: {type(error).__name__}: {error}", stacklevel=2)
        return None
