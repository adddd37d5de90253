"""Disk space that a study will need."""

from revit.config import FineTuneConfig
from revit.models.architectures import MODELS

FLOAT32_BYTES = 4
"""Weights and moments are stored in float32."""
NUM_MOMENTS = {"sgd": 1, "adam": 2, "adamw": 2}
"""Values that an optimizer stores per parameter."""
MAX_MOMENTS = 4
"""Most values per parameter that any other optimizer of timm stores: Adan."""
MAX_CHECKPOINTS = 3
"""Peak checkpoint files per trial: two kept, one being written."""


def model_bytes(config: FineTuneConfig) -> int:
    """Return the size of a trial's model file; 0 for a model of unknown size."""
    spec = MODELS.get(config.model.name)
    return 0 if spec is None else spec.num_params * FLOAT32_BYTES


def checkpoint_bytes(config: FineTuneConfig) -> int:
    """Return the size of a checkpoint: weights, moments, averaged weights, best weights, where there are such."""
    num_copies = 1 + (config.ema_decay > 0) + (config.selection == "best_val")
    return model_bytes(config) * (num_copies + NUM_MOMENTS.get(config.optimizer.name, MAX_MOMENTS))
